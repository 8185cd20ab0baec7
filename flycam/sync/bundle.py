"""A bundle: an exchange as files on a stick. Written incrementally, read whole or not at all.

    write: cursor -> offer -> manifest and objects as one stream -> parts
    read:  parts verified -> manifest -> every object verified -> where each flight belongs here
           -> objects kept -> `taking.take_in`

The stream is the length of the manifest (u64, little-endian), the manifest, then the objects in its order.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flycam.errors import OptionUnusable, SourceUnreadable, StorageTrouble, TileCorrupt
from flycam.frame.terraincodec import decode_terrain
from flycam.frame.tilecodec import decode
from flycam.geometry.grid import TileId
from flycam.mosaic.given import give, give_laid, taken_of
from flycam.store import keys
from flycam.sync.belonging import Apart, Home, home_of
from flycam.sync.house import House
from flycam.sync.laid import laid_in
from flycam.sync.manifest import Item, Kind, Manifest, manifest_from_bytes, manifest_id, manifest_to_bytes
from flycam.sync.offering import Offer, offer
from flycam.sync.parts import FAT32_BYTES, HEAD_BYTES, Parts, new_file, part_sizes, write_parts
from flycam.sync.records import FlightRecords, inflated_bytes, records_from_bytes
from flycam.sync.taking import Hands, TakenIn, require_takeable, take_in

_LENGTH = struct.Struct("<Q")
_RECEIPT = ".receipt.json"
_SMALLEST_PART = 64 << 10
_MAX_RECEIPT_BYTES = 16 << 20
_MAX_MANIFEST_BYTES = 1 << 30
_MAX_INFLATED_BYTES = 1 << 30  # records of all flights, which are in memory together
_MAX_BYTES = {Kind.RECORDS: 1 << 28, Kind.TILE: 32 << 20, Kind.TERRAIN: 320 << 20}
"""The largest object that is read in one piece."""

Progress = Callable[[str, int, int], None]
"""Stage, how much of it is done, of how much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleWritten:
    """What lies on the stick. written: parts that were not there already."""

    bundle_id: str
    flights: int
    tiles: int
    originals: int
    size_bytes: int
    parts: int
    written: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleRead:
    """What came of a bundle.

    box      who gave it
    receipt  the file that tells the giver so; None if the stick could not be written
    """

    bundle_id: str
    box: str
    tiles: int
    taken: TakenIn
    receipt: Path | None


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

    Raises InputUnusable for a receipt that is another box's, DiskFull, StorageTrouble, ObjectMissing.
    """
    if part_bytes < _SMALLEST_PART:
        raise OptionUnusable(
            f"--part-size {part_bytes}: parts hold at least {_SMALLEST_PART} bytes; give a larger size",
            vi=f"--part-size {part_bytes}: mỗi phần ít nhất {_SMALLEST_PART} byte; hãy chọn lớn hơn",
        )
    receipts = [receipt] if receipt is not None else receipts_beside(path)
    since = {} if whole else _common(read_receipt(one, house.box) for one in receipts)
    offered = offer(house, since, originals=originals)
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
                f"{path}: comes from a box called {house.box}, as this one is: a box does not read its own"
                " bundle; if it is another box, give it a name of its own with FLYCAM_BOX",
                vi=f"{path}: gói do máy tên {house.box} ghi, trùng tên máy này; nếu là máy khác, hãy đặt "
                "tên riêng bằng FLYCAM_BOX",
            )
        verified = _verified(parts, manifest, start, progress)
        require_takeable(house, manifest, verified.records, str(path))
        homes = [home_of(house.catalog, one) for one in verified.records]
        here = _wanted(house, manifest, homes)
        _keep(house, parts, manifest, start, here, progress)
    _keep_laid(house, manifest, here, verified)
    house.store.flush()
    taken = take_in(house, manifest, homes, hands)
    receipt = _leave_receipt(house, path, manifest.box)
    return BundleRead(
        bundle_id=parts.bundle_id,
        box=manifest.box,
        tiles=sum(item.kind is Kind.TILE for item in manifest.items),
        taken=taken,
        receipt=receipt,
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


def read_receipt(path: Path, box: str) -> dict[str, int]:
    """The cursor in a receipt that a peer left for this box. SourceUnreadable, OptionUnusable."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_MAX_RECEIPT_BYTES))
        giver, cursor = values["of"], values["cursor"]
        if not all(isinstance(seq, int) and seq >= 0 for seq in cursor.values()):
            raise ValueError("a line number is none")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceUnreadable(
            f"{path}: this receipt does not read ({error}); remove it, or write all with --all",
            vi=f"{path}: không đọc được biên nhận; hãy xoá tệp này, hoặc ghi toàn bộ bằng --all",
        ) from error
    if giver != box:
        raise OptionUnusable(
            f"{path}: is a receipt for {giver}, and this box is {box}; remove it, or write all with --all",
            vi=f"{path}: biên nhận của máy {giver}, không phải {box}; hãy xoá tệp này, hoặc ghi toàn bộ "
            "bằng --all",
        )
    return dict(cursor)


