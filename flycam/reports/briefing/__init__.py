"""Briefing packs: contents, figures, maps, documents, and their queue."""
