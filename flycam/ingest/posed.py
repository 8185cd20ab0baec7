"""Photos whose poses are given, by a table or an adjustment: nothing is to be settled but who is who."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePath

from flycam.errors import CalibrationMissing, LensUnknown, PositionUnknown
from flycam.frame.frame import FrameHeader, Layer, Provenance, frame_id_of
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.calibration import fitted_to
from flycam.ingest.clock import capture_times
from flycam.ingest.diagnosis import Rejection
from flycam.ingest.duplicates import Identify, content_identity
from flycam.ingest.metadata import PhotoMetadata
from flycam.ingest.naming import told_apart
from flycam.ingest.poses_csv import PoseRow


def posed_headers(
    photos: Sequence[PhotoMetadata],
    poses: Sequence[PoseRow],
    *,
    interior_for: Callable[[PhotoMetadata], InteriorOrientation],
    pose_file: str,
    identify: Identify = content_identity,
    operator: str | None = None,
) -> tuple[tuple[FrameHeader, ...], tuple[Rejection, ...]]:
    """Headers of the photos whose name, with or without suffix, has a pose; rejections of the rest.

    A pose that comes with its adjusted lens beats `interior_for`, unless the photo has another shape.
    `pose_file` is named in each header's provenance. Headers are in order of time, then of name.
    """
    by_stem = {_stem(row.name): row for row in poses}
    times, _ = capture_times(photos)
    headers: list[FrameHeader] = []
    rejected: list[Rejection] = []
    for photo, name, captured_ns in zip(photos, told_apart(photos), times.tolist(), strict=True):
        row = by_stem.get(_stem(photo.name))
        if row is None:
            unnamed = PositionUnknown(f"is not named in {pose_file}: add its pose there")
            rejected.append(Rejection.of(name, unnamed))
            continue
        try:
            interior = _adjusted_lens(row, photo) or interior_for(photo)
        except CalibrationMissing as error:
            rejected.append(Rejection.of(name, LensUnknown(str(error))))
            continue
        identity = identify(photo)
        headers.append(
            FrameHeader(
                frame_id=frame_id_of(identity),
                captured_ns=captured_ns,
                layer=Layer(photo.band),
                interior=interior,
                exterior_prior=row.exterior,
                provenance=Provenance(
                    source_name=photo.name,
                    source_sha256=identity,
                    camera=f"{photo.maker} {photo.model}".strip(),
                    operator=operator,
                    settled=(f"The pose is taken from {pose_file}.",),
                ),
            )
        )
    headers.sort(key=lambda h: (h.captured_ns, h.provenance.source_name))
    return tuple(headers), tuple(rejected)


def _adjusted_lens(row: PoseRow, photo: PhotoMetadata) -> InteriorOrientation | None:
    if row.interior is None:
        return None
    try:
        return fitted_to(row.interior, photo)
    except CalibrationMissing:
        return None


def _stem(name: str) -> str:
    path = PurePath(name.replace("\\", "/"))
    known = path.suffix.lower() in {".jpg", ".jpeg", ".tif", ".tiff", ".png"}
    return (path.stem if known else path.name).lower()
