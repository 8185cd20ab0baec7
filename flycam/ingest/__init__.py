"""Ingest: photos (EXIF, XMP), videos, telemetry and poses, checked and resolved to frame headers."""
