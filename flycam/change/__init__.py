"""Changes between two dates: comparison, review queue, decisions, impact."""
