"""Exchange of records and objects between nodes (docs/decisions/0021-sync.md)."""
