"""A bundle: an exchange as files on a stick. Written incrementally, read whole or not at all.

    write: cursor -> offer -> manifest and objects as one stream -> parts
    read:  parts verified -> manifest -> `reading.read_exchange`

The stream is the length of the manifest (u64, little-endian), the manifest, then the objects in its order.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flycam.errors import OptionUnusable, SourceUnreadable, TileCorrupt
from flycam.frame.unpacking import json_in
from flycam.messages import _
from flycam.mosaic.given import taken_of
from flycam.store import keys
from flycam.store.regular import new_file, open_regular
from flycam.store.syncing import move_into_place
from flycam.sync.house import House
from flycam.sync.manifest import Kind, Manifest, manifest_from_bytes, manifest_id, manifest_to_bytes
from flycam.sync.offering import Offer, offer
from flycam.sync.parts import (
    FAT32_BYTES,
    HEAD_BYTES,
    Parts,
    part_sizes,
    require_no_folder,
    write_parts,
)
from flycam.sync.reading import Progress, read_exchange
from flycam.sync.source import not_what_it_says
from flycam.sync.taking import Hands, TakenIn, older_in

_LENGTH = struct.Struct("<Q")
_RECEIPT = ".receipt.json"
_SMALLEST_PART = 64 << 10
_MAX_RECEIPT_BYTES, _MAX_RECEIPT_VALUES = 16 << 20, 1 << 20
_MAX_MANIFEST_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleWritten:
    """What lies on the stick. written: parts that were not there already; readers: boxes by whose receipts
    the rest was left out; passed: keys of what is lost or damaged here and therefore not on it."""

    bundle_id: str
    flights: int
    tiles: int
    originals: int
    size_bytes: int
    parts: int
    written: int
    readers: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far a box took in another's logs. by: its name; cursor: the last line of each mosaic's."""

    by: str
    cursor: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleRead:
    """What came of a bundle.

    box      who gave it
    tiles    in it; known: those of them that were left out, for more of their logs came before
    receipt  the file that tells the giver so; None if the stick could not be written
    """

    bundle_id: str
    box: str
    tiles: int
    taken: TakenIn
    receipt: Path | None
    known: int = 0


def write_bundle(
    house: House,
    path: Path,
    *,
    receipt: Path | None = None,
    whole: bool = False,
    originals: bool = False,
    part_bytes: int = FAT32_BYTES,
) -> BundleWritten:
    """Write what a peer lacks as a bundle at `path`; stopped anywhere, the same call goes on.

    receipt     the peer's last receipt; None: those beside `path`, of all boxes that read it
    whole       all is written, whatever receipts say
    part_bytes  the largest file, bytes

    Raises InputUnusable for a receipt that is another box's, and for a folder, StoreConflict for one of
    another box of this name, DiskFull, StorageTrouble, ObjectMissing.
    """
    require_no_folder(path)
    if part_bytes < _SMALLEST_PART:
        raise OptionUnusable(
            _(
                "--part-size {part_bytes}: parts hold at least {smallest_part} bytes; give a larger size",
                part_bytes=part_bytes,
                smallest_part=_SMALLEST_PART,
            )
        )
    found = [] if whole else [receipt] if receipt is not None else receipts_beside(path)
    receipts = [read_receipt(one, house.box) for one in found]
    offered = offer(house, _common(one.cursor for one in receipts), originals=originals)
    manifest = offered.manifest
    said = manifest_to_bytes(manifest)
    bundle_id = manifest_id(said)
    sizes = _sizes(_LENGTH.size + len(said) + manifest.size_bytes, part_bytes)
    written = write_parts(path, bundle_id, _stream(said, offered), sizes)
    kinds = [item.kind for item in manifest.items]
    return BundleWritten(
        bundle_id=bundle_id,
        flights=kinds.count(Kind.RECORDS),
        tiles=kinds.count(Kind.TILE),
        originals=kinds.count(Kind.ORIGINAL),
        size_bytes=sum(sizes) + len(sizes) * HEAD_BYTES,
        parts=len(sizes),
        written=written,
        readers=tuple(sorted({one.by for one in receipts})),
        passed=offered.passed,
    )


def read_bundle(
    house: House,
    path: Path,
    hands: Hands,
    progress: Progress = lambda _stage, _done, _total: None,
) -> BundleRead:
    """Take in the bundle at `path`, all of it verified before anything is written; idempotent.

    A receipt is left beside the bundle: `write_bundle` goes on from it. Raises SourceUnreadable (a part is
    missing, damaged or foreign; nothing was changed), StoreConflict (boxes of one name), FlightBusy,
    StorageTrouble (run again: it completes).
    """
    with Parts(path) as parts:
        manifest, start = _manifest(parts)
        if manifest.box == house.box:
            raise SourceUnreadable(
                _(
                    "{path}: comes from a box called {box}, as this one is: a box does not "
                    "read its own bundle; if it is another box, give it a name of its own "
                    "with FLYCAM_BOX",
                    path=path,
                    box=house.box,
                )
            )
        older = older_in(house, manifest)
        taken = read_exchange(house, parts, manifest, start, hands, progress)
    receipt = _leave_receipt(house, path, manifest.box)
    tiles = [item.tile.mosaic_id for item in manifest.items if item.kind is Kind.TILE and item.tile]
    return BundleRead(
        bundle_id=parts.bundle_id,
        box=manifest.box,
        tiles=len(tiles),
        taken=taken,
        receipt=receipt,
        known=sum(one in older for one in tiles),
    )


