"""The briefing pack."""
