"""Bundles: an exchange as files on a USB stick, written in parts.

Written incrementally, read whole or not at all.

    write: cursor -> offer -> manifest and objects as one stream -> parts
    read:  parts verified -> manifest -> `exchange_import.import_exchange`

The stream is the length of the manifest (u64, little-endian), the manifest, then the objects in its order.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from flycam.errors import DiskFull, OptionUnusable, SourceUnreadable, StorageFailed, TileCorrupt
from flycam.messages import _
from flycam.mosaic.tiles.peers import read_peer_cursors
from flycam.storage import keys
from flycam.storage.disk_space import DISK_FULL_ERRNOS
from flycam.storage.files import create_regular, move_into_place, open_regular, parse_bounded_json
from flycam.sync.exchange_import import ImportProgress, import_exchange
from flycam.sync.exchange_merge import ApplyHooks, ApplyReport, find_outdated_mosaics
from flycam.sync.manifest import (
    ExchangeManifest,
    ObjectKind,
    compute_manifest_id,
    decode_manifest,
    encode_manifest,
)
from flycam.sync.node import Node, build_hash_mismatch_error
from flycam.sync.offer import ExchangeOffer, build_offer

# -- Split of a byte stream into files that fit on a USB stick (docs/formats/bundle.md) ------------
#
# Each file begins with a header:
#
#     magic "FCBNDL1\n" · bundle id 32 bytes · number u32 · count u32 · payload bytes u64
#     · SHA-256 of the payload · CRC-32 of all before u32, little-endian; then the payload
#
# Part 1 is FILE, part n is FILE.00n. A part is written under a temporary name, synced and renamed, so that it
# is whole or absent; part 1 comes last.


FAT32_BYTES = (1 << 32) - 1
"""The largest file that FAT32 holds."""

_HEADER = struct.Struct("<8s32sIIQ32s")
_CRC = struct.Struct("<I")
PART_HEADER_BYTES = _HEADER.size + _CRC.size
_MAGIC = b"FCBNDL1\n"
_BLOCK = 1 << 20
_MAX_PARTS = 9999
_UNFINISHED_SUFFIX = ".writing"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartHeader:
    """Header of a part; sha256 is of its payload."""

    bundle_id: str
    number: int
    count: int
    size_bytes: int
    sha256: str


def locate_part(path: Path, number: int) -> Path:
    """Return the path of part `number` (from 1) of the bundle at `path`."""
    return path if number == 1 else path.with_name(f"{path.name}.{number:03d}")


def require_no_folder(path: Path) -> None:
    """Raise OptionUnusable if `path` is a folder.

    StorageFailed if the stick does not read.
    """
    with _translate_read_errors(path):
        found = sorted(path.glob("*.fcb")) if path.is_dir() else None
    if found is not None:
        name = found[0] if found else path / "map.fcb"
        raise OptionUnusable(
            _("{path}: is a folder; name the bundle's file in it, such as {name}", path=path, name=name)
        )


def plan_part_sizes(total_bytes: int, part_bytes: int) -> list[int]:
    """Return the payload bytes of each part of a stream; at least one part.

    `part_bytes` is the size of a whole file. ValueError if a part would hold nothing or there would be
    too many.
    """
    room = part_bytes - PART_HEADER_BYTES
    if room <= 0 or total_bytes > room * _MAX_PARTS:
        raise ValueError(f"{total_bytes} bytes in parts of {part_bytes}")
    full_parts, rest = divmod(total_bytes, room)
    return [room] * full_parts + ([rest] if rest or not full_parts else [])


def encode_part_header(head: PartHeader) -> bytes:
    """Encode a part's header."""
    packed = _HEADER.pack(
        _MAGIC,
        bytes.fromhex(head.bundle_id),
        head.number,
        head.count,
        head.size_bytes,
        bytes.fromhex(head.sha256),
    )
    return packed + _CRC.pack(zlib.crc32(packed))


def decode_part_header(data: bytes, path: Path) -> PartHeader:
    """Decode a part's header; SourceUnreadable if `data` is not one."""
    packed = data[: _HEADER.size]
    # zeros are what a stick holds that was pulled out before its data were flushed
    is_blank = not any(data)
    if packed[: len(_MAGIC)] != _MAGIC and not is_blank:
        raise SourceUnreadable(
            _("{path}: this is not a flycam bundle; give the file that `flycam bundle write` made", path=path)
        )
    if is_blank or len(data) < PART_HEADER_BYTES:
        raise _build_damaged_error(path)
    __, bundle_id, number, count, size, sha256 = _HEADER.unpack(packed)
    if (
        _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(packed)
        or not 1 <= number <= count <= _MAX_PARTS
    ):
        raise _build_damaged_error(path)
    return PartHeader(
        bundle_id=bundle_id.hex(), number=number, count=count, size_bytes=size, sha256=sha256.hex()
    )


