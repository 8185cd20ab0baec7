"""A byte stream as files that fit on a stick (docs/formats/bundle.md).

Each file begins with a header:

    magic "FCBNDL1\\n" · bundle id 32 bytes · number u32 · count u32 · payload bytes u64
    · SHA-256 of the payload · CRC-32 of all before u32, little-endian; then the payload

Part 1 is FILE, part n is FILE.00n. A part is written under a temporary name, synced and renamed, so that
it is whole or absent; part 1 comes last.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from flycam.errors import DiskFull, OptionUnusable, SourceUnreadable, StorageFailed
from flycam.messages import _
from flycam.store.disk_space import DISK_FULL_ERRNOS
from flycam.store.fsync import move_into_place
from flycam.store.regular_file import create_regular, open_regular

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
    whole, rest = divmod(total_bytes, room)
    return [room] * whole + ([rest] if rest or not whole else [])


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
            _("{path}: this is no bundle of flycam; give the file that `flycam bundle write` made", path=path)
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
            "the box it comes from",
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
                "{path}: does not read ({strerror}); put the stick in again and run again, "
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
                    "command goes on",
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
