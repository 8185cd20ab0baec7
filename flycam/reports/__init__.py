"""Quality reports of finished revisions, and briefing packs."""
