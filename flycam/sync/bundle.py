"""Bundles: an exchange as files on a stick.

Written incrementally, read whole or not at all.

    write: cursor -> offer -> manifest and objects as one stream -> parts
    read:  parts verified -> manifest -> `exchange_import.import_exchange`

The stream is the length of the manifest (u64, little-endian), the manifest, then the objects in its
order.
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
from flycam.frame.payload_decoding import parse_bounded_json
from flycam.messages import _
from flycam.mosaic.peer_tiles import read_peer_cursors
from flycam.store import keys
from flycam.store.fsync import move_into_place
from flycam.store.regular_file import create_regular, open_regular
from flycam.sync.bundle_parts import (
    FAT32_BYTES,
    PART_HEADER_BYTES,
    BundleParts,
    plan_part_sizes,
    require_no_folder,
    write_parts,
)
from flycam.sync.exchange_import import ImportProgress, import_exchange
from flycam.sync.exchange_merge import ApplyHooks, ApplyReport, find_outdated_mosaics
from flycam.sync.manifest import (
    ExchangeManifest,
    ObjectKind,
    compute_manifest_id,
    decode_manifest,
    encode_manifest,
)
from flycam.sync.node import Node
from flycam.sync.offer import ExchangeOffer, build_offer
from flycam.sync.source import build_hash_mismatch_error

_LENGTH = struct.Struct("<Q")
_RECEIPT = ".receipt.json"
_MIN_PART_BYTES = 64 << 10
_MAX_RECEIPT_BYTES, _MAX_RECEIPT_VALUES = 16 << 20, 1 << 20
_MAX_MANIFEST_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleWriteReport:
    """Contents of a written bundle.

    written  parts that were not there already
    readers  nodes whose receipts allowed the rest to be left out
    skipped  keys of objects that are lost or damaged here and therefore missing from the bundle
    """

    bundle_id: str
    flights: int
    tiles: int
    originals: int
    size_bytes: int
    parts: int
    written: int
    readers: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """Cursor of a node in another node's logs.

    reader  name of the node that read the bundle
    cursor  last imported log line, by mosaic
    """

    reader: str
    cursor: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleReadReport:
    """Result of reading a bundle.

    box      node that wrote it
    tiles    in it; known: those that were skipped because a later state of their logs had been imported
    receipt  file that tells the writer so; None if the stick could not be written
    """

    bundle_id: str
    box: str
    tiles: int
    applied: ApplyReport
    receipt: Path | None
    known: int = 0


def write_bundle(
    node: Node,
    path: Path,
    *,
    receipt: Path | None = None,
    full: bool = False,
    includes_originals: bool = False,
    part_bytes: int = FAT32_BYTES,
) -> BundleWriteReport:
    """Write what a peer lacks as a bundle at `path`; if interrupted, call it again.

    receipt            the peer's last receipt; None: those beside `path`, of all nodes that read it
    full               write everything, whatever receipts state
    includes_originals originals too
    part_bytes         the largest file, bytes

    Raises OptionUnusable for a receipt that is another node's and for a folder, StoreConflict for a
    receipt of another node with this name, DiskFull, StorageFailed, ObjectMissing.
    """
    require_no_folder(path)
    if part_bytes < _MIN_PART_BYTES:
        raise OptionUnusable(
            _(
                "--part-size {part_bytes}: parts hold at least {smallest_part} bytes; give a larger size",
                part_bytes=part_bytes,
                smallest_part=_MIN_PART_BYTES,
            )
        )
    found = [] if full else [receipt] if receipt is not None else find_receipts(path)
    receipts = [read_receipt(one, node.box) for one in found]
    offered = build_offer(
        node, _intersect_cursors(one.cursor for one in receipts), originals=includes_originals
    )
    manifest = offered.manifest
    said = encode_manifest(manifest)
    bundle_id = compute_manifest_id(said)
    sizes = _plan_part_sizes(_LENGTH.size + len(said) + manifest.size_bytes, part_bytes)
    written = write_parts(path, bundle_id, _stream(said, offered), sizes)
    kinds = [item.kind for item in manifest.items]
    return BundleWriteReport(
        bundle_id=bundle_id,
        flights=kinds.count(ObjectKind.RECORDS),
        tiles=kinds.count(ObjectKind.TILE),
        originals=kinds.count(ObjectKind.ORIGINAL),
        size_bytes=sum(sizes) + len(sizes) * PART_HEADER_BYTES,
        parts=len(sizes),
        written=written,
        readers=tuple(sorted({one.reader for one in receipts})),
        skipped=offered.skipped,
    )


def read_bundle(
    node: Node,
    path: Path,
    hooks: ApplyHooks,
    progress: ImportProgress = lambda _stage, _done, _total: None,
) -> BundleReadReport:
    """Import the bundle at `path`, verified before anything is written; idempotent.

    Leaves a receipt beside the bundle, from which `write_bundle` continues. Raises SourceUnreadable (a part
    is missing, damaged or foreign; nothing was changed), StoreConflict (two nodes of one name),
    FlightBusy, StorageFailed (run again: it completes).
    """
    with BundleParts(path) as parts:
        manifest, start = _read_manifest(parts)
        if manifest.box == node.box:
            raise SourceUnreadable(
                _(
                    "{path}: comes from a box called {box}, as this one is: a box does not "
                    "read its own bundle; if it is another box, give it a name of its own "
                    "with FLYCAM_BOX",
                    path=path,
                    box=node.box,
                )
            )
        older = find_outdated_mosaics(node, manifest)
        taken = import_exchange(node, parts, manifest, start, hooks, progress)
    receipt = _write_receipt(node, path, manifest.box)
    tiles = [item.tile.mosaic_id for item in manifest.items if item.kind is ObjectKind.TILE and item.tile]
    return BundleReadReport(
        bundle_id=parts.bundle_id,
        box=manifest.box,
        tiles=len(tiles),
        applied=taken,
        receipt=receipt,
        known=sum(one in older for one in tiles),
    )


def locate_receipt(path: Path, reader: str) -> Path:
    """Return the path of node `reader`'s receipt for the bundle at `path`."""
    return path.with_name(f"{path.name}.{keys.derive_node_id(reader)}{_RECEIPT}")


