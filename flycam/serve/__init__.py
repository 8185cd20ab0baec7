"""Map and API: read from the catalogue and the store, write only the audit log."""
