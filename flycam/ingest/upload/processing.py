"""Processing of an upload: preview of headers, ingest of photos and videos.

`preview_upload`, `orthorectify_photos` and `orthorectify_videos` run in a process of their own (`flycam
upload-work`) and leave their results in files beside the upload, so that a file that crashes a decoder does
not crash the server.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.errors import FlycamError, SourceUnreadable, StorageFailed, VideoUnpositioned
from flycam.ingest.batch import IngestReport, ingest
from flycam.ingest.live.frame_pipeline import PROGRESS_STAGE
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.photos.photo_reader import PhotoMetadata, read_photos
from flycam.ingest.photos.photo_search import FileKind, find_sidecar_logs, is_subtitles, search_photos
from flycam.ingest.preflight.files import resolve_capture_times
from flycam.ingest.preflight_check import PreflightReport, PreflightRequest, check_flight
from flycam.ingest.upload.upload import (
    ARRIVED,
    JOURNAL_FILE,
    PROGRESS_FILE,
    STORED,
    Journal,
    UploadManifest,
    note_reading,
    write_json,
)
from flycam.ingest.video.video_frames import derive_video_flight_id, select_video_frames
from flycam.ingest.video.video_source import read_creation_ns
from flycam.messages import _
from flycam.model.flight import Flight
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rectification import FrameFootprint, load_terrain_under, project_frames
from flycam.mosaic.terrain import load_registered_dems
from flycam.retry import ProgressProbe
from flycam.storage.files import compute_sha256
from flycam.workspace import Progress, Workspace

# -- Flight logs of a memory card, for its photos and for each video -------------------------------


# tolerance for a camera's clock, and for a log that begins late
_AROUND_NS = 10 * 60 * 10**9

Span = tuple[int, int]
"""UTC ns of a log's first and last sample."""


class CardLogs:
    """Flight logs of one memory card, each read at most once, and only if needed.

    unreadable  errors of those that cannot be read
    """

    def __init__(self, card: Path, logs: Sequence[str], note: Callable[[str], None]) -> None:
        """Take complete logs by their paths below `card`.

        note: called before each is read.
        """
        self._card = card
        self._note = note
        self._logs = tuple(logs)
        self._spans: dict[str, Span | None] = {}
        self.unreadable: list[SourceUnreadable] = []

    def find_photo_log(self, photos: Sequence[PhotoMetadata]) -> str | None:
        """Return the log for photos that lack position or attitude.

        None if none fits or is needed. It is the log that was recorded while most of them were taken, or the
        only one there is.
        """
        if not any(map(_is_incomplete, photos)):
            return None
        logs = [log for log in self._logs if self._span(log) is not None]
        if len(logs) <= 1:
            return logs[0] if logs else None
        times, __ = resolve_capture_times(photos)
        inside = {log: self._inside(log, times) for log in logs}
        best = max(logs, key=lambda log: inside[log])
        return best if inside[best] else None

    def find_video_logs(self, video: str) -> Iterator[str]:
        """Yield the logs that may position a video, the likeliest first.

        First those under its own name, then the telemetry in the video itself, then those recorded around its
        start, or the only one there is. Raises SourceUnreadable for the video.
        """
        own = find_sidecar_logs(video, self._logs)
        yield from own
        if self._holds_telemetry(video):
            yield video
        others = [log for log in self._logs if log not in own and self._span(log) is not None]
        if len(others) <= 1:
            yield from others
            return
        began_ns = read_creation_ns(self._card / video)
        if began_ns is not None:
            delta = {log: self._distance_ns(log, began_ns) for log in others}
            yield from sorted((log for log in others if delta[log] <= _AROUND_NS), key=lambda log: delta[log])

    def _holds_telemetry(self, film: str) -> bool:
        from flycam.ingest.telemetry.log_files import read_flight_log  # noqa: PLC0415  its dialects are slow to load

        try:
            return bool(read_flight_log(self._card / film).track.samples)
        except SourceUnreadable:
            return False

    def _inside(self, log: str, times_ns: NDArray[np.int64]) -> int:
        first, last = self._span(log) or (0, 0)
        return int(((times_ns >= first - _AROUND_NS) & (times_ns <= last + _AROUND_NS)).sum())

    def _distance_ns(self, log: str, at_ns: int) -> int:
        first, last = self._span(log) or (0, 0)
        return max(first - at_ns, at_ns - last, 0)

    def _span(self, log: str) -> Span | None:
        """Return a log's time span.

        None for subtitles, timed by their video, and unreadable logs.
        """
        if is_subtitles(log):
            return None
        if log not in self._spans:
            self._spans[log] = self._read(log)
        return self._spans[log]

    def _read(self, log: str) -> Span | None:
        from flycam.ingest.telemetry.log_files import read_flight_log  # noqa: PLC0415  its dialects are slow to load

        self._note(log)
        try:
            samples = read_flight_log(self._card / log).track.samples
        except SourceUnreadable as error:
            self.unreadable.append(error)
            return None
        return (samples[0].t_utc_ns, samples[-1].t_utc_ns) if samples else None


