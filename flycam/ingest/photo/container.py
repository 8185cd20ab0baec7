"""Photo containers JPEG, PNG and TIFF: image size, EXIF block and XMP packets.

Only heads are read: segment and chunk lengths are followed by seeking, so a 20 MB photo costs a few small
reads. All values in a file (lengths, counts, sizes) are treated as hostile: each loop has a bound, each
length is checked against the file, and a contradiction is a typed error.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from pathlib import Path

from flycam import MAX_PIXELS
from flycam.errors import SourceUnreadable
from flycam.ingest.photo.photo_head import (
    MAX_BLOCK_BYTES,
    MAX_PARTS,
    XMP_ID,
    ContainerKind,
    PhotoHead,
    ReadAt,
)
from flycam.ingest.photo.png_head import read_png_head
from flycam.ingest.photo.tiff import TiffReader
from flycam.messages import Message, _
from flycam.store.regular_file import open_regular

HEAD_BYTES = 64 * 1024
MAX_SCANS = 100
"""Largest number of scans in a JPEG: cameras write one, progressive encoders about ten.

Each may take as long to decode as the whole image, and as few as 31 bytes of the file.
"""

MAX_DECODED_BYTES = 1_000_000_000

_EXIF_ID = b"Exif\x00"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*")
_BIG_TIFF_SIGNATURES = (b"II+\x00", b"MM\x00+")
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
_SCAN = re.compile(rb"\xff\xda")
_SOI = b"\xff\xd8\xff"
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE_MARKERS = frozenset(range(0xD0, 0xD8)) | {0x01}
_NO_SEGMENT = frozenset({0x00, 0xD8, 0xD9})
"""Markers that end the head: they carry no segment, and decoders search for the next marker behind them."""

_TAG_WIDTH, _TAG_HEIGHT, _TAG_BITS, _TAG_SAMPLES = 256, 257, 258, 277
_TAG_XMP, _TAG_DNG_VERSION = 700, 50706
_TAG_MODEL_PIXEL_SCALE, _TAG_MODEL_TIE_POINT = 33550, 33922

_MAX_EXPANSION = {ContainerKind.JPEG: 3300, ContainerKind.PNG: 1100, ContainerKind.TIFF: 3000}
"""Largest ratio of pixel bytes to file bytes; a file that declares more is cut off or a bomb.

