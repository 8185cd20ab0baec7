"""Tiles: codec, merge, overviews, writer, exchange, rebuild."""
