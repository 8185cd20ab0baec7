"""Records that came as a change, made whole again, so that whoever reads an exchange knows of no changes."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from flycam.errors import ObjectMissing, RecordsMissing
from flycam.messages import _
from flycam.store import keys
from flycam.sync.house import House
from flycam.sync.manifest import Item, Kind, Manifest
from flycam.sync.record_changes import records_of_change
from flycam.sync.source import Source, object_in, places

_MOST_BYTES = 1 << 26
"""Of one change, compressed."""


def made_whole(house: House, source: Source, manifest: Manifest, start: int) -> tuple[Source, Manifest]:
    """An exchange whose first object begins at `start`, and its bytes, with records where there were changes.

    Raises RecordsMissing where the records that one is a change to are not here, or where it makes others
    than its giver's (another version of the compression): then they have to come whole. SourceUnreadable for
    bytes that are not what the manifest says, or no change.
    """
    if all(item.kind is not Kind.CHANGE for item in manifest.items):
        return source, manifest
    whole = _WithRecords(source, start)
    items: list[Item] = []
    for item, at in places(manifest, start):
        if item.kind is Kind.CHANGE:
            records = _records(house, source, manifest.box, item, at)
            items.append(Item(kind=Kind.RECORDS, sha256=item.name, size_bytes=len(records)))
            whole.add(at, len(records), records)
        else:
            items.append(item)
            whole.add(at, item.size_bytes)
    return whole, replace(manifest, items=tuple(items))


def given_records(house: House, box: str, sha256: str) -> bytes:
    """Records of a box that came before; damaged ones go, so that they are asked for. RecordsMissing."""
    key = keys.given_records(box, sha256)
    try:
        data = house.store.get(key)
    except ObjectMissing as error:
        raise _missing(box) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        house.store.delete(key)
        raise _missing(box)
    return data


def _records(house: House, source: Source, box: str, item: Item, at: int) -> bytes:
    change = object_in(source, item, at, _MOST_BYTES)
    records = records_of_change(change, lambda base: given_records(house, box, base), str(source.path))
    if hashlib.sha256(records).hexdigest() != item.name:
        raise _missing(box)
    return records


class _WithRecords:
    """The bytes of an exchange object by object, some of them others than came. path: as of what came."""

    def __init__(self, source: Source, start: int) -> None:
        self._source, self._end = source, start
        self._begins: list[int] = []
        self._objects: list[tuple[int, bytes | None]] = []
        self.path = source.path

    def add(self, at: int, size_bytes: int, instead: bytes | None = None) -> None:
        """The next object: as it came, at `at`, or what is there instead of it."""
        self._begins.append(self._end)
        self._objects.append((at, instead))
        self._end += size_bytes

    def read(self, start: int, length: int) -> bytes:
        return b"".join(self.blocks(start, length))

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Of one object."""
        number = bisect_right(self._begins, start) - 1
        at, instead = self._objects[number]
        within = start - self._begins[number]
        if instead is None:
            yield from self._source.blocks(at + within, length)
        else:
            yield instead[within : within + length]


def _missing(box: str) -> RecordsMissing:
    return RecordsMissing(
        _("{box}: what it said of a flight is not here any more; it has to be sent again", box=box)
    )
