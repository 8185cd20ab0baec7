"""Poses and points supplied by people or other programs."""
