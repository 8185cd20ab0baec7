"""Photos in folders: find them, read what each says about itself, hash them."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flycam.errors import SourceUnreadable
from flycam.ingest.bands import band_of, scene_ev100
from flycam.ingest.calibration import interior_for
from flycam.ingest.container import PhotoHead, head_of, kind_of, opened
from flycam.ingest.dialects import Values, dialect_of, fields_of
from flycam.ingest.exif import ExifFacts, read_exif
from flycam.ingest.metadata import Angles, Dialect, PhotoMetadata
from flycam.ingest.pixels import PixelChecks, open_pixels, pixel_checks
from flycam.ingest.xmp import read_xmp

__all__ = [
    "Findings",
    "PixelChecks",
    "find_photos",
    "interior_for",
    "open_pixels",
    "pixel_checks",
    "read_all",
    "read_metadata",
    "search",
    "sha256_of",
]

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".mpo", ".tif", ".tiff", ".png"})
_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2"})
_DRILL_MARKS = ("DIỄN TẬP", "flycam drill")
_HASH_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """Photos of some folders in order of their paths, and every other file with the reason."""

    photos: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """JPEG, PNG and TIFF photos at `paths` (files or folders, read through), sorted, each once.

    Raises SourceUnreadable if a path does not exist.
    """
    return list(search(paths).photos)


def search(paths: Iterable[Path]) -> Findings:
    """As `find_photos`, and says what was left out and why.

    A file whose name promises a photo is kept whatever its bytes are, so that reading it gives the
    reason why it cannot be used; a file without such a name is kept if its bytes are a photo's.
    Raises SourceUnreadable if a path does not exist.
    """
    photos: dict[Path, Path] = {}
    skipped: list[tuple[Path, str]] = []
    for path in map(Path, paths):
        if not path.exists():
            raise SourceUnreadable(f"{path}: no such file or folder; check the path or plug in the card")
        for file in _files_under(path, skipped):
            reason = _reason_to_skip(file)
            if reason is None:
                photos.setdefault(file.resolve(), file)
            else:
                skipped.append((file, reason))
    return Findings(photos=tuple(sorted(photos.values())), skipped=tuple(sorted(skipped)))


def _files_under(path: Path, skipped: list[tuple[Path, str]]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return

    def note(error: OSError) -> None:
        skipped.append((Path(str(error.filename)), f"cannot be opened ({error.strerror})"))

    for folder, folders, names in os.walk(path, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "@")))
        for name in sorted(names):
            yield Path(folder) / name


def _reason_to_skip(path: Path) -> str | None:
    if path.name.startswith("._"):
        return "macOS resource file"
    if path.name.startswith("."):
        return "hidden file"
    suffix = path.suffix.lower()
    if suffix in _RAW_SUFFIXES:
        return "raw picture: the JPEG beside it is used"
    if suffix in _TIFF_SUFFIXES and _is_map(path):
        return "georeferenced raster: register terrain with 'flycam dem add'"
    if suffix in PHOTO_SUFFIXES:
        return None
    if not path.is_file():
        return "not a regular file"
    try:
        with path.open("rb", buffering=0) as file:
            kind = kind_of(file.read(16))
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    return None if kind is not None else "not a photo"


def _is_map(path: Path) -> bool:
    try:
        with opened(path) as file:
            return head_of(file, path).is_map
    except SourceUnreadable:
        return False  # kept, so that reading it gives the reason


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Raises SourceUnreadable if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceUnreadable(
            f"{path}: cannot be read ({error.strerror or error}); check the card and run again"
        ) from error


def read_all(paths: Sequence[Path]) -> tuple[list[PhotoMetadata], list[tuple[Path, SourceUnreadable]]]:
    """Metadata of every photo that can be read, in the order given, and the error of every other."""
    photos: list[PhotoMetadata] = []
    failed: list[tuple[Path, SourceUnreadable]] = []
    for path in paths:
        try:
            photos.append(read_metadata(path))
        except SourceUnreadable as error:
            failed.append((path, error))
    return photos, failed


def read_metadata(path: Path) -> PhotoMetadata:
    """What one photo says about itself; reads the file's head only.

    Raises SourceUnreadable (0 bytes, no photo, cut off inside the header, a decompression bomb by its
    declared size, a raw file, one visible band of a multispectral set).
    """
    with opened(path) as file:
        head = head_of(file, path)
        if head.is_map:
            raise SourceUnreadable(
                f"{path}: is a georeferenced raster, not a photo; register terrain with 'flycam dem add'"
            )
        exif = read_exif(head.exif) if head.exif is not None else ExifFacts()
    values, remarks = read_xmp(head.xmp)
    photo = _compose(path, head, exif, values, (*head.remarks, *exif.remarks, *remarks))
    if photo.channels == 1 and photo.band_name and photo.band == "colour":
        raise SourceUnreadable(
            f"{path}: is the single band {photo.band_name} of a multispectral set; give flycam the colour"
            " photos or the near-infrared band of that flight"
        )
    return photo


def _compose(
    path: Path, head: PhotoHead, exif: ExifFacts, values: Values, remarks: tuple[str, ...]
) -> PhotoMetadata:
    maker = exif.maker or values.get("tiff:Make", "")
    model = exif.model or values.get("tiff:Model", "")
    dialect = dialect_of(values, maker)
    fields = fields_of(dialect, values)
    fields.setdefault("serial", exif.serial)
    if dialect is Dialect.NONE:
        if exif.dji_note:
            dialect = Dialect.DJI
            fields.update(_from_dji_note(exif.dji_note))
            remarks = (*remarks, "angles come from the maker note, because the photo has no XMP")
        elif exif.lat_deg is not None or exif.maker or exif.taken_text:
            dialect = Dialect.EXIF
    if any(mark in unicodedata.normalize("NFC", exif.description) for mark in _DRILL_MARKS):
        fields["is_drill"] = True
    fields["band"] = band_of(
        name=path.name,
        maker=maker,
        model=model,
        size_px=head.size_px,
        image_source=fields.get("image_source", ""),
        band_name=fields.get("band_name", ""),
        ev100=scene_ev100(exif.f_number, exif.exposure_s, exif.iso),
    )
    return PhotoMetadata(
        path=path,
        name=path.name,
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
        direction_deg=exif.direction_deg,
        direction_reference=exif.direction_reference,
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
