"""`/api/video`: the recorded video of live flights, in pieces that play alone.

Viewers may look at it, who get no original photo: a film has no smaller picture to be shown instead. Video
of a withdrawn flight, and pieces in which a withdrawn picture was taken, are for administrators: they were
withdrawn for what can be seen in them.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from flycam.catalog.catalog import Catalog
from flycam.catalog.recordings import RecordedPiece
from flycam.catalog.records import Role
from flycam.catalog.withheld import withheld
from flycam.catalog.withholding import Withholding
from flycam.errors import AccessDenied, NotFound
from flycam.frame.moment import iso
from flycam.messages import _
from flycam.pipeline.evidence import require_not_let_go
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import Viewer
from flycam.serve.door.openings import Openings
from flycam.serve.services import CatalogHere, ServicesHere
from flycam.serve.tiles.offered import withheld_from
from flycam.serve.tiles.ranges import SHA256, PartHere, beyond_the_end, bytes_answer
from flycam.store import keys

router = APIRouter()

_AROUND_M = 1000.0
_FLIGHT_ID = Path(max_length=200)


@router.get("/api/video/{flight_id}")
def pieces(
    flight_id: Annotated[str, _FLIGHT_ID],
    catalog: CatalogHere,
    visitor: Viewer,
    *,
    last_s: Annotated[float | None, Query(gt=0)] = None,
) -> list[Json]:
    """Recorded pieces of a live flight, oldest first: of its last seconds, else all.

    `url` is null for one that was let go for room, or is not shown to this visitor (`withheld`).
    """
    found = _recorded(catalog, flight_id, visitor.withholding)
    if found and last_s is not None:
        since_ns = found[-1].ended_ns - round(last_s * 1e9)
        found = [piece for piece in found if piece.ended_ns > since_ns]
    hidden = set() if visitor.may(Role.ADMIN) else _hidden(catalog, flight_id, found)
    if _is_barred(catalog, flight_id, visitor.withholding):
        hidden = {piece.sha256 for piece in found}
    return [
        {
            "began": iso(piece.began_ns),
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
def piece(
    flight_id: Annotated[str, _FLIGHT_ID],
    sha256: Annotated[str, SHA256],
    request: Request,
    services: ServicesHere,
    visitor: Viewer,
    part: PartHere,
) -> Response:
    """One piece, byte for byte as it was recorded; ranges are honoured, and who opened it is audited. Gone
    (410) where it was let go under a retention term."""
    catalog, store = services.workspace.catalog, services.workspace.store
    found = next(
        (one for one in _recorded(catalog, flight_id, visitor.withholding) if one.sha256 == sha256), None
    )
    if found is None:
        raise _not_kept(sha256)
    if not visitor.may(Role.ADMIN) and sha256 in _hidden(catalog, flight_id, [found]):
        raise AccessDenied(
            _("{sha256}: what this video shows was withdrawn; ask an administrator for it", sha256=sha256)
        )
    if _is_barred(catalog, flight_id, visitor.withholding):
        raise withheld_from(f"video {flight_id}", visitor.name)
    require_not_let_go(services.workspace, sha256)
    if found.let_go_ns is not None:
        raise _not_kept(sha256)
    key = keys.recording(sha256)
    start, stop = part.of(found.size_bytes, sha256)
    if start >= stop:
        return beyond_the_end(found.size_bytes)
    openings: Openings = request.app.state.openings
    openings.note_video(catalog.audit, visitor.name, found)
    return bytes_answer(
        store,
        key,
        found.size_bytes,
        (start, stop),
        name=f"{iso(found.began_ns)}.mp4",
        etag=sha256,
        media_type="video/mp4",
    )


def _not_kept(sha256: str) -> NotFound:
    return NotFound(
        _("{sha256}: this video is not kept (any more); take one from the flight's list", sha256=sha256)
    )


def _hidden(catalog: Catalog, flight_id: str, found: list[RecordedPiece]) -> set[str]:
    """Hashes of the pieces that show what was withdrawn."""
    gone = withheld(catalog, flight_id)
    return {piece.sha256 for piece in found if gone.shows(piece.began_ns, piece.ended_ns)}


def _recorded(catalog: Catalog, flight_id: str, sees: Withholding) -> list[RecordedPiece]:
    """Of a flight that is not for this visitor none, as of one that is not there."""
    try:
        if sees.hides_whole(catalog.flights.flight(flight_id)):
            return []
    except NotFound:  # a live flight that has laid nothing yet
        if sees.hides_flight(flight_id):
            return []
    return catalog.recordings.of_flight(flight_id)


def _is_barred(catalog: Catalog, flight_id: str, sees: Withholding) -> bool:
    """Whether a flight's video is withheld: all of it, where the flight came near withheld ground, for a
    camera that looks ahead sees farther than what is laid on the map."""
    if sees.is_nothing:
        return False
    try:
        flight = catalog.flights.flight(flight_id)
    except NotFound:
        return True  # a live flight that has laid nothing yet: nobody knows what it shows
    return sees.touches_box(flight.bounds_lonlat_deg, _AROUND_M)
