"""Ingest: photos, videos, telemetry and poses are read, checked and resolved to frame headers."""
