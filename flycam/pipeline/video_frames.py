"""Films, their names, and the frames that are their pictures, among photos that may have joined a flight."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from flycam.catalog.records import FrameRecord
from flycam.frame.frame import (
    Provenance,
    derive_flight_id,
    derive_frame_id,
    format_video_frame_name,
    parse_video_frame_pts_ns,
)
from flycam.frame.timestamp import VIETNAM
from flycam.frame.video_warnings import is_video_warning
from flycam.geometry.interior import InteriorOrientation

VIDEO_CAMERA = "video"
"""What a picture of a film is said to be taken by."""

_STREAM_NAME = "live-%Y%m%d-%H%M%SZ.stream"
_OF_STREAM = re.compile(r"live-\d{8}-\d{6}Z-\d+\.jpg")


def derive_video_flight_id(video_id: str) -> str:
    """Of the flight that is a film's own, by the film's hash."""
    return derive_flight_id([derive_frame_id(video_id, "stream")])


def is_video_frame(record: FrameRecord) -> bool:
    """Whether a frame is a picture of a film."""
    return record.header.provenance.camera == VIDEO_CAMERA


def is_frame_of_video(record: FrameRecord, film_id: str, name: str) -> bool:
    """Whether a frame is a picture of one film: others, of the same name too, may lie in its flight.

    film_id  the film's hash, as `Provenance.film`; name: what it is called, by which frames are told that
             were laid before the hash was kept with them
    """
    provenance = record.header.provenance
    if provenance.film is not None:
        return provenance.film == film_id
    source = provenance.source_name
    return is_video_frame(record) and source == format_video_frame_name(
        name, parse_video_frame_pts_ns(source)
    )


def select_video_frames(
    records: Iterable[FrameRecord], film_id: str, name: str, *, is_own: bool
) -> list[FrameRecord]:
    """Of the frames of a flight those of one film, see `is_frame_of_video`; in the flight that is the film's
    own all from before the hash was kept, where none is known by that or by name: its file was renamed
    since."""
    filmed = [record for record in records if is_video_frame(record)]
    mine = [record for record in filmed if is_frame_of_video(record, film_id, name)]
    return mine or [one for one in filmed if is_own and one.header.provenance.film is None]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoIdentity:
    """What is the same for every picture of one video.

    stream_id  SHA-256 of the video's bytes, or of a stream's address and beginning: with a picture's PTS it
               makes the frame's id
    card       what the card is called that it lies on, if it does
    """

    stream_id: str
    name: str
    interior: InteriorOrientation
    is_drill: bool
    work_crs: str
    card: str | None = None

    @property
    def flight_id(self) -> str:
        """Of the flight that is its own."""
        return derive_video_flight_id(self.stream_id)

    def select_frames(self, flight_id: str, records: Iterable[FrameRecord]) -> list[FrameRecord]:
        """Of the frames of a flight those that are pictures of this film."""
        return select_video_frames(records, self.stream_id, self.name, is_own=flight_id == self.flight_id)

    def is_doubt_warning(self, flight_id: str, warning: str) -> bool:
        """Whether a flight's warning says that the clock of this film is not known, or its log may be of
        another."""
        return is_video_warning(warning, self.stream_id, is_own=flight_id == self.flight_id)

    @property
    def title(self) -> str:
        """What a flight is called that nobody named: as its card, else as `format_video_title` has it."""
        return self.card or format_video_title(self.name)


def format_stream_name(began_ns: int) -> str:
    """What a stream is called that was opened then (UTC ns): it has no name of its own."""
    return f"{datetime.fromtimestamp(began_ns / 1e9, UTC):{_STREAM_NAME}}"


def format_video_title(name: str) -> str:
    """What a flight is called that nobody named, by its film: a stream by when it began, as people in Vietnam
    tell the time; a file by its name without its ending."""
    began = _parse_stream_start(name)
    if began is None:
        return name.rpartition(".")[0] or name
    return f"Trực tiếp {began.astimezone(VIETNAM):%H:%M %d/%m}"


def is_stream_name(name: str) -> bool:
    """Whether a film is called as a stream is."""
    return _parse_stream_start(name) is not None


def _parse_stream_start(name: str) -> datetime | None:
    """When a stream of this name began; None: it is a file's."""
    try:
        return datetime.strptime(name, _STREAM_NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


def is_stream_frame(record: FrameRecord) -> bool:
    """Whether a frame is a picture of a stream, which nobody can read again."""
    return is_from_stream(record.header.provenance)


def is_from_stream(provenance: Provenance) -> bool:
    """As `is_stream_frame`, of where a picture is from."""
    return provenance.camera == VIDEO_CAMERA and _OF_STREAM.fullmatch(provenance.source_name) is not None
