"""Situation of an event, read and written: board, marks, changes, meeting."""
