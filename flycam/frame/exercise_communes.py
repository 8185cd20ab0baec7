"""Communes of exercises: none of them exists."""

from __future__ import annotations

# no commune of Vietnam has a code with letters, and each name marks it as an exercise
EXERCISE_COMMUNES = (
    ("DT001", "Nậm Diễn Tập", "Nam Dien Tap"),
    ("DT002", "Suối Giả Định", "Suoi Gia Dinh"),
    ("DT003", "Phìn Thử Nghiệm", "Phin Thu Nghiem"),
    ("DT004", "Bản Mô Phỏng", "Ban Mo Phong"),
)
"""Code, name, and the name without accents."""

EXERCISE_COMMUNE_CODES = frozenset(code for code, _, _ in EXERCISE_COMMUNES)
"""Codes of the communes of exercises."""
