"""Preflight check: faults of a flight's metadata, and the pose of each photo."""
