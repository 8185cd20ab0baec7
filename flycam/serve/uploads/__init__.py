"""Cards on their way in, byte by byte."""
