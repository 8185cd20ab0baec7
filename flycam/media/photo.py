"""Photo containers JPEG, PNG and TIFF: image size, EXIF block and XMP packets.

Only heads are read: segment and chunk lengths are followed by seeking, so a 20 MB photo costs a few small
reads. All values in a file (lengths, counts, sizes) are treated as hostile: each loop has a bound, each
length is checked against the file, and a contradiction is a typed error.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from io import FileIO
from itertools import islice
from pathlib import Path

from flycam import MAX_PIXELS
from flycam.errors import SourceUnreadable
from flycam.messages import Message, _
from flycam.model.text import is_printable, strip_unprintable
from flycam.storage.files import open_regular

# -- Bounded reader of TIFF directories, the form in which EXIF is written -------------------------
#
# Source of the format: TIFF 6.0 (Adobe 1992) section 2 and EXIF 2.32 (CIPA DC-008) section 4.6. No count or
# offset is trusted: a value that does not fit is absent, never an exception. Directories are never followed
# in chains, so that no file can make the reader loop.


MAX_ENTRIES = 1024
MAX_VALUE_BYTES = 2 * 1024 * 1024
MAX_NUMBERS = 4096

_SIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_FORMAT = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_RATIONAL = {5: "I", 10: "i"}


class Directory:
    """One IFD: values by tag, decoded on access."""

    __slots__ = ("_entries", "_order", "_read_at")

    def __init__(
        self,
        read_at: Callable[[int, int], bytes],
        order: str,
        entries: dict[int, tuple[int, int, bytes]],
    ) -> None:
        self._read_at = read_at
        self._order = order
        self._entries = entries

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a value as stored; empty if absent or cut off."""
        entry = self._entries.get(tag)
        if entry is None:
            return b""
        kind, count, inline = entry
        length = _SIZE.get(kind, 0) * count
        if length <= 0 or length > MAX_VALUE_BYTES:
            return b""
        if length <= 4:
            return inline[:length]
        offset = struct.unpack(self._order + "I", inline)[0]
        value = self._read_at(offset, length)
        return value if len(value) == length else b""

    def numbers(self, tag: int) -> tuple[float, ...]:
        """Return the finite numbers of a value.

        A rational with denominator 0 or any NaN makes the whole empty.
        """
        entry = self._entries.get(tag)
        if entry is None or entry[1] > MAX_NUMBERS:
            return ()
        kind = entry[0]
        data = self.raw(tag)
        if not data:
            return ()
        if kind in _RATIONAL:
            flat = struct.unpack(f"{self._order}{len(data) // 4}{_RATIONAL[kind]}", data)
            if any(bottom == 0 for bottom in flat[1::2]):
                return ()
            return tuple(top / bottom for top, bottom in zip(flat[::2], flat[1::2], strict=True))
        if kind not in _FORMAT:
            return ()
        values = struct.unpack(f"{self._order}{len(data) // _SIZE[kind]}{_FORMAT[kind]}", data)
        return tuple(map(float, values)) if all(map(math.isfinite, values)) else ()

    def number(self, tag: int) -> float | None:
        """Return the first number of a value, None if there is none."""
        values = self.numbers(tag)
        return values[0] if values else None

    def integer(self, tag: int) -> int | None:
        """Return the first number of a value as an integer, None if there is none."""
        value = self.number(tag)
        return None if value is None else int(value)

    def text(self, tag: int) -> str:
        """Return text up to the first NUL, stripped, without unprintable characters.

        Read as Latin-1 if it is not UTF-8.
        """
        data = self.raw(tag).split(b"\x00", 1)[0].strip()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        return text if is_printable(text) else strip_unprintable(text)


class TiffReader:
    """Byte order and first directory of a TIFF structure, over memory or over a file."""

    __slots__ = ("_read_at", "first_directory", "order")

    def __init__(self, read_at: Callable[[int, int], bytes], order: str, first_directory: int) -> None:
        self._read_at = read_at
        self.order = order
        self.first_directory = first_directory

    @classmethod
    def from_bytes(cls, block: bytes) -> TiffReader | None:
        """Make a reader over bytes in memory; None without a TIFF header."""
        return cls.from_reader(lambda offset, length: block[offset : offset + length] if offset >= 0 else b"")

    @classmethod
    def from_reader(cls, read_at: Callable[[int, int], bytes]) -> TiffReader | None:
        """Make a reader over `read_at(offset, length) -> bytes`, or None.

        `read_at` returns fewer bytes past the end.
        """
        header = read_at(0, 8)
        if len(header) < 8 or header[:4] not in (b"II*\x00", b"MM\x00*"):
            return None
        order = "<" if header[:1] == b"I" else ">"
        return cls(read_at, order, struct.unpack(order + "I", header[4:])[0])

    def directory(self, offset: int) -> Directory:
        """Return the IFD at `offset`; empty where the bytes do not hold one."""
        entries: dict[int, tuple[int, int, bytes]] = {}
        head = self._read_at(offset, 2)
        count = struct.unpack(self.order + "H", head)[0] if len(head) == 2 and offset else 0
        if 0 < count <= MAX_ENTRIES:
            body = self._read_at(offset + 2, 12 * count)
            record = struct.Struct(self.order + "HHI4s")
            entry_bytes = len(body) - len(body) % 12
            for tag, kind, amount, inline in record.iter_unpack(body[:entry_bytes]):
                entries.setdefault(tag, (kind, amount, inline))
        return Directory(self._read_at, self.order, entries)


