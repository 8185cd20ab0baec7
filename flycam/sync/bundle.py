"""Bundles: an exchange as files on a USB stick, signed and written in parts.

Written incrementally, read whole or not at all (docs/formats/bundle.md).

    write: cursor -> offer -> its seal -> its bytes in parts
    read:  seal -> parts verified -> manifest -> key of its node -> `exchange_import.import_exchange`
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from flycam.errors import DiskFull, OptionUnusable, SourceUnreadable, StorageFailed
from flycam.messages import _
from flycam.mosaic.tiles.peers import read_peer_cursors
from flycam.storage import keys
from flycam.storage.files import (
    DISK_FULL_ERRNOS,
    create_regular,
    move_into_place,
    open_regular,
    parse_bounded_json,
)
from flycam.sync.exchange import (
    DECODE_ERRORS,
    Count,
    ExchangeSource,
    KeySegment,
    Name,
    ObjectKind,
    encode_json,
    from_values,
    read_manifest,
    to_values,
)
from flycam.sync.exchange_import import (
    ApplyHooks,
    ApplyReport,
    ImportProgress,
    find_outdated_mosaics,
    import_exchange,
)
from flycam.sync.node_keys import BundleSeal, require_node_key, seal_bundle
from flycam.sync.step_planner import StepPlanner
from flycam.workspace import Workspace

# -- Split of a byte stream into files that fit on a USB stick -------------------------------------
#
# Each file begins with a header:
#
#     magic "FCBNDL1\n" · bundle id 32 bytes · public key 32 · signature 64 · number u32 · count u32
#     · payload bytes u64 · SHA-256 of the payload · CRC-32 of all before u32, little-endian; then the payload
#
# Part 1 is FILE, part n is FILE.00n. A part is written under a temporary name, synced and renamed, so that it
# is whole or absent; part 1 comes last.


FAT32_BYTES = (1 << 32) - 1
"""The largest file that FAT32 holds."""

_HEADER = struct.Struct("<8s32s32s64sIIQ32s")
_CRC = struct.Struct("<I")
PART_HEADER_BYTES = _HEADER.size + _CRC.size
_MAGIC = b"FCBNDL1\n"
_MAX_PARTS = 9999
_UNFINISHED_SUFFIX = ".writing"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartHeader:
    """Header of a part; sha256 is of its payload."""

    seal: BundleSeal
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

    `part_bytes` is the size of a whole file. Raises OptionUnusable if there would be too many.
    """
    room = part_bytes - PART_HEADER_BYTES
    if total_bytes > room * _MAX_PARTS:
        raise OptionUnusable(
            _(
                "--part-size {part_bytes}: {total_bytes} bytes would be too many parts; give a larger size",
                part_bytes=part_bytes,
                total_bytes=total_bytes,
            )
        )
    full_parts, rest = divmod(total_bytes, room)
    return [room] * full_parts + ([rest] if rest or not full_parts else [])


def encode_part_header(head: PartHeader) -> bytes:
    """Encode a part's header."""
    seal = [bytes.fromhex(one) for one in (head.seal.bundle_id, head.seal.key, head.seal.signature)]
    sha256 = bytes.fromhex(head.sha256)
    packed = _HEADER.pack(_MAGIC, *seal, head.number, head.count, head.size_bytes, sha256)
    return packed + _CRC.pack(zlib.crc32(packed))


def decode_part_header(data: bytes, path: Path) -> PartHeader:
    """Decode a part's header; SourceUnreadable if `data` is not one, or its seal is not valid."""
    packed = data[: _HEADER.size]
    # zeros are what a stick holds that was pulled out before its data were flushed
    is_blank = not any(data)
    if packed[: len(_MAGIC)] != _MAGIC and not is_blank:
        raise SourceUnreadable(
            _("{path}: this is not a flycam bundle; give the file that `flycam bundle write` made", path=path)
        )
    if is_blank or len(data) < PART_HEADER_BYTES:
        raise _build_damaged_error(path)
    __, bundle_id, key, signature, number, count, size, sha256 = _HEADER.unpack(packed)
    is_whole = _CRC.unpack_from(data, _HEADER.size)[0] == zlib.crc32(packed)
    if not is_whole or not 1 <= number <= count <= _MAX_PARTS:
        raise _build_damaged_error(path)
    seal = BundleSeal(bundle_id=bundle_id.hex(), key=key.hex(), signature=signature.hex())
    if not seal.is_valid:
        raise SourceUnreadable(
            _(
                "{path}: its signature is missing or wrong, so it is not as a node wrote it; write it again "
                "on the node it comes from",
                path=path,
            )
        )
    return PartHeader(seal=seal, number=number, count=count, size_bytes=size, sha256=sha256.hex())


