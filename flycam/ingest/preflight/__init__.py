"""Preflight check: describe a flight, find what is wrong with it, and resolve each photo's pose."""
