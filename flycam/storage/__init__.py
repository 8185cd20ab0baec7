"""Object stores: bytes by key in a local folder, in S3 or in memory."""