def _sizes(total_bytes: int, part_bytes: int) -> list[int]:
    try:
        return part_sizes(total_bytes, part_bytes)
    except ValueError as error:
        raise OptionUnusable(
            f"--part-size {part_bytes}: {total_bytes} bytes would be too many parts; give a larger size",
            vi=f"--part-size {part_bytes}: {total_bytes} byte sẽ thành quá nhiều phần; hãy chọn lớn hơn",
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
                f"{item.name or item.sha256}: its bytes in the store do not match their hash; ingest the"
                " flight again to repair it",
                vi=f"{item.name or item.sha256}: dữ liệu trong kho không khớp mã kiểm tra; "
                "hãy nạp lại chuyến bay",
            )


def _manifest(parts: Parts) -> tuple[Manifest, int]:
    """The manifest, and where the first object begins."""
    (length,) = _LENGTH.unpack(parts.read(0, _LENGTH.size))
    start = _LENGTH.size + length
    is_there = start <= parts.size_bytes and length <= _MAX_MANIFEST_BYTES
    said = parts.read(_LENGTH.size, length) if is_there else b""
    manifest = manifest_from_bytes(said, str(parts.path))
    if manifest_id(said) != parts.bundle_id or start + manifest.size_bytes != parts.size_bytes:
        raise _not_what_it_says(parts.path)
    return manifest, start


@dataclass(frozen=True, slots=True)
class _Verified:
    """What a bundle holds that is needed in memory. inflated: bytes of each flight's records; epochs: of the
    tiles that come, by mosaic there."""

    records: list[FlightRecords] = field(default_factory=list)
    inflated: list[int] = field(default_factory=list)
    epochs: dict[str, dict[TileId, str]] = field(default_factory=dict)


def _verified(parts: Parts, manifest: Manifest, start: int, progress: Progress) -> _Verified:
    """Every object read once and held against its hash, records, tiles and terrain opened."""
    verified = _Verified()
    for done, (item, at) in enumerate(_places(manifest, start), start=1):
        if item.kind is Kind.ORIGINAL:
            for _ in _original(parts, item, at):
                pass
        else:
            _open(parts.path, item, _whole(parts, item, at), verified)
        progress("verify", done, len(manifest.items))
    return verified


def _open(path: Path, item: Item, data: bytes, verified: _Verified) -> None:
    """Enter what an object says; each must be what its name says."""
    try:
        if item.kind is Kind.RECORDS:
            verified.inflated.append(inflated_bytes(data))
            if sum(verified.inflated) > _MAX_INFLATED_BYTES:
                raise _not_what_it_says(path)
            verified.records.append(records_from_bytes(data, str(path)))
        elif item.tile is not None:
            tile = decode(data, item.tile.tile_id, item.tile.content_hash)
            verified.epochs.setdefault(item.tile.mosaic_id, {})[tile.tile_id] = tile.epoch
        elif decode_terrain(data).dem_id != item.name:
            raise _not_what_it_says(path)
    except TileCorrupt as error:
        raise _not_what_it_says(path) from error


def _wanted(house: House, manifest: Manifest, homes: Iterable[Home | Apart]) -> dict[str, str]:
    """The mosaics there that bring what is not here yet or what is in force here, and what each is here.

    What is in force is put again, for it may be damaged here; what an older bundle holds was let go.
    """
    taken = taken_of(house.store, manifest.box)
    older = {there for there, seq in manifest.until.items() if there in taken and seq < taken[there].seq}
    belonging = {there: at for one in homes if isinstance(one, Home) for there, at in one.mosaics.items()}
    return {there: at for there, at in belonging.items() if there not in older}