# -- Head of a photo's container, and the limits within which it is accepted -----------------------


MAX_BLOCK_BYTES = 2 * 1024 * 1024  # one EXIF or XMP block
MAX_PARTS = 50_000  # JPEG segments or PNG chunks
XMP_ID = b"http://ns.adobe.com/xap/1.0/\x00"

ReadAt = Callable[[int, int], bytes]


class ContainerKind(StrEnum):
    """Container format by the bytes, whatever the file's name."""

    JPEG = "JPEG"
    PNG = "PNG"
    TIFF = "TIFF"


@dataclass(kw_only=True, slots=True)
class PhotoHead:
    """Container data known before any pixel is decoded.

    size_px      (width, height)
    channels     samples per pixel; bits per sample
    exif         reader of the EXIF block (for a TIFF: of the file itself), None if there is none
    xmp          raw XMP packets in file order
    scan_offset  byte offset at which a JPEG's entropy-coded data begin, 0 for other kinds
    is_map       a GeoTIFF on a grid (terrain, an orthomosaic), not a photo
    has_all_chunks  all chunks of a PNG lie inside the file, including the last; True for other kinds
    """

    kind: ContainerKind
    size_bytes: int
    size_px: tuple[int, int] = (0, 0)
    channels: int = 0
    bits: int = 8
    exif: TiffReader | None = None
    xmp: list[bytes] = field(default_factory=list)
    scan_offset: int = 0
    is_map: bool = False
    has_all_chunks: bool = True
    remarks: list[Message] = field(default_factory=list)


# -- Head of a PNG from its chunks (PNG specification, third edition, sections 5 and 11) -----------


_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def read_png_head(read_at: ReadAt, head: PhotoHead, path: Path) -> None:
    """Fill `head` from the chunks up to IEND, or to the first invalid one.

    Raises SourceUnreadable if even the header, which comes first and once, is cut off.
    """
    offset = 8
    head.has_all_chunks = False
    for __ in range(MAX_PARTS):
        lead = read_at(offset, 8)
        if len(lead) < 8:
            break
        length, name = struct.unpack(">I4s", lead)
        body = offset + 8
        if body + length + 4 > head.size_bytes:
            break
        if (name == b"IHDR") != (offset == 8):
            break  # decoders use the first header only
        if name == b"IHDR" and length >= 13:
            header = read_at(body, 13)
            if len(header) == 13:
                width, height, bits, colour = struct.unpack_from(">IIBB", header)
                head.size_px, head.bits, head.channels = (width, height), bits, _CHANNELS.get(colour, 0)
        elif name == b"eXIf" and head.exif is None and length <= MAX_BLOCK_BYTES:
            head.exif = TiffReader.from_bytes(read_at(body, length))
        elif name in (b"tEXt", b"zTXt", b"iTXt") and length <= MAX_BLOCK_BYTES:
            _take_png_text(name, read_at(body, length), head)
        elif name == b"IEND":
            head.has_all_chunks = True
            break
        offset = body + length + 4
    if head.size_px == (0, 0):
        raise SourceUnreadable(
            _("{path}: the PNG is cut off inside its header; copy it from the card again", path=path)
        )


def _take_png_text(chunk: bytes, body: bytes, head: PhotoHead) -> None:
    keyword, _, rest = body.partition(b"\x00")
    if keyword == b"XML:com.adobe.xmp" and chunk == b"iTXt":
        compressed, languages = rest[:1] == b"\x01", rest[2:].split(b"\x00", 2)
        text = languages[-1] if len(languages) == 3 else b""
        packet = _inflate(text) if compressed else text
        if packet:
            head.xmp.append(packet)
    elif keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
        block = _raw_profile(_inflate(rest[1:]) if chunk == b"zTXt" else rest)
        if block.startswith(XMP_ID):
            head.xmp.append(block[len(XMP_ID) :])
        elif head.exif is None:
            head.exif = TiffReader.from_bytes(block.removeprefix(b"Exif\x00\x00"))


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_BLOCK_BYTES)
    except zlib.error:
        return b""


def _raw_profile(text: bytes) -> bytes:
    """Return bytes of a "Raw profile type" text: name, decimal length, lines of hex."""
    parts = text.split(maxsplit=2)
    if len(parts) < 3:
        return b""
    try:
        return bytes.fromhex(parts[2].decode("ascii"))
    except ValueError:
        return b""


# -- Detection of the container, and head of a photo -----------------------------------------------


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


# -- Head of a JPEG from its segments, and the count of its scans ----------------------------------


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


# -- Head of a TIFF from its directories -----------------------------------------------------------


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
