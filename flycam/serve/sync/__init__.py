"""Synchronisation with other nodes: uploaded steps, and reference data."""
