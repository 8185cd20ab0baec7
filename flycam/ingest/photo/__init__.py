"""One photo file: its container, its metadata, its pixels."""
