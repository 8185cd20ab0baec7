"""The films of an upload to the map: each into the flight of its card's photos, or of the film before it.

What a film lacks is said of that film, and holds up nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from flycam.catalog.records import FrameStatus
from flycam.errors import FilmUnplaced, FlycamError, StorageTrouble
from flycam.frame.flight import Flight
from flycam.ingest.card_files import FileKind
from flycam.pipeline.card_logs import CardLogs
from flycam.pipeline.film_frames import is_picture_of
from flycam.pipeline.live import LiveReport, live
from flycam.pipeline.live_given import LiveRequest
from flycam.pipeline.opening import Labels
from flycam.pipeline.upload import Manifest
from flycam.pipeline.upload_work import FileProgress
from flycam.pipeline.workspace import Progress, Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmLaid:
    """What became of one film.

    film    its path on the card; log: that of the log it was laid by
    frames  how many of its pictures are on the map
    error   why none is, if so
    """

    film: str
    log: str | None = None
    report: LiveReport | None = None
    frames: int = 0
    error: FlycamError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmsLaid:
    """What became of a card's films. flight: the one in which they lie; None where none does."""

    films: tuple[FilmLaid, ...]
    flight: Flight | None


def lay_films(workspace: Workspace, folder: Path, into: str | None) -> FilmsLaid:
    """All films of an upload, as `flycam live` lays them, in the sender's name. Idempotent.

    into  the flight (id) of the card's photos; None: they have none

    Raises StorageTrouble alone: what else is wrong with a film stands in what became of it.
    """
    manifest = Manifest.read(folder)
    mine = replace(workspace, operator=manifest.owner)
    logs = CardLogs(folder / "card" / manifest.label, manifest.paths_of(FileKind.LOG))
    films = manifest.paths_of(FileKind.FILM)
    names = _names(films)
    progress = FileProgress(folder)
    done: list[FilmLaid] = []
    flight: Flight | None = None
    for film in films:
        request = LiveRequest(
            video=str(folder / "card" / manifest.label / film),
            telemetry="",
            into=into,
            called=names[film],
            card=manifest.label,
        )
        labels = Labels(name=manifest.name, event=manifest.event) if into is None else Labels()
        one = _laid(mine, request, film, logs, labels, progress)
        if one.report is not None:
            flight = one.report.flight
            into = flight.flight_id
        done.append(one)
    return FilmsLaid(films=tuple(done), flight=flight)


def _laid(
    workspace: Workspace, request: LiveRequest, film: str, logs: CardLogs, labels: Labels, progress: Progress
) -> FilmLaid:
    """One film by the first log that tells where it was filmed; else what was said of the likeliest."""
    wrong: list[FlycamError] = []
    try:
        for log in logs.of_film(film):
            given = replace(request, telemetry=str(Path(request.video).parents[film.count("/")] / log))
            try:
                report = live(workspace, given, labels, progress)
            except StorageTrouble:
                raise
            except FlycamError as error:
                wrong.append(error)
                continue
            frames = _pictures_of(workspace, report.flight.flight_id, str(request.called))
            return FilmLaid(film=film, log=log, report=report, frames=frames)
    except StorageTrouble:
        raise
    except FlycamError as error:  # of the film itself
        wrong.append(error)
    return FilmLaid(film=film, error=(wrong or [*logs.unreadable, no_log_of(film)])[0])


def _pictures_of(workspace: Workspace, flight_id: str, film: str) -> int:
    used = workspace.catalog.frames.of_flight(flight_id, FrameStatus.USED)
    return sum(is_picture_of(record, film) for record in used)


def no_log_of(film: str) -> FilmUnplaced:
    """What a film lacks that came alone."""
    return FilmUnplaced(
        f"{film}: nothing says where it was filmed: upload it again with its .SRT beside it under the same "
        "name, or with the flight log (.tlog, .bin, .ulg); the film itself is kept",
        vi=f"{film}: không tệp nào cho biết quay ở đâu; hãy tải lại cùng tệp .SRT trùng tên, hoặc cùng "
        "nhật ký bay (.tlog, .bin, .ulg); video đã được lưu",
    )


def _names(films: list[str]) -> dict[str, str]:
    """What each film is called: its file's name, with its folders where the card has several of that name."""
    count = Counter(PurePosixPath(film).stem.lower() for film in films)
    return {
        film: PurePosixPath(film).name
        if count[PurePosixPath(film).stem.lower()] == 1
        else film.replace("/", "-")
        for film in films
    }