def receipt_path(path: Path, reader: str) -> Path:
    """Where the receipt of the bundle at `path` lies that this box left."""
    return path.with_name(f"{path.name}.{keys.box_id(reader)}{_RECEIPT}")


def receipts_beside(path: Path) -> list[Path]:
    """The receipts that boxes left beside the bundle at `path`."""
    if not path.parent.is_dir():
        return []
    return sorted(
        one
        for one in path.parent.iterdir()
        if one.name.startswith(f"{path.name}.") and one.name.endswith(_RECEIPT)
    )


def _common(cursors: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """What all these cursors have behind them."""
    first, *others = [*cursors] or [{}]
    return {
        mosaic_id: min([seq, *(other.get(mosaic_id, 0) for other in others)])
        for mosaic_id, seq in first.items()
    }


def read_receipt(path: Path, box: str) -> Receipt:
    """A receipt that a peer left for this box. SourceUnreadable, OptionUnusable."""
    try:
        with open_regular(path) as file:
            values = json_in(file.read(_MAX_RECEIPT_BYTES), _MAX_RECEIPT_VALUES)
        giver, reader, cursor = values["of"], str(values["by"]), values["cursor"]
        if not all(isinstance(seq, int) and seq >= 0 for seq in cursor.values()):
            raise ValueError("a line number is none")
    except FileNotFoundError as error:
        raise SourceUnreadable(
            _(
                "{path}: there is no such receipt; bundles look for those beside them by "
                "themselves: leave --receipt out, or write all with --all",
                path=path,
            )
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceUnreadable(
            _(
                "{path}: this receipt does not read ({error}); remove it, or write all with --all",
                path=path,
                error=error,
            )
        ) from error
    if giver != box:
        raise OptionUnusable(
            _(
                "{path}: is a receipt for {giver}, and this box is {box}; remove it, or write all with --all",
                path=path,
                giver=giver,
                box=box,
            )
        )
    return Receipt(by=reader, cursor=dict(cursor))


def _sizes(total_bytes: int, part_bytes: int) -> list[int]:
    try:
        return part_sizes(total_bytes, part_bytes)
    except ValueError as error:
        raise OptionUnusable(
            _(
                "--part-size {part_bytes}: {total_bytes} bytes would be too many parts; give a larger size",
                part_bytes=part_bytes,
                total_bytes=total_bytes,
            )
        ) from error


def _stream(said: bytes, offered: Offer) -> Iterator[bytes]:
    """The bundle's bytes. TileCorrupt if an object is not what the manifest says by now."""
    yield _LENGTH.pack(len(said))
    yield said
    for item in offered.manifest.items:
        digest, size = hashlib.sha256(), 0
        for data in offered.blocks(item):
            digest.update(data)
            size += len(data)
            yield data
        if (size, digest.hexdigest()) != (item.size_bytes, item.sha256):
            raise TileCorrupt(
                _(
                    "{name}: its bytes in the store do not match their hash; ingest the "
                    "flight again to repair it",
                    name=item.name or item.sha256,
                )
            )


def _manifest(parts: Parts) -> tuple[Manifest, int]:
    """The manifest, and where the first object begins."""
    (length,) = _LENGTH.unpack(parts.read(0, _LENGTH.size))
    start = _LENGTH.size + length
    is_there = start <= parts.size_bytes and length <= _MAX_MANIFEST_BYTES
    said = parts.read(_LENGTH.size, length) if is_there else b""
    manifest = manifest_from_bytes(said, str(parts.path))
    if manifest_id(said) != parts.bundle_id or start + manifest.size_bytes != parts.size_bytes:
        raise not_what_it_says(parts.path)
    return manifest, start


def _leave_receipt(house: House, path: Path, giver: str) -> Path | None:
    """How far the giver's logs were taken in, for its next bundle; None where the stick cannot be written."""
    cursor = {mosaic_id: taken.seq for mosaic_id, taken in taken_of(house.store, giver).items()}
    said = json.dumps({"of": giver, "by": house.box, "cursor": cursor}, sort_keys=True, ensure_ascii=False)
    target = receipt_path(path, house.box)
    scratch = target.with_name(f"{target.name}.writing")
    try:
        with new_file(scratch) as file:
            file.write(said.encode())
            with suppress(OSError):  # whoever writes the next bundle reads it; FAT has no modes
                os.fchmod(file.fileno(), 0o644)
        move_into_place(scratch, target)
    except OSError:
        return None
    return target
