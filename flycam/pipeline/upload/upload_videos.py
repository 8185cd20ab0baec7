"""Processing of an upload's videos: each joins the flight of the card's photos, or of the video before.

Errors of a video are reported for that video, and do not stop the others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from flycam.catalog.records import FrameStatus
from flycam.errors import FlycamError, SourceUnreadable, StorageFailed, VideoUnpositioned
from flycam.frame.flight import Flight
from flycam.ingest.photo.file_kinds import FileKind
from flycam.ingest.photo.photo_reader import compute_sha256
from flycam.messages import _
from flycam.pipeline.live.frame_pipeline import PROGRESS_STAGE
from flycam.pipeline.live.live_inputs import LiveRequest
from flycam.pipeline.live.workflow import VideoReport, orthorectify_video
from flycam.pipeline.orthorectification.flight_session import FlightLabels
from flycam.pipeline.retry import ProgressProbe
from flycam.pipeline.upload.card_logs import CardLogs
from flycam.pipeline.upload.upload import UploadManifest
from flycam.pipeline.upload.upload_files import note_reading
from flycam.pipeline.upload.upload_processing import FileProgress, read_stored_hashes
from flycam.pipeline.video_frames import derive_video_flight_id, is_frame_of_video
from flycam.pipeline.workspace import Progress, Workspace


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
    mine = replace(workspace, operator=manifest.owner)
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
        known = _Known(workspace=mine, film_id=film_id, name=names[film], into=into)
        one = _orthorectify_video(mine, request, film, logs, labels, progress, known)
        into = one.flight_id or into
        done.append(one)
    held = [one.flight_id for one in done if one.flight_id is not None]
    return VideosResult(videos=tuple(done), flight=mine.catalog.flights.flight(held[-1]) if held else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """State of one video on the map, whatever its processing reported."""

    workspace: Workspace
    film_id: str
    name: str
    into: str | None

    @property
    def flight_id(self) -> str:
        """Id of the flight that holds it, or will."""
        return self.into or derive_video_flight_id(self.film_id)

    def frames(self) -> int:
        """Count its frames that are shown."""
        used = self.workspace.catalog.frames.list_for_flight(self.flight_id, FrameStatus.USED)
        return sum(is_frame_of_video(record, self.film_id, self.name) for record in used)


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
            given = replace(request, telemetry=str(Path(request.video).parents[film.count("/")] / log))
            # errors after the first progress are not the log's fault
            begun = ProgressProbe(progress, PROGRESS_STAGE)
            try:
                report = orthorectify_video(workspace, given, labels, begun)
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
            "it under the same name, or with the flight log (.tlog, .bin, .ulg); the film "
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
