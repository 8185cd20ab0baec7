"""Tiles: flights on the map, and their tiles."""
