"""The meeting pack."""
