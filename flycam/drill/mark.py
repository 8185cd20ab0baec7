"""By what anything of a drill is known as made up: in photos, terrain files and boundaries."""

from __future__ import annotations

DRILL_MARK = "DIỄN TẬP"
DRILL_TAG = "DRILL"
"""Under which a GeoTIFF carries the mark."""

# no commune of Vietnam has a code with letters, and each name says what it is
COMMUNES = (
    ("DT001", "Nậm Diễn Tập", "Nam Dien Tap"),
    ("DT002", "Suối Giả Định", "Suoi Gia Dinh"),
    ("DT003", "Phìn Thử Nghiệm", "Phin Thu Nghiem"),
    ("DT004", "Bản Mô Phỏng", "Ban Mo Phong"),
)
