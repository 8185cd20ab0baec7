"""Photo files: container, metadata, pixels."""