def write_parts(
    path: Path, seal: BundleSeal, blocks_from: Callable[[int], Iterator[bytes]], sizes: list[int]
) -> int:
    """Write a stream as parts of these payload sizes; return how many were written.

    blocks_from  yields the stream from an offset on

    Parts that were there already, whole, are kept. Raises DiskFull, StorageFailed; ValueError if the stream
    is shorter than the sum of `sizes`.
    """
    written = start = 0
    first: Path | None = None
    with _translate_write_errors(path):
        _remove_unfinished(path)
        for number, size in enumerate(sizes, start=1):
            target, count = locate_part(path, number), len(sizes)
            if not _is_complete(target, (seal, number, count, size)):
                scratch = target.with_name(f"{target.name}{_UNFINISHED_SUFFIX}")
                _write_part(scratch, seal, number, count, _take(blocks_from(start), size))
                # part 1 is moved into place last: without it the bundle does not open
                if number == 1:
                    first = scratch
                else:
                    move_into_place(scratch, target)
                written += 1
            start += size
        if first is not None:
            move_into_place(first, path)
        _remove_older(path, len(sizes))
    return written


class BundleParts(ExchangeSource):
    """Verified parts of a bundle as one stream."""

    def __init__(self, path: Path) -> None:
        """Open and verify every part of the bundle at `path`: all there, whole, alike.

        Raises SourceUnreadable, naming the file and the remedy; OptionUnusable for a folder;
        StorageFailed if the stick does not read.
        """
        require_no_folder(path)
        with _translate_read_errors(path):
            if not path.exists():
                raise SourceUnreadable(
                    _(
                        "{path}: there is no such file; name the first part, without a number at its end",
                        path=path,
                    )
                )
            first = _verify_part(path, 1, None)
            others = [_verify_part(locate_part(path, n), n, first) for n in range(2, first.count + 1)]
        self.seal = first.seal
        super().__init__(
            path,
            [
                (locate_part(path, head.number), PART_HEADER_BYTES, head.size_bytes)
                for head in (first, *others)
            ],
        )

    def _read(self, path: Path, at: int, size: int) -> bytes:
        with _translate_read_errors(path):
            return super()._read(path, at, size)


def _take(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes."""
    while size:
        block = next(blocks, b"")[:size]
        if not block:
            raise ValueError(f"the stream ends {size} bytes early")
        yield block
        size -= len(block)


def _write_part(scratch: Path, seal: BundleSeal, number: int, count: int, blocks: Iterable[bytes]) -> None:
    digest, size = hashlib.sha256(), 0
    with create_regular(scratch) as file:
        file.write(bytes(PART_HEADER_BYTES))
        for data in blocks:
            digest.update(data)
            size += len(data)
            file.write(data)
        file.seek(0)
        head = PartHeader(seal=seal, number=number, count=count, size_bytes=size, sha256=digest.hexdigest())
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


def _is_complete(path: Path, wanted: tuple[BundleSeal, int, int, int]) -> bool:
    """Return True if a part exists as it would be written now."""
    try:
        head, is_whole = _read_part(path)
    except (OSError, SourceUnreadable):
        return False
    return is_whole and (head.seal, head.number, head.count, head.size_bytes) == wanted


def _verify_part(path: Path, number: int, first: PartHeader | None) -> PartHeader:
    """Return the header of part `number`, verified whole and of the same bundle."""
    head, is_whole = _read_part(path)
    if first is None and head.number != 1:
        raise SourceUnreadable(
            _(
                "{path}: this is part {number} of {count}; give the first part, the one without a number",
                path=path,
                number=head.number,
                count=head.count,
            )
        )
    if first is not None and (head.seal, head.number, head.count) != (first.seal, number, first.count):
        raise SourceUnreadable(
            _(
                "{path}: belongs to another bundle than the first part; copy all parts of "
                "one bundle, or write it again",
                path=path,
            )
        )
    if not is_whole:
        raise _build_damaged_error(path)
    return head


def _read_part(path: Path) -> tuple[PartHeader, bool]:
    """Return a part's header, and whether the rest is exactly the payload that it names."""
    with BufferedReader(open_regular(path)) as file:
        head = decode_part_header(file.read(PART_HEADER_BYTES), path)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return head, (file.tell() - PART_HEADER_BYTES, digest) == (head.size_bytes, head.sha256)


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
                "{path}: cannot be written ({strerror}); put the stick in again and run again: it resumes",
                path=path,
                strerror=error.strerror,
            )
        ) from error


# -- Writing and reading of bundles, and receipts --------------------------------------------------


