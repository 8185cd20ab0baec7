"""What the pages say, by key: the web's own lists (`i18n.ts`, and `texts.ts` of each room as "room.key")."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

WEB = Path(__file__).parents[2] / "web" / "src"
_STRING = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(rf"^\s+(\w+): \[\s*({_STRING}),\s*({_STRING}),?\s*\]", re.MULTILINE)


@cache
def all_words() -> dict[str, tuple[str, str]]:
    """Key -> Vietnamese, English."""
    texts = {}
    for path in (WEB / "i18n.ts", *WEB.glob("*/texts.ts")):
        room = "" if path.parent == WEB else f"{path.parent.name}."
        for key, vietnamese, english in _LINE.findall(path.read_text(encoding="utf-8")):
            texts[room + key] = (str(json.loads(vietnamese)), str(json.loads(english)))
    return texts


def words(key: str, language: str = "vi") -> str:
    """The whole of it; of what has values filled in, the longest piece between them."""
    return max(re.split(r"\{\d\}", all_words()[key][language == "en"]), key=len).strip()


def filled_words(key: str, *values: object) -> str:
    """The whole of it in Vietnamese, with its values."""
    return all_words()[key][0].format(*values)
