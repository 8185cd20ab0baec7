"""Briefing packs: requested, made, read, approved."""
