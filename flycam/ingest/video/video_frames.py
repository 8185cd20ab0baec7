"""Videos, their names, and their frames in flights that photos may have joined."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from flycam.geometry.camera import InteriorOrientation
from flycam.messages import _
from flycam.model.frame import (
    Provenance,
    derive_flight_id,
    derive_frame_id,
)
from flycam.model.records import FrameRecord
from flycam.model.time import VIETNAM
from flycam.model.warning import is_video_warning

VIDEO_CAMERA = "video"
"""`Provenance.camera` of a frame of a video."""

_STREAM_NAME = "live-%Y%m%d-%H%M%SZ.stream"
_OF_STREAM = re.compile(r"live-\d{8}-\d{6}Z-\d+\.jpg")


def derive_video_flight_id(video_id: str) -> str:
    """Derive the id of a video's own flight from the video's hash."""
    return derive_flight_id([derive_frame_id(video_id, "stream")])


def is_video_frame(record: FrameRecord) -> bool:
    """Return True if a frame is from a video."""
    return record.header.provenance.camera == VIDEO_CAMERA


def select_video_frames(records: Iterable[FrameRecord], film_id: str) -> list[FrameRecord]:
    """Select the frames of one video from those of a flight.

    film_id  the video's hash: cameras number their files from 0001 on every card (decision 0031)
    """
    return [one for one in records if one.header.provenance.film == film_id]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoIdentity:
    """Properties shared by all frames of one video.

    stream_id  SHA-256 of the video's bytes, or of a stream's address and beginning: with a frame's PTS it
               makes the frame's id
    card       name of the memory card that holds it, if any
    """

    stream_id: str
    name: str
    interior: InteriorOrientation
    is_drill: bool
    work_crs: str
    card: str | None = None

    @property
    def flight_id(self) -> str:
        """Id of the video's own flight."""
        return derive_video_flight_id(self.stream_id)

    def select_frames(self, records: Iterable[FrameRecord]) -> list[FrameRecord]:
        """Select the frames of this video from those of a flight."""
        return select_video_frames(records, self.stream_id)

    def is_doubt_warning(self, warning: str) -> bool:
        """Return True if a warning doubts this video's clock or its log.

        The log may belong to another video.
        """
        return is_video_warning(warning, self.stream_id)

    @property
    def title(self) -> str:
        """Default name of a flight: that of its memory card, else `format_video_title`."""
        return self.card or format_video_title(self.name)


def format_stream_name(began_ns: int) -> str:
    """Format a name for a stream opened at this time (UTC ns).

    It has none of its own.
    """
    return f"{datetime.fromtimestamp(began_ns / 1e9, UTC):{_STREAM_NAME}}"


def format_video_title(name: str) -> str:
    """Return the default name of a video's flight.

    For a stream its start, as people in Vietnam write the time; for a file its name without suffix.
    """
    began = _parse_stream_start(name)
    if began is None:
        return name.rpartition(".")[0] or name
    local = f"{began.astimezone(VIETNAM):%H:%M %d/%m}"
    return _("Live {time}", time=local).in_language("vi")


def is_stream_name(name: str) -> bool:
    """Return True if a video's name is that of a stream."""
    return _parse_stream_start(name) is not None


def _parse_stream_start(name: str) -> datetime | None:
    """Parse the start of a stream from its name; None for a file."""
    try:
        return datetime.strptime(name, _STREAM_NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


def is_stream_frame(record: FrameRecord) -> bool:
    """Return True if a frame is from a stream, which cannot be read again."""
    return is_from_stream(record.header.provenance)


def is_from_stream(provenance: Provenance) -> bool:
    """Return True if the provenance is a stream, as `is_stream_frame`."""
    return provenance.camera == VIDEO_CAMERA and _OF_STREAM.fullmatch(provenance.source_name) is not None
