"""One module for each noun that a user would say."""
