"""The web room: pages, API, feeds and the command line."""
