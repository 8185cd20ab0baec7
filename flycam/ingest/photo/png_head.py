"""PNG size, EXIF and XMP from its chunks (PNG specification, third edition, sections 5 and 11)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from flycam.errors import SourceUnreadable
from flycam.ingest.photo.photo_head import MAX_BLOCK_BYTES, MAX_PARTS, XMP_ID, PhotoHead, ReadAt
from flycam.ingest.photo.tiff import TiffReader
from flycam.messages import _

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
