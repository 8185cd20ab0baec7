"""Frames that are pictures of a film, among the photos that may have joined their flight; names of films."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from flycam.catalog.records import FrameRecord
from flycam.frame.frame import picture_name, picture_pts_ns

FILM_CAMERA = "video"
"""What a picture of a film is said to be taken by."""

_OF_STREAM = re.compile(r"live-\d{8}-\d{6}Z-\d+\.jpg")


def is_of_film(record: FrameRecord) -> bool:
    """Whether a frame is a picture of a film."""
    return record.header.provenance.camera == FILM_CAMERA


def is_picture_of(record: FrameRecord, film: str) -> bool:
    """Whether a frame is a picture of the film of that name: other films may lie in its flight."""
    name = record.header.provenance.source_name
    return is_of_film(record) and name == picture_name(film, picture_pts_ns(name))


def pictures_of(records: Iterable[FrameRecord], film: str, *, is_own: bool) -> list[FrameRecord]:
    """Of the frames of a flight those of one film, known by its name; in the flight that is the film's own
    all that are of a film, where none bears that name: its file was renamed since."""
    filmed = [record for record in records if is_of_film(record)]
    named = [record for record in filmed if is_picture_of(record, film)]
    return named or (filmed if is_own else [])


def stream_name(began_ns: int) -> str:
    """What a stream is called that was opened then (UTC ns): it has no name of its own."""
    return f"live-{datetime.fromtimestamp(began_ns / 1e9, UTC):%Y%m%d-%H%M%S}Z.stream"


def is_of_stream(record: FrameRecord) -> bool:
    """Whether a frame is a picture of a stream, which nobody can read again."""
    return is_of_film(record) and _OF_STREAM.fullmatch(record.header.provenance.source_name) is not None
