"""Orthorectification, merge and reprocessing.

Shared by ingest, live, finish and sync.
"""
