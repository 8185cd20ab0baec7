"""The bytes that an exchange is read from, whatever brought them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.sync.manifest import ExchangeManifest, ManifestItem


class ExchangeSource(Protocol):
    """Bytes that were found whole. path: what is named where they are not what they say."""

    @property
    def path(self) -> Path: ...

    def read(self, start: int, length: int) -> bytes:
        """Bytes start..start+length. SourceUnreadable beyond the end."""

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """As `read`, some at a time."""


def iterate_objects(manifest: ExchangeManifest, start: int) -> Iterator[tuple[ManifestItem, int]]:
    """Each object of an exchange and where its bytes begin; those of the first at `start`."""
    for item in manifest.items:
        yield item, start
        start += item.size_bytes


def read_object(source: ExchangeSource, item: ManifestItem, at: int, max_bytes: int) -> bytes:
    """An object's bytes. SourceUnreadable if they are others than the manifest says, or more than that."""
    if item.size_bytes > max_bytes:
        raise build_hash_mismatch_error(source.path)
    data = source.read(at, item.size_bytes)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise build_hash_mismatch_error(source.path)
    return data


def build_hash_mismatch_error(path: Path) -> SourceUnreadable:
    """What was read holds other bytes than its own list of contents says."""
    return SourceUnreadable(
        _(
            "{path}: holds other bytes than its list of contents says; write it again on the "
            "box it comes from",
            path=path,
        )
    )
