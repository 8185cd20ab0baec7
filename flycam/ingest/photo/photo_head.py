"""Head of a photo's container, and the limits within which it is accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from flycam.ingest.photo.tiff import TiffReader
from flycam.messages import Message

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
