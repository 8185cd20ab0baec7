"""The bytes that an exchange is read from, whatever brought them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from flycam.errors import SourceUnreadable


class Source(Protocol):
    """Bytes that were found whole. path: what is named where they are not what they say."""

    @property
    def path(self) -> Path: ...

    def read(self, start: int, length: int) -> bytes:
        """Bytes start..start+length. SourceUnreadable beyond the end."""

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """As `read`, some at a time."""


def not_what_it_says(path: Path) -> SourceUnreadable:
    """What was read holds other bytes than its own list of contents says."""
    return SourceUnreadable(
        f"{path}: holds other bytes than its list of contents says; write it again on the box it comes from",
        vi=f"{path}: nội dung không khớp bảng kê; hãy ghi lại trên máy đã tạo ra nó",
    )