_RECEIPT = ".receipt.json"
_MIN_PART_BYTES = 64 << 10
_MAX_RECEIPT_BYTES, _MAX_RECEIPT_VALUES = 16 << 20, 1 << 20
_MAX_MANIFEST_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleWriteReport:
    """Contents of a written bundle.

    key      public key that signed it
    written  parts that were not there already
    readers  nodes whose receipts allowed the rest to be left out
    skipped  keys of objects that are lost or damaged here and therefore missing from the bundle
    """

    bundle_id: str
    key: str
    flights: int
    tiles: int
    originals: int
    size_bytes: int
    parts: int
    written: int
    readers: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Cursor of a node in another node's logs.

    of      node that wrote the bundle; by: node that read it
    cursor  last imported log line, by mosaic
    """

    of: Name
    by: Name
    cursor: Mapping[KeySegment, Count]


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleReadReport:
    """Result of reading a bundle.

    box      node that wrote it; key: its public key, believed from this bundle on if is_new
    tiles    in it; known: those that were skipped because a later state of their logs had been imported
    receipt  file that tells the writer so; None if the stick could not be written
    """

    bundle_id: str
    box: str
    key: str
    is_new: bool
    tiles: int
    applied: ApplyReport
    receipt: Path | None
    known: int = 0


def write_bundle(
    node: Workspace,
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
    cursor = _intersect_cursors(one.cursor for one in receipts)
    offered = StepPlanner(node, originals=includes_originals).build_bundle(cursor)
    sizes = plan_part_sizes(offered.size_bytes, part_bytes)
    seal = seal_bundle(node, offered.head_sha256)
    written = write_parts(path, seal, offered.blocks, sizes)
    kinds = [item.kind for item in offered.manifest.items]
    return BundleWriteReport(
        bundle_id=seal.bundle_id,
        key=seal.key,
        flights=kinds.count(ObjectKind.RECORDS),
        tiles=kinds.count(ObjectKind.TILE),
        originals=kinds.count(ObjectKind.ORIGINAL),
        size_bytes=sum(sizes) + len(sizes) * PART_HEADER_BYTES,
        parts=len(sizes),
        written=written,
        readers=tuple(sorted({one.by for one in receipts})),
        skipped=offered.skipped,
    )


def read_bundle(
    node: Workspace,
    path: Path,
    hooks: ApplyHooks,
    progress: ImportProgress = lambda _stage, _done, _total: None,
) -> BundleReadReport:
    """Import the bundle at `path`, verified before anything is written; idempotent.

    Leaves a receipt beside the bundle, from which `write_bundle` continues. The key of a node that was not
    known is believed once its manifest reads, whatever the rest is. Raises SourceUnreadable (a part is
    missing, damaged, foreign or not signed; nothing was changed), StoreConflict (two nodes of one name),
    FlightBusy, StorageFailed (run again: it completes).
    """
    with BundleParts(path) as parts:
        manifest, start = read_manifest(parts, _MAX_MANIFEST_BYTES, parts.seal.bundle_id)
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
        is_new = require_node_key(node, manifest.box, parts.seal.key, path)
        older = find_outdated_mosaics(node, manifest)
        taken = import_exchange(node, parts, manifest, start, hooks, progress)
    tiles = [item.tile.mosaic_id for item in manifest.items if item.kind is ObjectKind.TILE and item.tile]
    return BundleReadReport(
        bundle_id=parts.seal.bundle_id,
        box=manifest.box,
        key=parts.seal.key,
        is_new=is_new,
        tiles=len(tiles),
        applied=taken,
        receipt=_write_receipt(node, path, manifest.box),
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
            data = file.read(_MAX_RECEIPT_BYTES)
        receipt = from_values(Receipt, parse_bounded_json(data, _MAX_RECEIPT_VALUES))
    except FileNotFoundError as error:
        raise SourceUnreadable(
            _(
                "{path}: there is no such receipt; bundles look for those beside them by "
                "themselves: leave --receipt out, or write all with --all",
                path=path,
            )
        ) from error
    except (OSError, *DECODE_ERRORS) as error:
        raise SourceUnreadable(
            _(
                "{path}: this receipt does not read ({error}); remove it, or write all with --all",
                path=path,
                error=error,
            )
        ) from error
    if receipt.of != box:
        raise OptionUnusable(
            _(
                "{path}: is a receipt for {giver}, and this node is {box}; remove it, or write "
                "all with --all",
                path=path,
                giver=receipt.of,
                box=box,
            )
        )
    return receipt


def _write_receipt(node: Workspace, path: Path, giver: str) -> Path | None:
    """Write the cursor in the sender's logs for its next bundle.

    Returns None if the stick cannot be written.
    """
    cursor = {mosaic_id: taken.seq for mosaic_id, taken in read_peer_cursors(node.store, giver).items()}
    target = locate_receipt(path, node.box)
    scratch = target.with_name(f"{target.name}{_UNFINISHED_SUFFIX}")
    try:
        with create_regular(scratch) as file:
            file.write(encode_json(to_values(Receipt(of=giver, by=node.box, cursor=cursor))))
            # the writer of the next bundle, another user perhaps, reads it; FAT has no modes
            with suppress(OSError):
                os.fchmod(file.fileno(), 0o644)
        move_into_place(scratch, target)
    except OSError:
        return None
    return target
