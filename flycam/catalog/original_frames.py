"""Frames by their original's hash. A photo's frame has its id of that hash; a film's picture of the film
and of its time in it, so that it is the same whatever bytes it is kept as: for those the hash is noted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from flycam.catalog import tables
from flycam.catalog.geometry_json import provenance_from_json
from flycam.catalog.records import FrameRecord
from flycam.frame.frame import derive_frame_id

_c = tables.film_pictures.c


def record_video_frames(connection: Connection, insert: Any, frames: Iterable[FrameRecord]) -> None:
    """Those of these frames that are not found by their hash alone, in the step that is under way.

    insert  into `film_pictures`, of the database's dialect
    """
    sources = {one.header.provenance.source_sha256: one.frame_id for one in frames}
    rows = [
        {"source_sha256": sha256, "frame_id": frame_id}
        for sha256, frame_id in sorted(sources.items())  # sorted, so that no two wait for each other
        if _is_noted(sha256, frame_id)
    ]
    if rows:
        connection.execute(insert.on_conflict_do_nothing(index_elements=["source_sha256"]), rows)


def find_frame_id(connection: Connection, sha256: str) -> str:
    """The id that the frame of an original has, if there is one."""
    noted = connection.execute(select(_c.frame_id).where(_c.source_sha256 == sha256)).scalar()
    return derive_frame_id(sha256) if noted is None else noted


def migrate_video_frames(connection: Connection) -> None:
    """In a catalogue of before schema 25."""
    c = tables.frames.c
    known = set(connection.execute(select(_c.source_sha256)).scalars())
    found = {}
    for frame_id, provenance in connection.execute(select(c.frame_id, c.provenance).order_by(c.frame_id)):
        sha256 = provenance_from_json(provenance).source_sha256
        if sha256 not in known and _is_noted(sha256, frame_id):
            found[sha256] = frame_id
    if found:
        rows = [{"source_sha256": sha256, "frame_id": frame_id} for sha256, frame_id in found.items()]
        connection.execute(tables.film_pictures.insert(), rows)


def _is_noted(sha256: str, frame_id: str) -> bool:
    return bool(sha256) and frame_id != derive_frame_id(sha256)
