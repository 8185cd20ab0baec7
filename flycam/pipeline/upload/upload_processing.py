"""Processing of an upload: preview of its headers, and ingest of its photos.

`preview_upload`, `orthorectify_photos` and the videos (`flycam.pipeline.upload.upload_videos`) run in a
process of their own (`flycam upload-work`) and leave their results in files beside the upload, so that a file
that crashes a decoder does not crash the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import shapely

from flycam.errors import FlycamError
from flycam.ingest.photo.file_kinds import FileKind
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.photo_reader import read_photos, search_photos
from flycam.pipeline.batch import IngestReport, ingest
from flycam.pipeline.orthorectification.flight_session import FlightLabels
from flycam.pipeline.orthorectification.frame_plan import FrameFootprint, load_terrain_under, project_frames
from flycam.pipeline.orthorectification.preflight import PreflightRequest
from flycam.pipeline.preflight_report import PreflightReport, check_flight
from flycam.pipeline.terrain import load_registered_dems
from flycam.pipeline.upload.card_logs import CardLogs, guess_video_log
from flycam.pipeline.upload.journal import Journal
from flycam.pipeline.upload.upload import ARRIVED, STORED, UploadManifest
from flycam.pipeline.upload.upload_files import JOURNAL_FILE, PROGRESS_FILE, note_reading, write_json
from flycam.pipeline.workspace import Workspace

MAX_MOTION_BLUR_PX = 1.5
"""Blur at which small objects on the ground (a person, a wire) are lost."""

_PROGRESS_S = 0.5
_MAX_STEP_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadPreview:
    """Preview of an upload, from the headers of its photos.

    inspection      None of a card without photos
    planned         photos that see ground, with it
    motion_blur_px  by frame id: how far the ground moves in the image during exposure; absent where unknown
    video_logs      videos of the card, each with the log that probably positions it
    ground_m2       area in sight of the planned photos, overlaps counted once; in their work CRS
    """

    video_logs: dict[str, str | None]
    inspection: PreflightReport | None = None
    planned: tuple[FrameFootprint, ...] = ()
    motion_blur_px: dict[str, float] = field(default_factory=dict)
    ground_m2: float = 0.0


def preview_upload(workspace: Workspace, folder: Path) -> UploadPreview:
    """Preview the headers that are here, and the flight log if complete.

    Writes nothing. Raises what `check_flight` raises.
    """
    manifest = UploadManifest.read(folder)
    logs = manifest.list_paths(FileKind.LOG)
    films = {film: guess_video_log(film, logs) for film in manifest.list_paths(FileKind.FILM)}
    if not manifest.list_numbers(FileKind.PHOTO):
        return UploadPreview(video_logs=films)
    request, _ = _request(folder, _list_complete_logs(folder))
    dems = load_registered_dems(workspace)
    inspection = check_flight(request, dems, check_pixels=False)
    diagnosis = inspection.preflight.diagnosis
    planned, _ = project_frames(diagnosis, load_terrain_under(None, diagnosis, dems))
    photos = {str(photo.path): photo for photo in inspection.preflight.photos}
    return UploadPreview(
        video_logs=films,
        inspection=inspection,
        planned=tuple(planned),
        motion_blur_px=estimate_motion_blur(planned, [photos[str(one.path)] for one in planned]),
        ground_m2=_ground_m2(planned),
    )


def _ground_m2(planned: Sequence[FrameFootprint]) -> float:
    seen = [shapely.make_valid(shapely.Polygon(one.view.footprint.polygon_m)) for one in planned]
    return float(shapely.union_all(seen).area)


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotosResult:
    """Result of the photos.

    report      as of `flycam ingest`
    unreadable  errors of flight logs that could not be used
    """

    report: IngestReport
    unreadable: Sequence[FlycamError] = field(default=())


def orthorectify_photos(workspace: Workspace, folder: Path) -> PhotosResult:
    """Ingest the card's photos as `flycam ingest` does, in the sender's name.

    Raises what `ingest` raises.
    """
    manifest = UploadManifest.read(folder)
    labels = FlightLabels(name=manifest.name, event=manifest.event)
    mine = replace(workspace, operator=manifest.owner)
    request, unreadable = _request(folder, manifest.list_paths(FileKind.LOG))
    return PhotosResult(report=ingest(mine, request, labels, FileProgress(folder)), unreadable=unreadable)


def is_awaiting_logs(folder: Path) -> bool:
    """Return True if a flight log of the card is incomplete.

    It may add to the preview.
    """
    return len(_list_complete_logs(folder)) < len(UploadManifest.read(folder).list_numbers(FileKind.LOG))


def estimate_motion_blur(
    planned: Sequence[FrameFootprint], photos: Sequence[PhotoMetadata]
) -> dict[str, float]:
    """Estimate motion blur: speed over ground × exposure / GSD, pixels, by frame id.

    The speed is the aircraft's own where the photo states it, else from the distance to the next photo, if
    that was taken within half a minute. Rotation is not counted, so this is a lower bound.
    """
    if not planned:
        return {}
    places = np.array([one.header.exterior_prior.projection_centre_m[:2] for one in planned])
    seconds = np.array([one.header.captured_ns for one in planned]) / 1e9
    way = np.hypot(*np.diff(places, axis=0, append=places[-1:]).T)
    took = np.diff(seconds, append=seconds[-1:])
    is_step = (took > 0.0) & (took < _MAX_STEP_S)
    between = np.where(is_step, way / np.where(is_step, took, 1.0), np.nan)
    stated = np.array([np.hypot(*p.speed_mps[:2]) if p.speed_mps else np.nan for p in photos])
    exposure = np.array([p.exposure_s or np.nan for p in photos])
    gsd = np.array([one.view.footprint.gsd_m for one in planned])
    smear = np.where(np.isfinite(stated), stated, between) * exposure / gsd
    known = np.flatnonzero(np.isfinite(smear)).tolist()
    return {planned[i].header.frame_id: float(smear[i]) for i in known}


class FileProgress:
    """Progress listener that writes to a file, at most every half second."""

    def __init__(self, folder: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / PROGRESS_FILE
        self._clock_s = clock_s
        self._said = ("", -np.inf)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = self._clock_s()
        if stage == self._said[0] and now - self._said[1] < _PROGRESS_S:
            return
        self._said = (stage, now)
        # on a full disk the flight matters more than its progress
        with suppress(OSError):
            write_json(self._path, {"stage": stage, "done": done, "total": total})


def read_stored_hashes(folder: Path) -> dict[str, str]:
    """Read the SHA-256 of files stored as originals, by path on the card."""
    files = UploadManifest.read(folder).files
    return {files[n].path: value for word, n, value in Journal(folder / JOURNAL_FILE).lines if word == STORED}


def _list_complete_logs(folder: Path) -> list[str]:
    manifest = UploadManifest.read(folder)
    reached = {
        number: value for word, number, value in Journal(folder / JOURNAL_FILE).lines if word == ARRIVED
    }
    logs = manifest.list_numbers(FileKind.LOG)
    return [manifest.files[n].path for n in logs if reached.get(n) == str(manifest.files[n].size)]


def _request(folder: Path, logs: Sequence[str]) -> tuple[PreflightRequest, Sequence[FlycamError]]:
    """Build the request for the card's photos with a flight log of those given.

    It is the log that the sender named, else the one that fits. Also returns the errors of unreadable logs.
    """
    manifest = UploadManifest.read(folder)
    card = folder / "card" / manifest.label
    named = manifest.telemetry if manifest.telemetry in logs else None
    unreadable: Sequence[FlycamError] = ()
    # logs are read only if the sender named none
    if manifest.telemetry is None and logs:
        found = CardLogs(card, logs, partial(note_reading, folder))
        photos, _ = read_photos(search_photos((card,)).photos)
        named, unreadable = found.find_photo_log(photos), found.unreadable
    if named:
        note_reading(folder, named)
    return PreflightRequest(paths=(card,), telemetry=card / named if named else None), unreadable