def _keep(
    house: House,
    parts: Parts,
    manifest: Manifest,
    start: int,
    here: Mapping[str, str],
    progress: Progress,
) -> None:
    """Objects into the store, looked at again, for the stick may have changed; the caller owes `flush` before
    anything refers to them."""
    for done, (item, at) in enumerate(_places(manifest, start), start=1):
        line = item.tile
        if line is not None and line.mosaic_id in here:
            log = keys.log_id(manifest.box, line.mosaic_id)
            data = _whole(parts, item, at)
            give(house.store, log, line.seq, here[line.mosaic_id], line.tile_id, data, line.content_hash)
        elif item.kind is Kind.TERRAIN and not house.store.exists(keys.terrain(item.name)):
            house.store.put(keys.terrain(item.name), _whole(parts, item, at), durable=True)
        elif item.kind is Kind.ORIGINAL and not house.store.exists(keys.evidence(item.name)):
            _keep_original(house, parts, item, at)
        progress("keep", done, len(manifest.items))


def _keep_laid(house: House, manifest: Manifest, here: Mapping[str, str], verified: _Verified) -> None:
    """How the giver had laid the frames in the tiles that came, beside them; the caller owes `flush`."""
    for one in verified.records:
        for mosaic in one.mosaics:
            epochs = verified.epochs.get(mosaic.mosaic_id)
            if epochs and mosaic.mosaic_id in here:
                log, until = keys.log_id(manifest.box, mosaic.mosaic_id), manifest.until[mosaic.mosaic_id]
                give_laid(house.store, log, until, laid_in(one, mosaic, epochs))


def _keep_original(house: House, parts: Parts, item: Item, at: int) -> None:
    """An original under its SHA-256."""
    try:
        with tempfile.NamedTemporaryFile() as scratch:
            for data in _original(parts, item, at):
                scratch.write(data)
            scratch.flush()
            house.store.put_file(keys.evidence(item.name), Path(scratch.name), durable=True)
    except OSError as error:
        raise StorageTrouble(
            f"{tempfile.gettempdir()}: no copy of a photo can be kept there ({error.strerror}); free some"
            " and run again, it goes on",
            vi=f"{tempfile.gettempdir()}: không lưu tạm được ảnh; hãy giải phóng chỗ rồi chạy lại",
        ) from error


def _whole(parts: Parts, item: Item, at: int) -> bytes:
    """An object's bytes. SourceUnreadable if they are others than the manifest says."""
    if item.size_bytes > _MAX_BYTES[item.kind]:
        raise _not_what_it_says(parts.path)
    data = parts.read(at, item.size_bytes)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise _not_what_it_says(parts.path)
    return data


def _original(parts: Parts, item: Item, at: int) -> Iterator[bytes]:
    """An original's bytes, some at a time. SourceUnreadable, at the end, if they are others than it says."""
    digest = hashlib.sha256()
    for data in parts.blocks(at, item.size_bytes):
        digest.update(data)
        yield data
    if not digest.hexdigest() == item.sha256 == item.name:
        raise _not_what_it_says(parts.path)


def _places(manifest: Manifest, start: int) -> Iterator[tuple[Item, int]]:
    """Each item and where its bytes begin in the stream."""
    for item in manifest.items:
        yield item, start
        start += item.size_bytes


def _leave_receipt(house: House, path: Path, giver: str) -> Path | None:
    """How far the giver's logs were taken in, for its next bundle; None where the stick cannot be written."""
    cursor = {mosaic_id: taken.seq for mosaic_id, taken in taken_of(house.store, giver).items()}
    said = json.dumps({"of": giver, "by": house.box, "cursor": cursor}, sort_keys=True, ensure_ascii=False)
    target = receipt_path(path, house.box)
    scratch = target.with_name(f"{target.name}.writing")
    try:
        with new_file(scratch) as file:
            file.write(said.encode())
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    except OSError:
        return None
    return target


def _not_what_it_says(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        f"{path}: holds other bytes than its list of contents says; write it again on the box it comes from",
        vi=f"{path}: nội dung không khớp bảng kê; hãy ghi lại trên máy đã tạo ra nó",
    )
