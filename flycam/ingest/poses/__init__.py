"""Poses and points that people or other programs give."""
