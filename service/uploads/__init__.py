"""Receiving bytes: the tus protocol over S3 multipart uploads."""
