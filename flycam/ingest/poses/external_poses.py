"""Frame headers from poses of a table or an adjustment, assigned to photos by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Protocol, TypeVar

from flycam.errors import CalibrationMissing, FrameUnreadable, LensUnknown, PositionUnknown, SourceUnreadable
from flycam.frame.frame import FrameHeader, Layer, Provenance, derive_frame_id
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.photo.calibration import fit_interior_to_photo
from flycam.ingest.photo.display_names import make_display_names
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.poses.poses_csv import PoseRow
from flycam.ingest.preflight.capture_time import resolve_capture_times
from flycam.ingest.preflight.diagnosis import Rejection
from flycam.ingest.preflight.duplicates import IdentifyPhoto, compute_content_identity, make_duplicate_error
from flycam.messages import _


def build_posed_headers(
    photos: Sequence[PhotoMetadata],
    poses: Sequence[PoseRow],
    *,
    interior_for: Callable[[PhotoMetadata], InteriorOrientation],
    pose_file: str,
    identify: IdentifyPhoto = compute_content_identity,
    operator: str | None = None,
) -> tuple[tuple[FrameHeader, ...], tuple[Rejection, ...]]:
    """Return headers of the photos that have a pose by name; rejections of the rest.

    Names match with or without suffix. Folders in the file's names decide only between photos of one name;
    without them such photos cannot be distinguished, and are rejected rather than placed where another was
    taken; so are copies, and files changed since their metadata were read. A pose with its adjusted interior
    beats `resolve_interior`, unless the photo has another aspect ratio. `pose_file` is named in each header's
    provenance. Headers are in order of time, then of name.
    """
    times, _ = resolve_capture_times(photos)
    headers: list[FrameHeader] = []
    rejected: list[Rejection] = []
    first: dict[str, str] = {}
    row_of = index_rows_by_name(photos, poses, pose_file, identify)
    for photo, name, captured_ns in zip(photos, make_display_names(photos), times.tolist(), strict=True):
        try:
            row = row_of(photo)
            identity = identify(photo)
        except PositionUnknown as error:
            rejected.append(Rejection.from_error(name, error))
            continue
        except SourceUnreadable as error:
            rejected.append(Rejection.from_error(name, FrameUnreadable.from_error(error)))
            continue
        if identity in first:
            rejected.append(Rejection.from_error(name, make_duplicate_error(first[identity])))
            continue
        try:
            interior = _adjusted_lens(row, photo) or interior_for(photo)
        except CalibrationMissing as error:
            rejected.append(Rejection.from_error(name, LensUnknown.from_error(error)))
            continue
        first[identity] = name
        headers.append(
            FrameHeader(
                frame_id=derive_frame_id(identity),
                captured_ns=captured_ns,
                layer=Layer(photo.band),
                interior=interior,
                exterior_prior=row.exterior,
                provenance=Provenance(
                    source_name=photo.name,
                    source_sha256=identity,
                    camera=photo.camera_name,
                    operator=operator,
                    settled=(f"The pose is taken from {pose_file}.",),
                ),
            )
        )
    headers.sort(key=lambda h: (h.captured_ns, h.provenance.source_name))
    return tuple(headers), tuple(rejected)


class _NamedRow(Protocol):
    """Row of a file that names a photo."""

    @property
    def name(self) -> str: ...


_Row = TypeVar("_Row", bound=_NamedRow)


def index_rows_by_name(
    photos: Sequence[PhotoMetadata], poses: Sequence[_Row], pose_file: str, identify: IdentifyPhoto
) -> Callable[[PhotoMetadata], _Row]:
    """Return a function that finds a photo's row.

    It raises PositionUnknown if there is none, or more than one candidate.
    """
    rows_of: dict[str, dict[tuple[str, ...], _Row]] = {}
    for row in poses:
        *folders, stem = _parts(row.name)
        rows_of.setdefault(stem, {})[tuple(folders)] = row
    namesakes: dict[str, list[PhotoMetadata]] = {}
    for photo in photos:
        namesakes.setdefault(_parts(photo.path.name)[-1], []).append(photo)

    def row_of(photo: PhotoMetadata) -> _Row:
        path = _parts(str(photo.path))
        rows = rows_of.get(path[-1], {})
        if len(rows) == 1 and len({identify(one) for one in namesakes[path[-1]]}) == 1:
            return next(iter(rows.values()))
        inside = [folders for folders in rows if folders and path[-1 - len(folders) : -1] == folders]
        if inside:
            return rows[max(inside, key=len)]
        if () in rows:
            raise PositionUnknown(
                _(
                    "shares its name with another photo and {pose_file} does not tell them "
                    "apart: write the folder before the name there",
                    pose_file=pose_file,
                )
            )
        raise PositionUnknown(_("is not named in {pose_file}: add its pose there", pose_file=pose_file))

    return row_of


def _adjusted_lens(row: PoseRow, photo: PhotoMetadata) -> InteriorOrientation | None:
    if row.interior is None:
        return None
    try:
        return fit_interior_to_photo(row.interior, photo)
    except CalibrationMissing:
        return None


def _parts(name: str) -> tuple[str, ...]:
    """Return folders and name without an image suffix, in lower case."""
    path = PurePath(name.replace("\\", "/").lower())
    known = path.suffix in {".jpg", ".jpeg", ".tif", ".tiff", ".png"}
    return (*(part for part in path.parts[:-1] if part != "."), path.stem if known else path.name)
