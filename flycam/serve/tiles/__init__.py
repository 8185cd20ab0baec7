"""Flights on the map, and their tiles."""
