"""The map and the API: reads what the catalogue and the store hold, writes nothing but the audit log."""
