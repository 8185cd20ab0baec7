"""Finish: adjustment, DSM, seamlines, blending and quality report of a flight."""
