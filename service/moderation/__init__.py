"""Moderation: what people report, what moderators do about it, and how it is undone."""