def find_receipts(path: Path) -> list[Path]:
    """Return the receipts that nodes left beside the bundle at `path`."""
    if not path.parent.is_dir():
        return []
    return sorted(
        one
        for one in path.parent.iterdir()
        if one.name.startswith(f"{path.name}.") and one.name.endswith(_RECEIPT)
    )


def _intersect_cursors(cursors: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the cursor up to which every reader has imported."""
    first, *others = [*cursors] or [{}]
    return {
        mosaic_id: min([seq, *(other.get(mosaic_id, 0) for other in others)])
        for mosaic_id, seq in first.items()
    }


def read_receipt(path: Path, box: str) -> Receipt:
    """Read a receipt that a peer left for node `box`.

    Raises SourceUnreadable, or OptionUnusable if it is for another node.
    """
    try:
        with open_regular(path) as file:
            values = parse_bounded_json(file.read(_MAX_RECEIPT_BYTES), _MAX_RECEIPT_VALUES)
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
    return Receipt(reader=reader, cursor=dict(cursor))


def _plan_part_sizes(total_bytes: int, part_bytes: int) -> list[int]:
    try:
        return plan_part_sizes(total_bytes, part_bytes)
    except ValueError as error:
        raise OptionUnusable(
            _(
                "--part-size {part_bytes}: {total_bytes} bytes would be too many parts; give a larger size",
                part_bytes=part_bytes,
                total_bytes=total_bytes,
            )
        ) from error


def _stream(manifest_bytes: bytes, offered: ExchangeOffer) -> Iterator[bytes]:
    """Yield the bundle's bytes; TileCorrupt if an object does not match the manifest."""
    yield _LENGTH.pack(len(manifest_bytes))
    yield manifest_bytes
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


def _read_manifest(parts: BundleParts) -> tuple[ExchangeManifest, int]:
    """Return the manifest and the offset of the first object."""
    (length,) = _LENGTH.unpack(parts.read(0, _LENGTH.size))
    start = _LENGTH.size + length
    is_there = start <= parts.size_bytes and length <= _MAX_MANIFEST_BYTES
    said = parts.read(_LENGTH.size, length) if is_there else b""
    manifest = decode_manifest(said, str(parts.path))
    if compute_manifest_id(said) != parts.bundle_id or start + manifest.size_bytes != parts.size_bytes:
        raise build_hash_mismatch_error(parts.path)
    return manifest, start


def _write_receipt(node: Node, path: Path, giver: str) -> Path | None:
    """Write the cursor in the sender's logs for its next bundle.

    Returns None if the stick cannot be written.
    """
    cursor = {mosaic_id: taken.seq for mosaic_id, taken in read_peer_cursors(node.store, giver).items()}
    said = json.dumps({"of": giver, "by": node.box, "cursor": cursor}, sort_keys=True, ensure_ascii=False)
    target = locate_receipt(path, node.box)
    scratch = target.with_name(f"{target.name}.writing")
    try:
        with create_regular(scratch) as file:
            file.write(said.encode())
            # the writer of the next bundle, another user perhaps, reads it; FAT has no modes
            with suppress(OSError):
                os.fchmod(file.fileno(), 0o644)
        move_into_place(scratch, target)
    except OSError:
        return None
    return target
