"""Catalogue: the database of flights, frames, tiles, boundaries and accounts."""