def guess_video_log(video: str, logs: Sequence[str]) -> str | None:
    """Guess the log of a video by names alone; None if nothing can position it."""
    others = [log for log in logs if not is_subtitles(log)]
    return next(iter([*find_sidecar_logs(video, logs), *others]), None)


def _is_incomplete(photo: PhotoMetadata) -> bool:
    """Return True if a photo lacks position or attitude."""
    has_place = photo.lat_deg is not None or photo.xmp_lat_deg is not None
    angles = (photo.gimbal, photo.camera, photo.aircraft)
    return not has_place or all(one.pitch_deg is None for one in angles)


# -- Preview of an upload, and ingest of its photos ------------------------------------------------


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
    ground_m2       area that the planned photos see, overlaps counted once; in their work CRS
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
    request = _request(folder, _list_complete_logs(folder))[0]
    dems = load_registered_dems(workspace)
    inspection = check_flight(request, dems, check_pixels=False)
    diagnosis = inspection.preflight.diagnosis
    planned, __ = project_frames(diagnosis.headers, load_terrain_under(None, diagnosis, dems))
    photos = {str(photo.path): photo for photo in inspection.preflight.photos}
    of_planned = [photos[diagnosis.paths[one.header.frame_id]] for one in planned]
    return UploadPreview(
        video_logs=films,
        inspection=inspection,
        planned=tuple(planned),
        motion_blur_px=estimate_motion_blur(planned, of_planned),
        ground_m2=_ground_m2(planned),
    )


def _ground_m2(planned: Sequence[FrameFootprint]) -> float:
    seen = [shapely.make_valid(shapely.Polygon(one.footprint.polygon_m)) for one in planned]
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
    as_owner = replace(workspace, operator=manifest.owner)
    request, unreadable = _request(folder, manifest.list_paths(FileKind.LOG))
    return PhotosResult(report=ingest(as_owner, request, labels, FileProgress(folder)), unreadable=unreadable)


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
    step_s = np.diff(seconds, append=seconds[-1:])
    is_step = (step_s > 0.0) & (step_s < _MAX_STEP_S)
    between = np.where(is_step, way / np.where(is_step, step_s, 1.0), np.nan)
    stated = np.array([np.hypot(*p.speed_mps[:2]) if p.speed_mps else np.nan for p in photos])
    exposure = np.array([p.exposure_s or np.nan for p in photos])
    gsd = np.array([one.footprint.gsd_m for one in planned])
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
        photos, __ = read_photos(search_photos((card,)).photos)
        named, unreadable = found.find_photo_log(photos), found.unreadable
    if named:
        note_reading(folder, named)
    return PreflightRequest(paths=(card,), telemetry=card / named if named else None), unreadable


# -- Ingest of an upload's videos ------------------------------------------------------------------
#
# Each video joins the flight of the card's photos, or of the video before it. Errors of a video are reported
# for that video, and do not stop the others.


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoResult:
    """Result of one video.

    video   its path on the card; log: that of the log by which it was positioned
    frames  number of its frames on the map; flight_id: of the flight that holds them
    error   reason for none, or no more, if so; is_cut: it broke off during processing
    """

    video: str
    log: str | None = None
    report: VideoReport | None = None
    frames: int = 0
    flight_id: str | None = None
    error: FlycamError | None = None
    is_cut: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class VideosResult:
    """Result of a card's videos.

    flight: the one that holds them; None if none is on the map.
    """

    videos: tuple[VideoResult, ...]
    flight: Flight | None


