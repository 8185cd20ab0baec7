"""What two boxes exchange, and how they come to agree (docs/decisions/0021-sync.md)."""
