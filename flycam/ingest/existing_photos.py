"""Known photos of the catalogue, and flights that photos or videos join.

Of a known photo the original, layer, pose, withdrawal and purge are taken into account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from flycam.catalog.frames import SET_ASIDE_REASON
from flycam.catalog.retention import make_original_purged
from flycam.concurrency import count_workers, map_ordered
from flycam.errors import OptionUnusable
from flycam.geodata.crs import to_lonlat
from flycam.ingest.inspection import PreflightRequest
from flycam.ingest.video.video_frames import VideoIdentity, is_video_frame
from flycam.messages import _
from flycam.model.diagnosis import Diagnosis
from flycam.model.flight import Flight, FlightState
from flycam.model.frame import FrameHeader
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.time import VIETNAM, format_day
from flycam.model.warning import FINER_PHOTOS, OPTIONS_IGNORED, ORIGINALS_PURGED, WITHDRAWN, encode_warning
from flycam.mosaic.orthorectify.flight_session import MIN_GSD_SHARE, find_flight
from flycam.mosaic.orthorectify.frame_plan import FrameFootprint
from flycam.originals import find_purged, store_original
from flycam.storage import keys
from flycam.workspace import Workspace


def keep_recorded_layers(
    workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint], layer: str | None
) -> list[FrameFootprint]:
    """Return the frames, known ones in their recorded layer; reads only.

    A pixel of the map must not change its layer silently. The operator's `layer` moves frames that are on the
    map (`flycam.mosaic.flight_edits`); withdrawn ones stay as they were.
    """
    before = {
        record.frame_id: record
        for record in workspace.catalog.frames.list_for_flight(flight_id)
        if record.status is not FrameStatus.REJECTED or record.reason == SET_ASIDE_REASON
    }
    keeps = {
        frame_id: record.header.layer
        for frame_id, record in before.items()
        if layer is None or record.status is FrameStatus.WITHDRAWN
    }
    return [
        replace(one, header=replace(one.header, layer=keeps.get(one.header.frame_id, one.header.layer)))
        for one in planned
    ]


def store_missing_originals(workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint]) -> int:
    """Store photos of frames on the map whose originals are not here.

    They were lost, or another node sent the frames. Returns their number.
    """
    used = {one.frame_id for one in workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)}
    known = [one for one in planned if one.header.frame_id in used]
    hashes = [one.header.provenance.source_sha256 for one in known]
    workers = count_workers()
    are_here = map_ordered(
        workspace.store.exists, map(keys.format_original_key, hashes), workers, 4 * workers
    )
    missing = [one for one, is_here in zip(known, are_here, strict=True) if not is_here]
    for one in missing:
        store_original(workspace, one.path, one.header.provenance.source_sha256, durable=False)
    if missing:
        workspace.store.flush()
    workspace.catalog.kept_originals.note(hashes)
    return len(missing)


def list_unused_option_warnings(
    workspace: Workspace, flight_id: str, request: PreflightRequest, planned: Sequence[FrameFootprint]
) -> list[str]:
    """Return the warning if options would change frames that stay as they are.

    Call it once all reprocessed frames are recorded.
    """
    by_option = {
        "--camera": request.camera is not None,
        "--takeoff": request.takeoff is not None,
        "--height": request.height_mode != "auto",
        "--telemetry": request.telemetry is not None,
        "--clock-offset": request.clock_offset_s is not None,
    }
    options = " ".join(name for name, is_given in by_option.items() if is_given)
    if not options:
        return []
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    recorded = {record.frame_id: record for record in used}
    others = sum(
        _is_placed_differently(recorded[frame.header.frame_id], frame)
        for frame in planned
        if frame.header.frame_id in recorded
    )
    return [encode_warning(OPTIONS_IGNORED, options=options, frames=others)] if others else []


def _is_placed_differently(record: FrameRecord, frame: FrameFootprint) -> bool:
    """Return True if a frame on the map has another camera or pose than this run's.

    The version is ignored.
    """
    if record.exterior is None:
        return False
    settled = replace(frame.header.exterior_prior, version=record.exterior.version)
    return (record.exterior, record.header.interior) != (settled, frame.header.interior)


def list_withdrawal_warnings(workspace: Workspace, flight_id: str, frame_ids: Iterable[str]) -> list[str]:
    """Return a warning for each withdrawal that concerns some of these frames.

    By reason, authority and minute.
    """
    here = set(frame_ids)
    found = Counter(
        (one.reason, one.authority, _minute(one.withdrawn_ns))
        for one in workspace.catalog.frames.withdrawals(flight_id)
        if one.frame_id in here
    )
    return [
        encode_warning(WITHDRAWN, frames=count, reason=reason, authority=authority, at=at)
        for (reason, authority, at), count in found.items()
    ]


def exclude_purged(workspace: Workspace, planned: Sequence[FrameFootprint]) -> list[FrameFootprint]:
    """Return the frames whose originals were not deleted under a retention term.

    A deleted photo's pixels stay on the map, and its bytes do not come back by a card. Raises OriginalPurged
    if no frame is left.
    """
    purged = find_purged(workspace, [one.header.provenance.source_sha256 for one in planned])
    left = [one for one in planned if one.header.provenance.source_sha256 not in purged]
    if not left and planned:
        first = planned[0].header.provenance
        raise make_original_purged(purged[first.source_sha256], first.source_name)
    return left


def list_purge_warnings(workspace: Workspace, headers: Iterable[FrameHeader]) -> list[str]:
    """Return a warning for each deletion of some of these photos.

    By author and day.
    """
    purged = find_purged(workspace, [one.provenance.source_sha256 for one in headers])
    days = ((one, format_day(one.at_ns)) for one in purged.values())
    found = Counter((one.author, one.box, day.in_language("en"), day.in_language("vi")) for one, day in days)
    return [
        encode_warning(ORIGINALS_PURGED, frames=count, authority=author, box=box, day=day, day_vi=day_vi)
        for (author, box, day, day_vi), count in found.items()
    ]


def _minute(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(VIETNAM)
    return f"{moment:%Y-%m-%d %H:%M} (UTC+7)"


# -- Flights that further photos and videos join ---------------------------------------------------
#
# After landing, what is on the memory card joins what was streamed live, or other photos of the card. One
# aircraft took them over one ground, so they are one flight: one mosaic, one block for `flycam finish`.


AUTO = "auto"
# Tolerance for the clocks of camera and receiver, and for early photos.
_AROUND_NS = 15 * 60 * 10**9
_MAX_SIMILARITY = 0.8
_FINER_GSD_SHARE = 0.8
_NEAR_DEG = 0.003
_EXAMPLES = 3


def resolve_flight_to_join(workspace: Workspace, ref: str, diagnosis: Diagnosis, existing: str | None) -> str:
    """Return the id of the flight that these photos are to join.

    ref       its id or name, or "auto" for the one with video of their time and place
    existing  the flight that holds them already, None: none does

    Raises NotFound, OptionUnusable where they cannot belong to it.
    """
    flight = find_flight(workspace, ref) if ref == AUTO else workspace.catalog.flights.flight(ref)
    flight = flight or _find_filmed_flight(workspace, diagnosis)
    if existing not in (None, flight.flight_id):
        holder = workspace.catalog.flights.flight(str(existing))
        raise OptionUnusable(
            _(
                "--flight {ref}: these photos are in the flight {name} already, and stay "
                "there; run without --flight, or use another data folder (--data)",
                ref=ref,
                name=holder.name,
            )
        )
    _check_alike(workspace, ref, flight, is_drill=diagnosis.is_drill, work_crs=diagnosis.work_crs)
    if existing is None:
        name = min((one.provenance.source_name for one in diagnosis.headers), default="")
        _check_datum(ref, flight, name, diagnosis.vertical_datum)
    return flight.flight_id


def resolve_flight_for_video(workspace: Workspace, ref: str, video: VideoIdentity, datum: str) -> Flight:
    """Return the flight (given by id or name) that a video is to join.

    Call it again under the flight's lock: before, another process may change the flight.

    datum  of the heights with which the video would be orthorectified

    Raises NotFound, OptionUnusable where it cannot belong to it.
    """
    flight = workspace.catalog.flights.flight(ref)
    _check_alike(workspace, ref, flight, is_drill=video.is_drill, work_crs=video.work_crs)
    lies_there = video.select_frames(workspace.catalog.frames.list_for_flight(flight.flight_id))
    if not lies_there:
        _check_datum(ref, flight, video.name, datum)
    return flight


def _check_datum(ref: str, flight: Flight, name: str, datum: str) -> None:
    """Raise OptionUnusable unless heights are in the flight's datum.

    `finish` ties no block in two datums. name: of a file that is to join.
    """
    if flight.vertical_datum == datum:
        return
    raise OptionUnusable(
        _(
            "--flight {ref}: its heights are in {vertical_datum}, those of {name} would be "
            "in {datum}: terrain was added or removed since; give what is in the flight "
            "again ('flycam ingest' the photos, 'flycam live' the video), which places it on "
            "the terrain of today, then this; or run without --flight",
            ref=ref,
            vertical_datum=flight.vertical_datum,
            name=name,
            datum=datum,
        )
    )


def _check_alike(workspace: Workspace, ref: str, flight: Flight, *, is_drill: bool, work_crs: str) -> None:
    """Raise OptionUnusable unless images of this kind and place fit a flight."""
    if flight.state is FlightState.WITHDRAWN:
        raise OptionUnusable(_("--flight {ref}: this flight was withdrawn; run without --flight", ref=ref))
    if workspace.catalog.flights.event(flight.event_id).is_drill != is_drill:
        raise OptionUnusable(
            _("--flight {ref}: real pictures and a drill never mix; name another flight", ref=ref)
        )
    if flight.work_crs != work_crs:
        raise OptionUnusable(
            _(
                "--flight {ref}: it lies in {work_crs}, what is to join it in {joining_crs}: "
                "of another place; run without --flight",
                ref=ref,
                work_crs=flight.work_crs,
                joining_crs=work_crs,
            )
        )


def list_finer_photo_warnings(flight: Flight, planned: Sequence[FrameFootprint]) -> tuple[str, ...]:
    """Return the warning if joining photos are finer than the flight's fixed zoom."""
    photos_m = float(np.median([frame.view.footprint.gsd_m for frame in planned]))
    if photos_m > _FINER_GSD_SHARE * flight.gsd_m:
        return ()
    finest_m = max(photos_m, MIN_GSD_SHARE * flight.gsd_m)
    return (encode_warning(FINER_PHOTOS, photos=f"{finest_m:.2g}", kept=f"{flight.gsd_m:.2g}"),)


