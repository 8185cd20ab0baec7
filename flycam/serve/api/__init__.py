"""Commune board, communes, sources of pixels, and redacted photos."""