def orthorectify_videos(workspace: Workspace, folder: Path, into: str | None) -> VideosResult:
    """Orthorectify all videos of an upload, as `flycam live`, in the sender's name.

    Idempotent.

    into  the flight (id) of the card's photos; None: they have none

    Raises StorageFailed only: other errors of a video are in its result.
    """
    manifest = UploadManifest.read(folder)
    as_owner = replace(workspace, operator=manifest.owner)
    note = partial(note_reading, folder)
    logs = CardLogs(folder / "card" / manifest.label, manifest.list_paths(FileKind.LOG), note)
    films = manifest.list_paths(FileKind.FILM)
    names = _names(films)
    progress = FileProgress(folder)
    hashes = read_stored_hashes(folder)
    done: list[VideoResult] = []
    for film in films:
        request = LiveRequest(
            video=str(folder / "card" / manifest.label / film),
            telemetry="",
            into=into,
            video_name=names[film],
            card=manifest.label,
        )
        labels = FlightLabels(name=manifest.name, event=manifest.event) if into is None else FlightLabels()
        note(film)
        film_id = hashes.get(film) or compute_sha256(Path(request.video))
        known = _Known(workspace=as_owner, film_id=film_id, into=into)
        one = _orthorectify_video(as_owner, request, film, logs, labels, progress, known)
        into = one.flight_id or into
        done.append(one)
    ids = [one.flight_id for one in done if one.flight_id is not None]
    return VideosResult(videos=tuple(done), flight=as_owner.catalog.flights.flight(ids[-1]) if ids else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """State of one video on the map, whatever its processing reported."""

    workspace: Workspace
    film_id: str
    into: str | None

    @property
    def flight_id(self) -> str:
        """Id of the flight that holds it, or will."""
        return self.into or derive_video_flight_id(self.film_id)

    def frames(self) -> int:
        """Count its frames that are shown."""
        used = self.workspace.catalog.frames.list_for_flight(self.flight_id, FrameStatus.USED)
        return len(select_video_frames(used, self.film_id))


def _orthorectify_video(
    workspace: Workspace,
    request: LiveRequest,
    film: str,
    logs: CardLogs,
    labels: FlightLabels,
    progress: Progress,
    known: _Known,
) -> VideoResult:
    """Process one video by the first log that positions it.

    If none does, the error is that of the likeliest log. Frames of a video that broke off stay on the map,
    and are counted.
    """
    wrong: list[FlycamError] = []
    before = known.frames()
    there = VideoResult(video=film, frames=before, flight_id=known.flight_id if before else None)
    try:
        for log in logs.find_video_logs(film):
            with_log = replace(request, telemetry=str(Path(request.video).parents[film.count("/")] / log))
            # errors after the first progress are not the log's fault
            begun = ProgressProbe(progress, PROGRESS_STAGE)
            try:
                report = orthorectify_video(workspace, with_log, labels, begun)
            except StorageFailed:
                raise
            except FlycamError as error:
                wrong.append(error)
                is_cut = begun.is_so and isinstance(error, SourceUnreadable)
                if not is_cut or not known.frames():
                    continue
                there = replace(there, log=log, frames=known.frames(), flight_id=known.flight_id)
                return replace(there, error=error, is_cut=True)
            there = replace(there, log=log, frames=known.frames(), flight_id=report.flight.flight_id)
            return replace(there, report=report)
    except StorageFailed:
        raise
    except FlycamError as error:  # of the video itself
        wrong.append(error)
    return replace(there, error=(wrong or [*logs.unreadable, make_missing_log_error(film)])[0])


def make_missing_log_error(video: str) -> VideoUnpositioned:
    """Make the error for a video without telemetry."""
    return VideoUnpositioned(
        _(
            "{film}: nothing says where it was filmed: upload it again with its .SRT beside "
            "it under the same name, or with the flight log (.tlog, .bin, .ulg); the video "
            "itself is kept",
            film=video,
        )
    )


def _names(films: list[str]) -> dict[str, str]:
    """Name each video by its file.

    Its folders are included if the card has several of that name.
    """
    count = Counter(PurePosixPath(film).stem.lower() for film in films)
    return {
        film: PurePosixPath(film).name
        if count[PurePosixPath(film).stem.lower()] == 1
        else film.replace("/", "-")
        for film in films
    }