def _find_filmed_flight(workspace: Workspace, diagnosis: Diagnosis) -> Flight:
    """Return the one flight with video among whose frames most photos were taken."""
    found = [
        flight
        for flight in workspace.catalog.flights.flights()
        if flight.state is not FlightState.WITHDRAWN
        and _is_among(flight, diagnosis)
        and any(map(is_video_frame, workspace.catalog.frames.list_for_flight(flight.flight_id)))
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(flight.name for flight in found[:_EXAMPLES])
    names = f" ({listed})" if listed else ""
    raise OptionUnusable(
        _(
            "--flight auto: {count} live flights were in the air at the time and place of "
            "these photos{names}: give the flight's id or name, or run without --flight",
            count=len(found),
            names=names,
        )
    )


def _is_among(flight: Flight, diagnosis: Diagnosis) -> bool:
    if flight.bounds_lonlat_deg is None:
        return False
    west, south, east, north = flight.bounds_lonlat_deg
    headers = diagnosis.headers
    times = np.array([header.captured_ns for header in headers])
    centres = np.array([header.exterior_prior.projection_centre_m[:2] for header in headers])
    lon, lat = to_lonlat(centres, diagnosis.work_crs).T
    in_time = (times >= flight.first_ns - _AROUND_NS) & (times <= flight.last_ns + _AROUND_NS)
    in_place = (lon >= west - _NEAR_DEG) & (lon <= east + _NEAR_DEG)
    in_place &= (lat >= south - _NEAR_DEG) & (lat <= north + _NEAR_DEG)
    return bool((in_time & in_place).mean() >= _MAX_SIMILARITY)
