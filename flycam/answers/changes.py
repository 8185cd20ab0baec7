"""Confirmed changes: what was exported."""

from __future__ import annotations

from pathlib import Path

from flycam.answers.answered import Answered


def of_exported_changes(out: Path, count: int, language: str = "en") -> Answered:
    """path, changes."""
    said = f"{out}: {count} thay đổi đã xác nhận" if language == "vi" else f"{out}: {count} confirmed changes"
    return {"path": str(out), "changes": count}, [said]
