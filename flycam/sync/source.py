"""Interface of the bytes that an exchange is read from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.sync.manifest import ExchangeManifest, ManifestItem


class ExchangeSource(Protocol):
    """Bytes that were found complete; path: named in errors about their contents."""

    @property
    def path(self) -> Path: ...

    def read(self, start: int, length: int) -> bytes:
        """Return bytes start..start+length; SourceUnreadable beyond the end."""

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield what `read` returns in blocks."""


def iterate_objects(manifest: ExchangeManifest, start: int) -> Iterator[tuple[ManifestItem, int]]:
    """Yield each object of an exchange and its offset; the first is at `start`."""
    for item in manifest.items:
        yield item, start
        start += item.size_bytes


def read_object(source: ExchangeSource, item: ManifestItem, at: int, max_bytes: int) -> bytes:
    """Return an object's bytes; SourceUnreadable if wrong or more than `max_bytes`."""
    if item.size_bytes > max_bytes:
        raise build_hash_mismatch_error(source.path)
    data = source.read(at, item.size_bytes)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise build_hash_mismatch_error(source.path)
    return data


def build_hash_mismatch_error(path: Path) -> SourceUnreadable:
    """Return the error for bytes that do not match the manifest."""
    return SourceUnreadable(
        _(
            "{path}: holds other bytes than its list of contents says; write it again on the "
            "box it comes from",
            path=path,
        )
    )
