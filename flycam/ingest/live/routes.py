"""Routes of live flights and of their recorded video.

`/api/airborne` gives live flights; `/events` sends the same as it changes; `/api/video` gives recorded
segments.

The age of a report is measured here from when it was first seen, so that the clocks of two machines need not
agree; only a report that was there before this server began is as old as the two clocks say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from numpy.typing import NDArray

from flycam.access.policy import AccessPolicy, build_withheld_error
from flycam.access.shown_ground import FOOTPRINT_MARGIN_M
from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import LinkState, LiveFlightPhase, LiveFlightReport, LonLat, VideoSegment
from flycam.errors import AccessDenied, NotFound
from flycam.geometry.footprint import RANGE_PER_HEIGHT
from flycam.http.guards import (
    AccessPolicyHere,
    CatalogHere,
    DownloadLog,
    ServicesHere,
    StoreHere,
    ViewerPrincipal,
    require_viewer,
)
from flycam.http.protocol import (
    BRIEF_CACHE_HEADERS,
    SHA256_PATTERN,
    Json,
    RangeHere,
    build_unsatisfiable_response,
    format_iso_or_none,
    stream_object,
)
from flycam.messages import _, verbatim
from flycam.model.access import Role
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.rejection_reasons import format_rejection_counts
from flycam.model.time import format_iso
from flycam.mosaic.amendments import find_withdrawn_times
from flycam.originals import require_not_purged
from flycam.storage import keys

router = APIRouter(dependencies=[Depends(require_viewer)])

SILENCE_TIMEOUT_S = 1.25
"""A flight reports more than twice a second: after so long without a report its state is unknown."""

POLL_INTERVAL_S = 0.2
# the footprint that is known is of another frame than the one that is shown (decision 0028)
_AROUND_M = 1000.0
_NOWHERE: bytes = shapely.to_wkb(shapely.Point())
# drift assumed for each second between a position that is known and what is shown (decision 0028)
_MAX_SPEED_MPS = 30.0
# cached briefly: the image may be withdrawn at any moment
_PICTURE_HEADERS = {
    **BRIEF_CACHE_HEADERS,
    "Cache-Control": "private, max-age=60",
}
# how long ended and silent flights stay listed (decision 0018)
_SHOWN_ENDED_S, _SHOWN_SILENT_S = 600.0, 3600.0


class LiveState(StrEnum):
    """State of a live flight; SILENT: its program died, or cannot be heard."""

    FLYING = "flying"
    CLOSING = "closing"
    SILENT = "silent"
    ENDED = "ended"


# aircraft in the air come first
_ORDER = tuple(LiveState)


@dataclass(frozen=True, slots=True)
class LiveFlight:
    """Report of a live flight, and when it came (monotonic seconds).

    is_withheld  its newest frame shows a time that was withdrawn
    is_barred    its newest frame may show ground that is withheld from the principal
    """

    report: LiveFlightReport
    at_s: float
    is_withheld: bool = False
    is_barred: bool = False

    def age_s(self, now_s: float) -> float:
        """Return the seconds since the report."""
        return max(0.0, now_s - self.at_s)

    def get_state(self, now_s: float) -> LiveState:
        """Return the state that the report means by now."""
        if self.report.phase is LiveFlightPhase.ENDED:
            return LiveState.ENDED
        if self.age_s(now_s) > SILENCE_TIMEOUT_S:
            return LiveState.SILENT
        return LiveState(self.report.phase.value)

    def is_flying(self, now_s: float) -> bool:
        """Return True if more reports are expected at any moment."""
        return self.get_state(now_s) in (LiveState.FLYING, LiveState.CLOSING)

    def is_current(self, now_s: float) -> bool:
        """Return True while the flight is recent enough to be shown."""
        has_ended = self.report.phase is LiveFlightPhase.ENDED
        return self.age_s(now_s) <= (_SHOWN_ENDED_S if has_ended else _SHOWN_SILENT_S)


class LiveFlightFeed:
    """Live flights, read from the catalogue for all readers of this process.

    Safe to use from several threads.

    idle_s: seconds between reads while nothing flies; else `POLL_INTERVAL_S`.
    """

    def __init__(
        self,
        catalog: Catalog,
        idle_s: float,
        clock_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog, self._idle_s = catalog, idle_s
        self._clock_ns, self._clock_s = clock_ns, clock_s
        self._lock = threading.Lock()
        self._sighted: dict[str, LiveFlight] = {}
        self._read_s = float("-inf")

    def read_flights(self) -> list[LiveFlight]:
        """Return recent flights: in the air, then silent, then ended, each by id.

        Raises CatalogUnavailable.
        """
        with self._lock:
            now_s = self._clock_s()
            if now_s - self._read_s >= self._period_s(now_s):
                self._sighted = self._read(now_s)
                self._read_s = now_s
            shown = [one for _, one in sorted(self._sighted.items()) if one.is_current(now_s)]
            return sorted(shown, key=lambda one: _ORDER.index(one.get_state(now_s)))

    def now_s(self) -> float:
        """Return the time by the clock that dates reports here."""
        return self._clock_s()

    def _period_s(self, now_s: float) -> float:
        is_busy = any(one.is_flying(now_s) for one in self._sighted.values())
        return min(POLL_INTERVAL_S, self._idle_s) if is_busy else self._idle_s

    def _read(self, now_s: float) -> dict[str, LiveFlight]:
        now_ns = self._clock_ns()
        reports = self._catalog.airborne.list_since(now_ns - round(_SHOWN_SILENT_S * 1e9))
        return {
            report.flight_id: replace(
                self._to_live_flight(report, now_s, now_ns), is_withheld=self._is_withheld(report)
            )
            for report in reports
        }

    def _is_withheld(self, report: LiveFlightReport) -> bool:
        return report.picture_key is not None and _is_picture_withdrawn(
            self._catalog, report.flight_id, report.picture_key
        )

    def _to_live_flight(self, reported: LiveFlightReport, now_s: float, now_ns: int) -> LiveFlight:
        before = self._sighted.get(reported.flight_id)
        if before is None:
            return LiveFlight(reported, now_s - max(0.0, (now_ns - reported.told_ns) / 1e9))
        if (before.report.run, before.report.beat) == (reported.run, reported.beat):
            # the flight may have been renamed meanwhile
            return LiveFlight(reported, before.at_s)
        return LiveFlight(reported, now_s)


def get_live_feed(request: Request) -> LiveFlightFeed:
    """Return the live flights that the server reads."""
    sky: LiveFlightFeed = request.app.state.sky
    return sky


@router.get("/api/airborne")
def list_live_flights(
    sky: Annotated[LiveFlightFeed, Depends(get_live_feed)], access_policy: AccessPolicyHere
) -> list[Json]:
    """List live flights with their tracks, recently ended and silent ones included."""
    seen = filter_live_flights(sky.read_flights(), access_policy)
    return [
        {**describe_live_flight(one, sky.now_s()), "track": _track(one.report, access_policy)} for one in seen
    ]


@router.get("/api/airborne/{flight_id}/picture", response_class=Response)
def get_newest_picture(
    flight_id: Annotated[str, Path(max_length=200)],
    sky: Annotated[LiveFlightFeed, Depends(get_live_feed)],
    catalog: CatalogHere,
    store: StoreHere,
    principal: ViewerPrincipal,
) -> Response:
    """Return the newest frame of a live flight as a small JPEG.

    One of a withdrawn time is for administrators, as video is.
    """
    seen = filter_live_flights(sky.read_flights(), principal.access_policy)
    found = next((one for one in seen if one.report.flight_id == flight_id), None)
    if found is not None and found.is_barred:
        raise build_withheld_error(found.report.name, principal.name)
    key = found.report.picture_key if found else None
    if key is None or not store.exists(key):
        raise NotFound(
            _("{flight_id}: no picture of this flight is shown now; see /api/airborne", flight_id=flight_id)
        )
    if not principal.has_role(Role.ADMIN) and _is_picture_withdrawn(catalog, flight_id, key):
        raise AccessDenied(
            _(
                "{flight_id}: what its newest picture shows was withdrawn; ask an administrator for it",
                flight_id=flight_id,
            )
        )
    return Response(store.get(key), media_type="image/jpeg", headers=_PICTURE_HEADERS)


def describe_live_flight(sighted: LiveFlight, now_s: float) -> Json:
    """Describe a flight without its track; every `…_s` counts up to this moment."""
    reported, since_s = sighted.report, sighted.age_s(now_s)
    aircraft = reported.aircraft
    return {
        "flight_id": reported.flight_id,
        "event_id": reported.event_id,
        "name": reported.name,
        "is_drill": reported.is_drill,
        "is_recording": reported.is_recording,
        "run": reported.run,
        "state": sighted.get_state(now_s).value,
        "told": format_iso(reported.told_ns),
        "told_s": round(since_s, 2),
        "aircraft": aircraft
        and {
            "lonlat": aircraft.lonlat_deg,
            "heading_deg": aircraft.heading_deg,
            "above_m": aircraft.above_m,
            "age_s": round(aircraft.age_s + since_s, 2),
        },
        "footprint": reported.footprint or None,
        "picture": format_iso_or_none(reported.picture_ns),
        "picture_s": _age_since(reported.picture_age_s, since_s),
        "laid": format_iso_or_none(reported.laid_ns),
        "video": _link(reported.video, since_s),
        "telemetry": _link(reported.telemetry, since_s),
        "left_out": dict(reported.left_out),
        **(format_rejection_counts(reported.left_out) or verbatim("")).to_fields("left_out_said"),
        "picture_url": None if sighted.is_withheld or sighted.is_barred else _picture_url(reported),
        "recorded_s": reported.recorded_s,
        "is_matching": reported.is_matching,
        "remarks": [one.to_fields() for one in reported.remarks],
        "failure": reported.failure and reported.failure.to_fields(),
    }


def filter_live_flights(seen: list[LiveFlight], access_policy: AccessPolicy) -> list[LiveFlight]:
    """Return the flights that the policy shows; near withheld ground they are barred.

    An account for some communes sees flights over them, and none that may be anywhere.
    """
    if access_policy.is_nothing:
        return seen
    known = [
        one
        for one in seen
        if not access_policy.hides_flight(one.report.flight_id)
        and not access_policy.is_outside(_ground_near(one.report) or _NOWHERE)
    ]
    return [replace(one, is_barred=_is_report_barred(one.report, access_policy)) for one in known]


def _is_report_barred(report: LiveFlightReport, access_policy: AccessPolicy) -> bool:
    """Return True if the newest frame may show withheld ground.

    Anything counts as far away as its camera can see. Redacted ground too: the outline is of another frame
    than the one that is shown, and of the ground that a log covers; a camera that was turned since, or whose
    ground is unknown, shows what lies anywhere around.
    """
    around_m = max(_AROUND_M, RANGE_PER_HEIGHT * _height_m(report)) + _drift_m(report)
    return access_policy.touches(_ground_near(report), around_m, redaction_margin_m=around_m)


def _height_m(report: LiveFlightReport) -> float:
    return 0.0 if report.aircraft is None or report.aircraft.above_m is None else abs(report.aircraft.above_m)


def _drift_m(report: LiveFlightReport) -> float:
    """Return how far its last position may be from where the thumbnail was taken.

    Frames go on where telemetry is lost, and telemetry where the video is, or where a store that is full
    takes no thumbnail.
    """
    position_s = 0.0 if report.aircraft is None else report.aircraft.age_s
    # the position of a recording is that of its newest frame, whenever that was read
    thumbnail_s = 0.0 if report.is_recording else report.picture_age_s or 0.0
    if report.picture_key is not None and report.picture_ns is not None:
        thumbnail_s += max(0, report.picture_ns - keys.parse_latest_image_ns(report.picture_key)) / 1e9
    return _MAX_SPEED_MPS * abs(position_s - thumbnail_s)


def _ground_near(report: LiveFlightReport) -> bytes | None:
    """Return the ground below it and in its footprint (WKB); None if unknown."""
    places = [*report.footprint, *([report.aircraft.lonlat_deg] if report.aircraft else ())]
    wkb: bytes = shapely.to_wkb(shapely.MultiPoint(places).convex_hull)
    return wkb if places else None


def _track(report: LiveFlightReport, access_policy: AccessPolicy) -> list[LonLat]:
    """Return its track, as far as that lies over the communes of the access policy."""
    if access_policy.is_nothing:
        return list(report.track)
    return [at for at in report.track if not access_policy.is_outside(shapely.to_wkb(shapely.Point(at)))]


def fingerprint_live_flights(
    seen: list[LiveFlight], now_s: float
) -> frozenset[tuple[str, str, int, LiveState, bool]]:
    """Return what, when changed, makes screens draw the live flights anew."""
    return frozenset(
        (
            one.report.flight_id,
            one.report.run,
            one.report.beat,
            one.get_state(now_s),
            one.is_withheld or one.is_barred,
        )
        for one in seen
    )


def _is_picture_withdrawn(catalog: Catalog, flight_id: str, picture_key: str) -> bool:
    """Return True if the thumbnail shows a withdrawn time."""
    taken_ns = keys.parse_latest_image_ns(picture_key)
    return find_withdrawn_times(catalog, flight_id).overlaps(taken_ns, taken_ns)


def _picture_url(report: LiveFlightReport) -> str | None:
    """Return the address of the newest thumbnail; each thumbnail has its own."""
    if report.picture_key is None:
        return None
    return f"/api/airborne/{report.flight_id}/picture?{report.picture_key.rpartition('/')[2]}"


def _link(link: LinkState, since_s: float) -> Json:
    return {
        "lost": link.is_lost,
        "silent_s": _age_since(link.silent_s, since_s),
        "connections": link.connections,
    }


def _age_since(reported_s: float | None, since_s: float) -> float | None:
    return None if reported_s is None else round(reported_s + since_s, 2)


# -- `/api/video`: recorded video of live flights, in segments that play alone ---------------------
#
# Open to viewers, who get no original photo: a video has no smaller image to be shown instead. Video of a
# withdrawn flight, and segments in which a withdrawn frame was taken, are for administrators: they were
# withdrawn for what can be seen in them.


video_router = APIRouter()
_FLIGHT_ID = Path(max_length=200)


@video_router.get("/api/video/{flight_id}")
def list_video_pieces(
    flight_id: Annotated[str, _FLIGHT_ID],
    catalog: CatalogHere,
    principal: ViewerPrincipal,
    *,
    last_s: Annotated[float | None, Query(gt=0)] = None,
) -> list[Json]:
    """List the recorded segments of a live flight, oldest first.

    last_s  only those of the flight's last seconds

    `url` is null for one that was deleted for space, or is not shown to this account (`withheld`).
    """
    found = _find_recorded_pieces(catalog, flight_id, principal.access_policy)
    if found and last_s is not None:
        since_ns = found[-1].ended_ns - round(last_s * 1e9)
        found = [piece for piece in found if piece.ended_ns > since_ns]
    hidden = set() if principal.has_role(Role.ADMIN) else _find_withdrawn_pieces(catalog, flight_id, found)
    hidden |= _find_barred_pieces(catalog, flight_id, found, principal.access_policy)
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


@video_router.get("/api/video/{flight_id}/{sha256}.mp4", response_class=Response)
def get_video_piece(
    flight_id: Annotated[str, _FLIGHT_ID],
    sha256: Annotated[str, SHA256_PATTERN],
    request: Request,
    services: ServicesHere,
    principal: ViewerPrincipal,
    part: RangeHere,
) -> Response:
    """Return one segment, byte for byte as it was recorded.

    Ranges are supported, and access is audited. 410 if it was deleted, for space or under a retention term.
    """
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
    if _find_barred_pieces(catalog, flight_id, [found], principal.access_policy):
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
        _("{sha256}: this video is not kept any more; take one from the flight's list", sha256=sha256)
    )


def _find_withdrawn_pieces(catalog: Catalog, flight_id: str, found: list[VideoSegment]) -> set[str]:
    """Return the hashes of segments that show withdrawn times."""
    withdrawn = find_withdrawn_times(catalog, flight_id)
    return {piece.sha256 for piece in found if withdrawn.overlaps(piece.began_ns, piece.ended_ns)}


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


def _find_barred_pieces(
    catalog: Catalog, flight_id: str, found: Sequence[VideoSegment], access_policy: AccessPolicy
) -> set[str]:
    """Return the hashes of segments that may show withheld ground.

    All of them, where the flight came near it: a camera that looks ahead sees farther than what is
    orthorectified. Where no frame is on the map for a while, the aircraft may have left the flight's bounds.
    """
    if access_policy.is_nothing:
        return set()
    used = catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    bounds = catalog.flights.flight(flight_id).bounds_lonlat_deg if used else None
    if bounds is None:
        # a live flight without any orthopatch yet: its ground is unknown
        return {piece.sha256 for piece in found} if access_policy.touches(None) else set()
    ground: bytes = shapely.to_wkb(shapely.box(*bounds))
    around_m = max(_AROUND_M, RANGE_PER_HEIGHT * max(map(_estimate_height_m, used)))
    used_ns = np.array([record.header.captured_ns for record in used])
    barred = set()
    for piece in found:
        drift_m = _MAX_SPEED_MPS * _measure_gap_s(piece, used_ns)
        if access_policy.touches(ground, around_m + drift_m, redaction_margin_m=FOOTPRINT_MARGIN_M + drift_m):
            barred.add(piece.sha256)
    return barred


def _estimate_height_m(frame: FrameRecord) -> float:
    """Return about how far above its ground a frame was taken."""
    return (frame.gsd_m or 0.0) * max(frame.header.interior.focal_length_px)


def _measure_gap_s(piece: VideoSegment, used_ns: NDArray[np.int64]) -> float:
    """Return the longest that any moment of a segment is from the next frame on the map.

    used_ns  UTC of frames on the map, ascending
    """
    between_ns = used_ns[:-1] + np.diff(used_ns) // 2
    is_inside = (between_ns > piece.began_ns) & (between_ns < piece.ended_ns)
    moments_ns = np.array([piece.began_ns, piece.ended_ns, *between_ns[is_inside]])
    return float(np.abs(moments_ns[:, None] - used_ns).min(axis=1).max()) / 1e9
