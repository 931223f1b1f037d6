"""The pipeline room: from the bytes as uploaded to a finished talk."""
