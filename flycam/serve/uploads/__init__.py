"""Uploads of memory cards, byte by byte."""