A JPEG block of 64 pixels takes at least some bits, deflate packs 1032:1, LZW about 2500:1.
"""


def detect_container(head: bytes) -> ContainerKind | None:
    """Return the kind of a photo by its first 16 bytes, None for other files."""
    if head.startswith(_SOI):
        return ContainerKind.JPEG
    if head.startswith(_PNG_SIGNATURE):
        return ContainerKind.PNG
    if head.startswith(_TIFF_SIGNATURES):
        return ContainerKind.TIFF
    return None


@contextmanager
def open_photo(path: Path) -> Iterator[FileIO]:
    """Open the file for unbuffered reading.

    Raises SourceUnreadable naming the file and the cure.
    """
    try:
        with open_regular(path) as file:
            yield file
    except OSError as error:
        raise SourceUnreadable(
            _(
                "{path}: cannot be read ({strerror}); check the card and the rights, then run again",
                path=path,
                strerror=error.strerror or error,
            )
        ) from error


def read_head(file: FileIO, path: Path) -> PhotoHead:
    """Read the head of an open unbuffered file; `path` is used in messages only.

    `PhotoHead.exif` reads lazily: it must be used while the file is open. Raises SourceUnreadable naming the
    file and the cure.
    """
    size = os.fstat(file.fileno()).st_size
    first = os.pread(file.fileno(), HEAD_BYTES, 0)
    return _head(first, size, _reader(file.fileno(), first, size), path)


def parse_head(data: bytes, path: Path) -> PhotoHead:
    """Parse the head of a whole file in memory, as `read_head`."""

    def read_at(offset: int, length: int) -> bytes:
        return data[offset : offset + min(length, MAX_BLOCK_BYTES)] if offset >= 0 and length > 0 else b""

    return _head(data[:HEAD_BYTES], len(data), read_at, path)


def _head(first: bytes, size: int, read_at: ReadAt, path: Path) -> PhotoHead:
    if size == 0:
        raise SourceUnreadable(
            _("{path}: the file is empty (0 bytes); copy it from the card again", path=path)
        )
    kind = detect_container(first)
    if kind is None:
        raise SourceUnreadable(
            _(
                "{path}: {description}; give flycam the photos themselves",
                path=path,
                description=_describe_foreign_file(first),
            )
        )
    head = PhotoHead(kind=kind, size_bytes=size)
    {ContainerKind.JPEG: _walk_jpeg, ContainerKind.PNG: read_png_head, ContainerKind.TIFF: _walk_tiff}[kind](
        read_at, head, path
    )
    _refuse_impossible_size(head, path)
    return head


def _reader(descriptor: int, first: bytes, size: int) -> ReadAt:
    def read_at(offset: int, length: int) -> bytes:
        if offset < 0 or length <= 0 or offset >= size:
            return b""
        if offset + length <= len(first):
            return first[offset : offset + length]
        return os.pread(descriptor, min(length, MAX_BLOCK_BYTES), offset)

    return read_at


def _describe_foreign_file(first: bytes) -> Message:
    """Describe a file that is no photo."""
    if first.startswith(_BIG_TIFF_SIGNATURES):
        return _("is a BigTIFF, which no camera writes and flycam does not read")
    if first[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return _("is a HEIF picture, which flycam does not read: set the camera to JPEG")
    if b"\x00" not in first[:512] and first[:512].isascii():
        return _("holds text, not a photo")
    return _("is not a JPEG, PNG or TIFF photo")


def _refuse_impossible_size(head: PhotoHead, path: Path) -> None:
    width, height = head.size_px
    if width <= 0 or height <= 0:
        raise SourceUnreadable(
            _("{path}: its header gives no picture size; copy it from the card again", path=path)
        )
    decoded = width * height * max(head.channels, 1) * max(head.bits, 1) // 8
    if width * height > MAX_PIXELS or decoded > MAX_DECODED_BYTES:
        raise SourceUnreadable(
            _(
                "{path}: declares {width}×{height} pixels, more than any aerial camera has "
                "(limit {max_pixels} megapixels), so it is not decoded; remove it from the "
                "folder",
                path=path,
                width=width,
                height=height,
                max_pixels=MAX_PIXELS // 1000000,
            )
        )
    if decoded > _MAX_EXPANSION[head.kind] * head.size_bytes:
        raise SourceUnreadable(
            _(
                "{path}: declares {width}×{height} pixels, more than its {size_bytes} bytes "
                "could hold, so it is not decoded; copy it from the card again or remove it",
                path=path,
                width=width,
                height=height,
                size_bytes=head.size_bytes,
            )
        )


# -- JPEG ---------------------------------------------------------------------------------------


def _walk_jpeg(read_at: ReadAt, head: PhotoHead, path: Path) -> None:
    offset = 2
    for __ in range(MAX_PARTS):
        mark = read_at(offset, 4)
        if len(mark) < 2:
            break
        if mark[0] != 0xFF:
            head.remarks.append(_("the JPEG header holds stray bytes"))
            break
        code = mark[1]
        if code == 0xFF:  # fill byte
            offset += 1
            continue
        if code in _STANDALONE_MARKERS:
            offset += 2
            continue
        if code in _NO_SEGMENT or len(mark) < 4 or (code in _FRAME_MARKERS and head.size_px != (0, 0)):
            break
        length = struct.unpack_from(">H", mark, 2)[0]
        if length < 2:
            break
        if code == 0xDA:
            head.scan_offset = offset + 2 + length
            break
        _take_segment(code, read_at, offset + 4, length - 2, head)
        offset += 2 + length
    if head.size_px == (0, 0):
        raise SourceUnreadable(
            _("{path}: the JPEG is cut off inside its header; copy it from the card again", path=path)
        )


def has_too_many_scans(data: bytes) -> bool:
    """Return True if a JPEG has more than MAX_SCANS scans, as a decoder finds them.

    False for other files.
    """
    # `bytes.count` takes three times as long
    marks = islice(_SCAN.finditer(data), MAX_SCANS + 1)
    # embedded previews count too, so this only rules out
    if not data.startswith(_SOI) or sum(1 for __ in marks) <= MAX_SCANS:
        return False
    scans, offset = 0, 2
    while (mark := _MARKER.search(data, offset)) is not None and mark[1] != b"\xd9":
        scans += mark[1] == b"\xda"
        if scans > MAX_SCANS:
            return True
        offset = mark.end() + int.from_bytes(data[mark.end() : mark.end() + 2], "big")
    return False


def _take_segment(code: int, read_at: ReadAt, offset: int, length: int, head: PhotoHead) -> None:
    if code in _FRAME_MARKERS:
        frame = read_at(offset, 6)
        if len(frame) == 6:
            bits, height, width, channels = struct.unpack(">BHHB", frame)
            head.bits, head.size_px, head.channels = bits, (width, height), channels
    elif code == 0xE1:
        start = read_at(offset, min(length, len(XMP_ID)))
        if start.startswith(_EXIF_ID) and head.exif is None:
            block = read_at(offset + 6, length - 6)
            if len(block) < length - 6:
                head.remarks.append(_("the EXIF block is cut off"))
            head.exif = TiffReader.from_bytes(block)
            if head.exif is None:
                head.remarks.append(_("the EXIF block is damaged: ignored"))
        elif start == XMP_ID:
            head.xmp.append(read_at(offset + len(XMP_ID), length - len(XMP_ID)))


# -- TIFF ---------------------------------------------------------------------------------------


def _walk_tiff(read_at: ReadAt, head: PhotoHead, path: Path) -> None:
    reader = TiffReader.from_reader(read_at)
    if reader is None:
        raise SourceUnreadable(
            _("{path}: the TIFF is cut off inside its header; copy it from the card again", path=path)
        )
    first = reader.directory(reader.first_directory)
    if _TAG_DNG_VERSION in first:
        raise SourceUnreadable(
            _("{path}: is a raw DNG; give flycam the JPEG beside it, or convert it to TIFF", path=path)
        )
    head.exif = reader
    head.is_map = _TAG_MODEL_PIXEL_SCALE in first and _TAG_MODEL_TIE_POINT in first
    head.size_px = (int(first.number(_TAG_WIDTH) or 0), int(first.number(_TAG_HEIGHT) or 0))
    head.bits = int(first.number(_TAG_BITS) or 8)
    head.channels = int(first.number(_TAG_SAMPLES) or 1)
    packet = first.raw(_TAG_XMP)
    if packet:
        head.xmp.append(packet)
