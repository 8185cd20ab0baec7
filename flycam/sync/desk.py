"""The receiving end of a line: what a box is answered, and a step that is whole taken in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flycam.catalog.retention_records import standing_let_go
from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.mosaic.early import early_of
from flycam.mosaic.given import taken_of
from flycam.store import keys
from flycam.sync.history import MARK_DIGITS
from flycam.sync.house import House
from flycam.sync.knows import KNOWS
from flycam.sync.made_whole import made_whole
from flycam.sync.manifest import Kind
from flycam.sync.names import hex_digits, segment, text
from flycam.sync.reading import read_exchange
from flycam.sync.source import places
from flycam.sync.step import manifest_of_step
from flycam.sync.steps import STEP_FORMAT
from flycam.sync.taking import Hands, TakenIn
from flycam.sync.there_already import HEAD_DIGITS, heads_lacking
from flycam.sync.unread import Unread

Speaks = Callable[[str], None]
"""Raises AccessDenied where whoever is at the line does not speak for the box of this name."""

_BLOCK = 1 << 20
_MOST = 1 << 16
_MOST_MOSAICS_OF_HEADS = 16
"""In one question: boxes ask about one, and each is a reading of all tiles of it."""
_SHA256_DIGITS = 64


def answer(
    house: House, question: Mapping[str, Any], version: str, speaks: Speaks = lambda _box: None
) -> dict[str, Any]:
    """What of the things that a box asks about is not here, and how far its logs were taken in.

    version  of flycam here. Raises SourceUnreadable for a box of another version, or of this one's name, and
    what `speaks` raises.
    """
    if question.get("format") != STEP_FORMAT:
        raise SourceUnreadable(
            _(
                "{box}: speaks another language over the line ({step_format}, flycam "
                "{version}) than this box ({value!r:.20}); bring both to the same version",
                box=house.box,
                step_format=STEP_FORMAT,
                version=version,
                value=question.get("format"),
            )
        )
    try:
        box = text(question["box"])
        # a question about heads names no records: none of those that are kept here is let go by it
        records = None if "heads" in question else [hex_digits(one) for one in _all_of(question["records"])]
        originals = [hex_digits(one) for one in _all_of(question["originals"])]
        terrain, mosaics = (
            [segment(one) for one in _all_of(question[name])] for name in ("terrain", "mosaics")
        )
        heads = {
            segment(one): [hex_digits(each, HEAD_DIGITS) for each in _all_of(some)]
            for one, some in _all_of(list(dict(question.get("heads", {})).items()), _MOST_MOSAICS_OF_HEADS)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise SourceUnreadable(
            _("what the box asks does not read ({error}); bring both boxes to the same version", error=error)
        ) from error
    if box == house.box:
        raise SourceUnreadable(
            _("{box}: both boxes carry this name; give one a name of its own with FLYCAM_BOX", box=box)
        )
    speaks(box)
    taken, logs = taken_of(house.store, box), {keys.log_id(box, one) for one in mosaics}
    return {
        "box": house.box,
        "format": STEP_FORMAT,
        "taken": {one: [taken[one].seq, taken[one].digest] for one in mosaics if one in taken},
        "records": [] if records is None else _records_lacking(house, box, records),
        "terrain": [one for one in terrain if not house.store.exists(keys.terrain(one))],
        "originals": _originals_lacking(house, originals),
        "heads": {one: heads_lacking(house, one, some) for one, some in heads.items()},
        "views": [digest[:MARK_DIGITS] for digest in early_of(house.store, logs)],
        "knows": list(KNOWS),
    }


def take_step(
    house: House, path: Path, hands: Hands, account: str = "", speaks: Speaks = lambda _box: None
) -> TakenIn:
    """Take in a step that lies in a file, whole; taking it in again changes nothing.

    account  that sent it, for the audit log. Raises SourceUnreadable, RecordsMissing, StoreConflict (boxes of
    one name), FlightBusy, StorageTrouble, and what `speaks` raises.
    """
    manifest, start = manifest_of_step(path, "line")
    speaks(manifest.box)
    source, manifest = made_whole(house, _File(path, manifest.box), manifest, start)
    taken = read_exchange(
        house, source, manifest, start, hands, lambda _stage, _done, _total: None, account=account
    )
    unread = {one.sha256 for one in taken.apart if isinstance(one, Unread)}
    for item, at in places(manifest, start):
        if item.kind is Kind.RECORDS and item.sha256 not in unread:
            house.store.put(keys.given_records(manifest.box, item.sha256), source.read(at, item.size_bytes))
    return taken


def _all_of(asked: list[Any], most: int = _MOST) -> list[Any]:
    """What is asked about, which is never answered in part. ValueError."""
    if len(asked) > most:
        raise ValueError(f"{len(asked)} at once")
    return asked


def _records_lacking(house: House, box: str, asked: list[str]) -> list[str]:
    """Which records are not here; those that the box does not speak of any more are let go."""
    prefix = keys.given_records_prefix(box)
    here = {key.removeprefix(prefix): key for key in house.store.list(prefix)}
    for sha256 in here.keys() - set(asked):
        house.store.delete(here[sha256])
    return [one for one in asked if one not in here and len(one) == _SHA256_DIGITS]


def _originals_lacking(house: House, asked: list[str]) -> list[str]:
    """Which originals are not here; what was let go is not asked for."""
    gone = standing_let_go(house.catalog.retention.of_originals(asked))
    return [one for one in asked if one not in gone and not house.store.exists(keys.evidence(one))]


class _File:
    """A step's bytes. path: what is named where they are wrong, which is the box they are from."""

    def __init__(self, file: Path, box: str) -> None:
        self._file = file
        self._size = file.stat().st_size
        self.path = Path(box)

    def read(self, start: int, length: int) -> bytes:
        return b"".join(self.blocks(start, length))

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        if start + length > self._size:
            raise self._ends_early()
        with self._file.open("rb") as file:
            file.seek(start)
            while length:
                data = file.read(min(length, _BLOCK))
                if not data:  # cut short while it is read
                    raise self._ends_early()
                yield data
                length -= len(data)

    def _ends_early(self) -> SourceUnreadable:
        return SourceUnreadable(
            _("{path}: what came over the line ends early; it is sent again", path=self.path)
        )
