"""Bytes by key: one protocol, a local folder, S3, memory, and wrappers that make trouble on purpose."""
