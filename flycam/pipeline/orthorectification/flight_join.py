"""Photos and videos that join an existing flight.

After landing, those on the memory card join what was streamed live, or each other. One aircraft took them
over one ground, so they are one flight: one mosaic, one block for `finish`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flycam.errors import OptionUnusable
from flycam.frame.flight import Flight, FlightState
from flycam.frame.warning import FINER_PHOTOS, encode_warning
from flycam.geodata.crs import to_lonlat
from flycam.ingest.preflight.diagnosis import Diagnosis
from flycam.messages import _
from flycam.pipeline.orthorectification.flight_session import MIN_GSD_SHARE, find_flight
from flycam.pipeline.orthorectification.frame_plan import FrameFootprint
from flycam.pipeline.video_frames import VideoIdentity, is_video_frame
from flycam.pipeline.workspace import Workspace

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
    lies_there = video.select_frames(
        flight.flight_id, workspace.catalog.frames.list_for_flight(flight.flight_id)
    )
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
            "--flight {ref}: its heights are in {vertical_datum}, those of {name} would be in "
            "{datum}: terrain was added or removed since; give what is in the flight again "
            "('flycam ingest' the photos, 'flycam live' the film), which lays it on the "
            "terrain of today, then this; or run without --flight",
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
