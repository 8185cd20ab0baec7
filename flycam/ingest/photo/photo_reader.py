"""Photo reader: metadata and hash of a photo, and the package's other functions re-exported."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from io import FileIO
from operator import attrgetter
from pathlib import Path
from typing import Any

from flycam.errors import SourceUnreadable
from flycam.frame.text_normalization import to_visible
from flycam.ingest.photo.bands import classify_band, compute_ev100
from flycam.ingest.photo.calibration import resolve_interior
from flycam.ingest.photo.container import open_photo, read_head
from flycam.ingest.photo.exif import ExifMetadata, read_exif
from flycam.ingest.photo.metadata import Angles, Dialect, PhotoMetadata
from flycam.ingest.photo.photo_head import PhotoHead
from flycam.ingest.photo.photo_search import PhotoSearchResult, find_photos, search_photos
from flycam.ingest.photo.pixels import PixelChecks, open_pixels, read_pixel_checks
from flycam.ingest.photo.xmp import read_xmp
from flycam.ingest.photo.xmp_dialects import Values, detect_dialect, map_fields, resolve_maker
from flycam.messages import Message, _
from flycam.store.regular_file import make_file_changed, open_regular

__all__ = [
    "PhotoSearchResult",
    "PixelChecks",
    "compute_sha256",
    "find_photos",
    "open_pixels",
    "read_metadata",
    "read_photos",
    "read_pixel_checks",
    "resolve_interior",
    "search_photos",
]

_STITCHED = ("equirectangular", "cylindrical")  # GPano's projections
_DRILL_MARKS = ("DIỄN TẬP", "flycam drill")
_tells_apart = attrgetter("size_bytes", "image_size_px", "taken_text", "lon_deg", "lat_deg")


def compute_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes.

    Raises SourceUnreadable if it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceUnreadable(
            _(
                "{path}: cannot be read ({strerror}); check the card and run again",
                path=path,
                strerror=error.strerror or error,
            )
        ) from error


def compute_photo_sha256(photo: PhotoMetadata) -> str:
    """Return the hex SHA-256 of a photo's bytes, if the file still matches `photo`.

    Metadata and hash come from one opening, because the bytes are stored under the hash. Raises
    SourceUnreadable if it cannot be read, or another file has replaced it.
    """
    with open_photo(photo.path) as file:
        again = _read(file, photo.path)
        if _tells_apart(again) != _tells_apart(photo):
            raise make_file_changed(photo.path.name)
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_photos(paths: Sequence[Path]) -> tuple[list[PhotoMetadata], list[tuple[Path, SourceUnreadable]]]:
    """Read the metadata of photos in the order given, and errors of unreadable ones."""
    photos: list[PhotoMetadata] = []
    failed: list[tuple[Path, SourceUnreadable]] = []
    for path in paths:
        try:
            photos.append(read_metadata(path))
        except SourceUnreadable as error:
            failed.append((path, error))
    return photos, failed


def read_metadata(path: Path) -> PhotoMetadata:
    """Read the metadata of one photo from the file's head.

    Raises SourceUnreadable (0 bytes, no photo, cut off inside the header, a decompression bomb by its
    declared size, a raw file, one visible band of a multispectral set, a stitched panorama).
    """
    with open_photo(path) as file:
        return _read(file, path)


def _read(file: FileIO, path: Path) -> PhotoMetadata:
    head = read_head(file, path)
    if head.is_map:
        raise SourceUnreadable(
            _(
                "{path}: is a georeferenced raster, not a photo; register terrain with 'flycam dem add'",
                path=path,
            )
        )
    exif = read_exif(head.exif) if head.exif is not None else ExifMetadata()
    values, remarks = read_xmp(head.xmp)
    if values.get("GPano:ProjectionType", "").lower() in _STITCHED:
        raise SourceUnreadable(
            _(
                "{path}: is a panorama stitched of many photos, which has no one lens; give "
                "the photos that it was made of",
                path=path,
            )
        )
    photo = _compose(path, head, exif, values, (*head.remarks, *exif.remarks, *remarks))
    # one visible band over another would make no colour mosaic
    if photo.channels == 1 and photo.band_name and photo.band == "colour":
        raise SourceUnreadable(
            _(
                "{path}: is the single band {band_name} of a multispectral set; give flycam "
                "the colour photos or the near-infrared band of that flight",
                path=path,
                band_name=photo.band_name,
            )
        )
    return photo


def _compose(
    path: Path, head: PhotoHead, exif: ExifMetadata, values: Values, remarks: tuple[Message, ...]
) -> PhotoMetadata:
    maker = resolve_maker(exif.maker, values)
    model = exif.model or values.get("tiff:Model", "")
    dialect = detect_dialect(values, maker)
    fields = map_fields(dialect, values)
    fields.setdefault("serial", exif.serial)
    if dialect is Dialect.NONE:
        if exif.dji_note:
            dialect = Dialect.DJI
            fields.update(_from_dji_note(exif.dji_note))
            remarks = (*remarks, _("angles come from the maker note, because the photo has no XMP"))
        elif exif.lat_deg is not None or exif.maker or exif.taken_text:
            dialect = Dialect.EXIF
    if any(mark in unicodedata.normalize("NFC", exif.description) for mark in _DRILL_MARKS):
        fields["is_drill"] = True
    fields["band"] = classify_band(
        name=path.name,
        maker=maker,
        model=model,
        size_px=head.size_px,
        image_source=fields.get("image_source", ""),
        band_name=fields.get("band_name", ""),
        ev100=compute_ev100(exif.f_number, exif.exposure_s, exif.iso),
    )
    return PhotoMetadata(
        path=path,
        name=to_visible(path.name),
        size_bytes=head.size_bytes,
        dialect=dialect,
        image_size_px=head.size_px,
        channels=head.channels,
        bits=head.bits,
        orientation=exif.orientation,
        maker=maker,
        model=model,
        focal_mm=exif.focal_mm,
        focal35_mm=exif.focal35_mm,
        focal_plane_px_per_mm=exif.focal_plane_px_per_mm,
        exif_size_px=exif.exif_size_px,
        digital_zoom=exif.digital_zoom,
        f_number=exif.f_number,
        iso=exif.iso,
        exposure_s=exif.exposure_s,
        taken_text=exif.taken_text,
        taken_offset=exif.taken_offset,
        gps_time_text=exif.gps_time_text,
        lon_deg=exif.lon_deg,
        lat_deg=exif.lat_deg,
        exif_altitude_m=exif.altitude_m,
        horizontal_error_m=exif.horizontal_error_m,
        direction_deg=exif.direction_deg,
        direction_reference=exif.direction_reference,
        software=exif.software or values.get("xmp:CreatorTool", ""),
        remarks=remarks,
        **fields,
    )


def _from_dji_note(note: dict[str, float]) -> dict[str, Any]:
    speeds = tuple(note[name] for name in ("speed_x", "speed_y", "speed_z") if name in note)
    fields: dict[str, Any] = {
        "gimbal": Angles(
            yaw_deg=note.get("camera_yaw"),
            pitch_deg=note.get("camera_pitch"),
            roll_deg=note.get("camera_roll"),
        ),
        "aircraft": Angles(yaw_deg=note.get("yaw"), pitch_deg=note.get("pitch"), roll_deg=note.get("roll")),
    }
    if len(speeds) == 3:
        fields["speed_mps"] = speeds
    return fields
