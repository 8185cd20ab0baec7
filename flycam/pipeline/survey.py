"""Look at a flight without writing anything: what is there, what it says, what the doctor settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flycam.errors import PositionMissing, SourceUnreadable
from flycam.geodata.cameras import load_camera_file
from flycam.geodata.dem_info import DemInfo
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.diagnosis import Diagnosis, Rejection
from flycam.ingest.inspect import diagnose
from flycam.ingest.metadata import PhotoMetadata
from flycam.ingest.photos import interior_for, read_all, search
from flycam.pipeline.terrain import TerrainLookup


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyRequest:
    """What the operator gave and asked for.

    telemetry       a log or pose file for photos without position
    camera          a camera file that beats what the photos say
    height_mode     "auto", "relative", "absolute" or "exif"
    takeoff         height of the take-off point in metres, or its (lon, lat) degrees
    clock_offset_s  added to camera time to give UTC
    """

    paths: tuple[Path, ...]
    telemetry: Path | None = None
    camera: Path | None = None
    height_mode: str = "auto"
    takeoff: float | tuple[float, float] | None = None
    clock_offset_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """A flight as it lies on the card.

    photos      metadata of every readable photo, by file name and path
    unreadable  photos that cannot be read, as rejections
    skipped     other files, with the reason
    """

    photos: tuple[PhotoMetadata, ...]
    unreadable: tuple[Rejection, ...]
    skipped: tuple[tuple[Path, str], ...]
    diagnosis: Diagnosis

    @property
    def read(self) -> int:
        """Photos found, readable or not."""
        return len(self.photos) + len(self.unreadable)


def survey(request: SurveyRequest, dems: Sequence[DemInfo]) -> Survey:
    """Read the metadata of all photos and let the doctor settle them.

    Raises SourceUnreadable (no photo at all, or a path that does not exist), PositionMissing (no photo has
    a position and no log supplies one), CalibrationMissing, and what reading the telemetry raises.
    """
    found = search(request.paths)
    if not found.photos:
        names = ", ".join(str(path) for path in request.paths)
        raise SourceUnreadable(f"{names}: no JPEG, PNG or TIFF photo inside; give the folder with the photos")
    photos, failed = read_all(found.photos)
    if not photos:
        _, first = failed[0]
        raise SourceUnreadable(f"none of the {len(failed)} photos can be read; the first: {first}") from first
    camera = load_camera_file(request.camera) if request.camera else None
    return Survey(
        photos=tuple(photos),
        unreadable=tuple(
            Rejection(name=path.name, reason="unreadable", message=str(error)) for path, error in failed
        ),
        skipped=found.skipped,
        diagnosis=_diagnosed(request, photos, dems, camera),
    )


def _diagnosed(
    request: SurveyRequest,
    photos: Sequence[PhotoMetadata],
    dems: Sequence[DemInfo],
    camera: InteriorOrientation | None,
) -> Diagnosis:
    diagnosis = diagnose(
        photos,
        terrain_at=TerrainLookup(dems) if dems else None,
        height_mode=request.height_mode,
        takeoff=request.takeoff,
        interior_for=partial(interior_for, camera_override=camera),
    )
    if not diagnosis.headers:
        raise PositionMissing(_why_nothing(diagnosis))
    return diagnosis


def _why_nothing(diagnosis: Diagnosis) -> str:
    first = diagnosis.rejected[0]
    return f"none of the {len(diagnosis.rejected)} photos can be placed; {first.name}: {first.message}"
