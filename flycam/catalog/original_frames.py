"""Frames by the hash of their original.

A photo's frame id is made of that hash; a video frame's of the video and its time in it, so that it is the
same whatever bytes it is stored as, so its hash is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from flycam.catalog import tables
from flycam.catalog.records import FrameRecord
from flycam.frame.frame import derive_frame_id

_c = tables.film_pictures.c


def record_video_frames(connection: Connection, insert: Any, frames: Iterable[FrameRecord]) -> None:
    """Record the hashes of video frames within a transaction.

    Skips frames that are found by their hash alone.

    insert  into `film_pictures`, of the database's dialect
    """
    sources = {one.header.provenance.source_sha256: one.frame_id for one in frames}
    rows = [
        {"source_sha256": sha256, "frame_id": frame_id}
        for sha256, frame_id in sorted(sources.items())  # sorted to avoid deadlocks
        if _is_noted(sha256, frame_id)
    ]
    if rows:
        connection.execute(insert.on_conflict_do_nothing(index_elements=["source_sha256"]), rows)


def find_frame_id(connection: Connection, sha256: str) -> str:
    """Return the id that the frame of an original has if it exists."""
    noted = connection.execute(select(_c.frame_id).where(_c.source_sha256 == sha256)).scalar()
    return derive_frame_id(sha256) if noted is None else noted


def _is_noted(sha256: str, frame_id: str) -> bool:
    return bool(sha256) and frame_id != derive_frame_id(sha256)
