"""Files of SQLite are opened in three places: one that came from elsewhere may have a journal beside it that
deletes, or rows without end."""

from __future__ import annotations

from pathlib import Path

import flycam

HOUSE = Path(flycam.__file__).parent
DOORS = {"catalog/catalog.py", "geodata/vector_file.py", "operations/backup.py"}


def test_no_other_module_opens_a_file_of_sqlite() -> None:
    found = {
        path.relative_to(HOUSE).as_posix()
        for path in HOUSE.rglob("*.py")
        if "import sqlite3" in (text := path.read_text(encoding="utf-8")) or "from sqlite3" in text
    }
    assert found == DOORS