def write_parts(path: Path, bundle_id: str, stream: Iterable[bytes], sizes: list[int]) -> int:
    """Write the stream as parts of these payload sizes; return how many were written.

    Parts that were there already, whole, are kept. Raises DiskFull, StorageFailed; ValueError if the
    stream's length differs from the sum of `sizes`.
    """
    source = _BlockReader(stream)
    written = 0
    first: Path | None = None
    with _translate_write_errors(path):
        _remove_unfinished(path)
        for number, size in enumerate(sizes, start=1):
            target = locate_part(path, number)
            if _is_complete(target, bundle_id, number, len(sizes), size):
                source.skip(size)
                continue
            scratch = target.with_name(f"{target.name}{_UNFINISHED_SUFFIX}")
            _write_part(scratch, bundle_id, number, len(sizes), size, source)
            # part 1 is moved into place last: without it the bundle does not open
            if number == 1:
                first = scratch
            else:
                move_into_place(scratch, target)
            written += 1
        source.require_end()
        if first is not None:
            move_into_place(first, path)
        _remove_older(path, len(sizes))
    return written


class BundleParts:
    """Verified parts as one stream with random access.

    Close it, or use `with`.
    """

    def __init__(self, path: Path) -> None:
        """Open and verify every part of the bundle at `path`: all there, whole, alike.

        Raises SourceUnreadable, naming the file and the remedy; OptionUnusable for a folder;
        StorageFailed if the stick does not read.
        """
        require_no_folder(path)
        self.path = path
        with _translate_read_errors(path):
            if not path.exists():
                raise SourceUnreadable(
                    _(
                        "{path}: there is no such file; name the first part, without a number at its end",
                        path=path,
                    )
                )
            first = _verify_part(path, 1, None)
            self.bundle_id = first.bundle_id
            heads = [
                first,
                *(_verify_part(locate_part(path, n), n, first) for n in range(2, first.count + 1)),
            ]
        self._starts = [0]
        for head in heads:
            self._starts.append(self._starts[-1] + head.size_bytes)
        self._open: tuple[int, BinaryIO] | None = None

    def __enter__(self) -> BundleParts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the part that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    @property
    def size_bytes(self) -> int:
        """Bytes of the stream."""
        return self._starts[-1]

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes start..start+length of the stream; SourceUnreadable beyond its end."""
        if start + length > self.size_bytes:
            raise _build_damaged_error(self.path)
        while length:
            number = next(n for n, stop in enumerate(self._starts[1:], start=1) if start < stop)
            with _translate_read_errors(locate_part(self.path, number)):
                file = self._file(number)
                file.seek(PART_HEADER_BYTES + start - self._starts[number - 1])
                data = file.read(min(length, _BLOCK, self._starts[number] - start))
            if not data:
                raise _build_damaged_error(locate_part(self.path, number))
            yield data
            start += len(data)
            length -= len(data)

    def read(self, start: int, length: int) -> bytes:
        """Return what `blocks` yields in one piece."""
        return b"".join(self.blocks(start, length))

    def _file(self, number: int) -> BinaryIO:
        if self._open is None or self._open[0] != number:
            self.close()
            self._open = (number, BufferedReader(open_regular(locate_part(self.path, number))))
        return self._open[1]


class _BlockReader:
    """Reader of byte counts from blocks of any size."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = b""

    def take(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._rest:
                self._rest = next(self._blocks, b"")
                if not self._rest:
                    raise ValueError(f"the stream ends {size} bytes early")
            data, self._rest = self._rest[:size], self._rest[size:]
            size -= len(data)
            yield data

    def skip(self, size: int) -> None:
        for __ in self.take(size):
            pass

    def require_end(self) -> None:
        if self._rest or any(self._blocks):
            raise ValueError("the stream is longer than its parts")


def _write_part(
    scratch: Path, bundle_id: str, number: int, count: int, size: int, source: _BlockReader
) -> None:
    digest = hashlib.sha256()
    with create_regular(scratch) as file:
        file.write(bytes(PART_HEADER_BYTES))
        for data in source.take(size):
            digest.update(data)
            file.write(data)
        file.seek(0)
        head = PartHeader(
            bundle_id=bundle_id, number=number, count=count, size_bytes=size, sha256=digest.hexdigest()
        )
        file.write(encode_part_header(head))


def _remove_unfinished(path: Path) -> None:
    """Delete the unfinished parts of an interrupted write under this name.

    Otherwise those of a bundle with more parts would stay.
    """
    begun = re.compile(rf"{re.escape(path.name)}(\.\d+)?{re.escape(_UNFINISHED_SUFFIX)}")
    if path.parent.is_dir():
        for one in list(path.parent.iterdir()):
            if begun.fullmatch(one.name):
                one.unlink()


def _remove_older(path: Path, count: int) -> None:
    """Delete the parts of an older, longer bundle of this name."""
    number = count + 1
    while (older := locate_part(path, number)).exists():
        older.unlink()
        number += 1


def _is_complete(path: Path, bundle_id: str, number: int, count: int, size: int) -> bool:
    """Return True if a part of this bundle exists as it would be written now."""
    try:
        with BufferedReader(open_regular(path)) as file:
            head = decode_part_header(file.read(PART_HEADER_BYTES), path)
            wanted = (bundle_id, number, count, size)
            is_part = (head.bundle_id, head.number, head.count, head.size_bytes) == wanted
            return is_part and _matches_payload(file, head)
    except (OSError, SourceUnreadable):
        return False


def _verify_part(path: Path, number: int, first: PartHeader | None) -> PartHeader:
    """Return the header of part `number`, verified whole and of the same bundle."""
    with BufferedReader(open_regular(path)) as file:
        head = decode_part_header(file.read(PART_HEADER_BYTES), path)
        if first is None and head.number != 1:
            raise SourceUnreadable(
                _(
                    "{path}: this is part {number} of {count}; give the first part, the one without a number",
                    path=path,
                    number=head.number,
                    count=head.count,
                )
            )
        if first is not None and (head.bundle_id, head.number, head.count) != (
            first.bundle_id,
            number,
            first.count,
        ):
            raise SourceUnreadable(
                _(
                    "{path}: belongs to another bundle than the first part; copy all parts of "
                    "one bundle, or write it again",
                    path=path,
                )
            )
        if not _matches_payload(file, head):
            raise _build_damaged_error(path)
    return head


def _matches_payload(file: BinaryIO, head: PartHeader) -> bool:
    """Return True if the rest of `file` is exactly the payload that `head` names."""
    digest, size = hashlib.sha256(), 0
    while data := file.read(_BLOCK):
        digest.update(data)
        size += len(data)
    return (size, digest.hexdigest()) == (head.size_bytes, head.sha256)


def _build_damaged_error(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{path}: is damaged or cut short; copy it again, or write the bundle again on "
            "the node it comes from",
            path=path,
        )
    )


