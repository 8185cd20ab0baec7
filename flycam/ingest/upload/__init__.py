"""Upload of a memory card: sending, receiving, preview, storage, and processing."""
