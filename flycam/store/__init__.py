"""Bytes by key: one protocol, a local folder, S3, memory."""
