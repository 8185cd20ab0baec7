"""Synchronisation with other nodes: steps of field nodes, and reference data for them."""