@contextmanager
def _translate_read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        missing = error.filename or path
        raise SourceUnreadable(
            _(
                "{missing}: this part of the bundle is missing; copy it beside the others, or "
                "write the bundle again",
                missing=missing,
            )
        ) from error
    except OSError as error:
        raise StorageFailed(
            _(
                "{path}: cannot be read ({strerror}); put the stick in again and run again, "
                "nothing was changed",
                path=path,
                strerror=error.strerror,
            )
        ) from error


@contextmanager
def _translate_write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFull(
                _(
                    "{path}: no space left for the bundle, or the file is too large for this "
                    "stick; use a larger one, or smaller parts with --part-size; the same "
                    "command resumes",
                    path=path,
                )
            ) from error
        if not path.parent.is_dir():
            raise StorageFailed(
                _(
                    "{path}: the folder {parent} is not there; put the stick in, or name a "
                    "folder that is there, and run again",
                    path=path,
                    parent=path.parent,
                )
            ) from error
        raise StorageFailed(
            _(
                "{path}: cannot be written ({strerror}); put the stick in again and run again, it goes on",
                path=path,
                strerror=error.strerror,
            )
        ) from error


# -- Writing and reading of bundles, and receipts --------------------------------------------------


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
    encoded = encode_manifest(manifest)
    bundle_id = compute_manifest_id(encoded)
    sizes = _plan_part_sizes(_LENGTH.size + len(encoded) + manifest.size_bytes, part_bytes)
    written = write_parts(path, bundle_id, _stream(encoded, offered), sizes)
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
                    "{path}: comes from a node called {box}, as this one is: a node does not read "
                    "its own bundle; if it is another node, give it a name of its own with "
                    "FLYCAM_BOX",
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
                "{path}: is a receipt for {giver}, and this node is {box}; remove it, or write "
                "all with --all",
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
    encoded = parts.read(_LENGTH.size, length) if is_there else b""
    manifest = decode_manifest(encoded, str(parts.path))
    if compute_manifest_id(encoded) != parts.bundle_id or start + manifest.size_bytes != parts.size_bytes:
        raise build_hash_mismatch_error(parts.path)
    return manifest, start


def _write_receipt(node: Node, path: Path, giver: str) -> Path | None:
    """Write the cursor in the sender's logs for its next bundle.

    Returns None if the stick cannot be written.
    """
    cursor = {mosaic_id: taken.seq for mosaic_id, taken in read_peer_cursors(node.store, giver).items()}
    receipt = json.dumps({"of": giver, "by": node.box, "cursor": cursor}, sort_keys=True, ensure_ascii=False)
    target = locate_receipt(path, node.box)
    scratch = target.with_name(f"{target.name}.writing")
    try:
        with create_regular(scratch) as file:
            file.write(receipt.encode())
            # the writer of the next bundle, another user perhaps, reads it; FAT has no modes
            with suppress(OSError):
                os.fchmod(file.fileno(), 0o644)
        move_into_place(scratch, target)
    except OSError:
        return None
    return target
