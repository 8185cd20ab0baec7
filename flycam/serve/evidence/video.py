"""`/api/video`: the recorded video of live flights, in segments that play alone.

Open to viewers, who get no original photo: a video has no smaller image to be shown instead. Video of a
withdrawn flight, and segments in which a withdrawn frame was taken, are for administrators: they were
withdrawn for what can be seen in them.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Role
from flycam.catalog.video_segments import VideoSegment
from flycam.catalog.withdrawn_times import find_withdrawn_times
from flycam.errors import AccessDenied, NotFound
from flycam.frame.timestamp import format_iso
from flycam.messages import _
from flycam.pipeline.original_store import require_not_purged
from flycam.serve.auth.download_log import DownloadLog
from flycam.serve.auth.guards import ViewerPrincipal
from flycam.serve.http.json_values import Json
from flycam.serve.services import CatalogHere, ServicesHere
from flycam.serve.tiles.byte_ranges import (
    SHA256_PATTERN,
    RangeHere,
    build_unsatisfiable_response,
    stream_object,
)
from flycam.serve.tiles.visible_flights import build_withheld_error
from flycam.store import keys

router = APIRouter()

# a camera that looks ahead sees farther than what is orthorectified (decision 0028)
_AROUND_M = 1000.0
_FLIGHT_ID = Path(max_length=200)


@router.get("/api/video/{flight_id}")
def list_video_pieces(
    flight_id: Annotated[str, _FLIGHT_ID],
    catalog: CatalogHere,
    principal: ViewerPrincipal,
    *,
    last_s: Annotated[float | None, Query(gt=0)] = None,
) -> list[Json]:
    """Recorded pieces of a live flight, oldest first: of its last seconds, else all.

    `url` is null for one that was let go for room, or is not shown to this visitor (`withheld`).
    """
    found = _find_recorded_pieces(catalog, flight_id, principal.access_policy)
    if found and last_s is not None:
        since_ns = found[-1].ended_ns - round(last_s * 1e9)
        found = [piece for piece in found if piece.ended_ns > since_ns]
    hidden = set() if principal.has_role(Role.ADMIN) else _find_withdrawn_pieces(catalog, flight_id, found)
    if _is_barred(catalog, flight_id, principal.access_policy):
        hidden = {piece.sha256 for piece in found}
    return [
        {
            "began": format_iso(piece.began_ns),
            "seconds": round(piece.seconds, 3),
            "pictures": piece.pictures,
            "bytes": piece.size_bytes,
            "codec": piece.codec,
            "sha256": piece.sha256,
            "let_go": piece.let_go_ns is not None,
            "withheld": piece.sha256 in hidden,
            "url": None
            if piece.let_go_ns is not None or piece.sha256 in hidden
            else f"/api/video/{flight_id}/{piece.sha256}.mp4",
        }
        for piece in found
    ]


@router.get("/api/video/{flight_id}/{sha256}.mp4", response_class=Response)
def get_video_piece(
    flight_id: Annotated[str, _FLIGHT_ID],
    sha256: Annotated[str, SHA256_PATTERN],
    request: Request,
    services: ServicesHere,
    principal: ViewerPrincipal,
    part: RangeHere,
) -> Response:
    """One piece, byte for byte as it was recorded; ranges are honoured, and who opened it is audited. Gone
    (410) where it was let go under a retention term."""
    catalog, store = services.workspace.catalog, services.workspace.store
    found = next(
        (
            one
            for one in _find_recorded_pieces(catalog, flight_id, principal.access_policy)
            if one.sha256 == sha256
        ),
        None,
    )
    if found is None:
        raise _build_not_kept_error(sha256)
    if not principal.has_role(Role.ADMIN) and sha256 in _find_withdrawn_pieces(catalog, flight_id, [found]):
        raise AccessDenied(
            _("{sha256}: what this video shows was withdrawn; ask an administrator for it", sha256=sha256)
        )
    if _is_barred(catalog, flight_id, principal.access_policy):
        raise build_withheld_error(f"video {flight_id}", principal.name)
    require_not_purged(services.workspace, sha256)
    if found.let_go_ns is not None:
        raise _build_not_kept_error(sha256)
    key = keys.format_recording_key(sha256)
    start, stop = part.resolve(found.size_bytes, sha256)
    if start >= stop:
        return build_unsatisfiable_response(found.size_bytes)
    openings: DownloadLog = request.app.state.openings
    openings.note_video(catalog.audit, principal.name, found)
    return stream_object(
        store,
        key,
        found.size_bytes,
        (start, stop),
        name=f"{format_iso(found.began_ns)}.mp4",
        etag=sha256,
        media_type="video/mp4",
    )


def _build_not_kept_error(sha256: str) -> NotFound:
    return NotFound(
        _("{sha256}: this video is not kept (any more); take one from the flight's list", sha256=sha256)
    )


def _find_withdrawn_pieces(catalog: Catalog, flight_id: str, found: list[VideoSegment]) -> set[str]:
    """Return the hashes of segments that show withdrawn times."""
    gone = find_withdrawn_times(catalog, flight_id)
    return {piece.sha256 for piece in found if gone.overlaps(piece.began_ns, piece.ended_ns)}


def _find_recorded_pieces(
    catalog: Catalog, flight_id: str, access_policy: AccessPolicy
) -> list[VideoSegment]:
    """Return the segments of a flight; none if the policy hides it, as if unknown."""
    try:
        if access_policy.hides_flight_entirely(catalog.flights.flight(flight_id)):
            return []
    except NotFound:
        # a live flight without any orthopatch yet
        if access_policy.hides_flight(flight_id):
            return []
    return catalog.recordings.list_for_flight(flight_id)


def _is_barred(catalog: Catalog, flight_id: str, access_policy: AccessPolicy) -> bool:
    """Return True if a flight's video is withheld.

    All of it, where the flight came near withheld ground: a camera that looks ahead sees farther than what is
    orthorectified.
    """
    if access_policy.is_nothing:
        return False
    try:
        flight = catalog.flights.flight(flight_id)
    except NotFound:
        return True  # a live flight without any orthopatch yet: its ground is unknown
    return access_policy.touches_box(flight.bounds_lonlat_deg, _AROUND_M)
