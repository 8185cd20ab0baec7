"""Communes, field marks, specialist layers, settlements, and the meeting view."""
