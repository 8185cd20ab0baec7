"""Ingest: photos, videos, telemetry and poses, resolved to frame headers."""
