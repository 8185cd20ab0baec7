"""Expansion of record deltas, so that the import handles whole records only."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from flycam.errors import ObjectMissing, RecordsMissing
from flycam.messages import _
from flycam.store import keys
from flycam.sync.manifest import ExchangeManifest, ManifestItem, ObjectKind
from flycam.sync.node import Node
from flycam.sync.record_delta import apply_record_delta
from flycam.sync.source import ExchangeSource, iterate_objects, read_object

_MAX_DELTA_BYTES = 1 << 26
"""Of one delta, compressed."""


def expand_deltas(
    node: Node, source: ExchangeSource, manifest: ExchangeManifest, start: int
) -> tuple[ExchangeSource, ExchangeManifest]:
    """Return an exchange and its bytes with whole records in place of deltas.

    `start` is the offset of the first object. Raises RecordsMissing where the base records of a delta are
    not here, or where it expands to other records than the sender's (another version of the compression):
    then they have to be sent whole. SourceUnreadable for bytes that do not match the manifest or are not
    a delta.
    """
    if all(item.kind is not ObjectKind.CHANGE for item in manifest.items):
        return source, manifest
    whole = _ExpandedSource(source, start)
    items: list[ManifestItem] = []
    for item, at in iterate_objects(manifest, start):
        if item.kind is ObjectKind.CHANGE:
            records = _expand_records(node, source, manifest.box, item, at)
            items.append(ManifestItem(kind=ObjectKind.RECORDS, sha256=item.name, size_bytes=len(records)))
            whole.add(at, len(records), records)
        else:
            items.append(item)
            whole.add(at, item.size_bytes)
    return whole, replace(manifest, items=tuple(items))


def read_previous_records(node: Node, box: str, sha256: str) -> bytes:
    """Return records that a node sent before; RecordsMissing.

    Damaged ones are deleted, so that they are requested again.
    """
    key = keys.format_peer_records_key(box, sha256)
    try:
        data = node.store.get(key)
    except ObjectMissing as error:
        raise _build_records_missing(box) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        node.store.delete(key)
        raise _build_records_missing(box)
    return data


def _expand_records(node: Node, source: ExchangeSource, box: str, item: ManifestItem, at: int) -> bytes:
    change = read_object(source, item, at, _MAX_DELTA_BYTES)
    records = apply_record_delta(
        change, lambda base: read_previous_records(node, box, base), str(source.path)
    )
    if hashlib.sha256(records).hexdigest() != item.name:
        raise _build_records_missing(box)
    return records


class _ExpandedSource:
    """Bytes of an exchange by object, some replaced; path: the source's."""

    def __init__(self, source: ExchangeSource, start: int) -> None:
        self._source, self._end = source, start
        self._begins: list[int] = []
        self._objects: list[tuple[int, bytes | None]] = []
        self.path = source.path

    def add(self, at: int, size_bytes: int, instead: bytes | None = None) -> None:
        """Append an object: the source's bytes at `at`, or `instead`."""
        self._begins.append(self._end)
        self._objects.append((at, instead))
        self._end += size_bytes

    def read(self, start: int, length: int) -> bytes:
        return b"".join(self.blocks(start, length))

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes within one object."""
        number = bisect_right(self._begins, start) - 1
        at, instead = self._objects[number]
        within = start - self._begins[number]
        if instead is None:
            yield from self._source.blocks(at + within, length)
        else:
            yield instead[within : within + length]


def _build_records_missing(box: str) -> RecordsMissing:
    return RecordsMissing(
        _("{box}: what it said of a flight is not here any more; it has to be sent again", box=box)
    )
