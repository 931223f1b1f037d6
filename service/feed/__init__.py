"""Feeds: rows to a Channel, a Channel to XML, and the secrets in their addresses."""
