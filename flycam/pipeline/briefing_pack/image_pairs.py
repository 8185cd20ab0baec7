"""Image pair that a confirmed change was found on, or drawn over, if stored and visible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.image_reference import parse_image_reference
from flycam.catalog.records import MosaicInfo, RevisionState
from flycam.catalog.revisions import LIVE_REVISION
from flycam.frame.flight import Flight, FlightState
from flycam.geometry.grid import lonlat_to_mercator
from flycam.geometry.planar_map import Bounds
from flycam.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class PackImage:
    """A published flight around a change.

    extent         the rectangle around the change, Web Mercator metres
    is_substitute  the change is of another revision, which is no longer published
    is_lost        its tiles are missing or damaged: nothing is drawn of it
    """

    flight: Flight
    mosaic: MosaicInfo
    extent: Bounds
    is_substitute: bool = False
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class MissingImage:
    """An image that is not stored, by its file's name.

    "": a flight that is gone or hidden.
    """

    name: str


Pair = tuple[PackImage | MissingImage, PackImage | MissingImage]
"""Before and after."""


def find_image_pairs(
    workspace: Workspace, lines: Sequence[ChangeVersion], policy: AccessPolicy
) -> Iterator[Pair | None]:
    """Yield the images of each change; None: it was drawn over none that were named."""
    flights = {one.flight_id: one for one in workspace.catalog.flights.flights()} if lines else {}
    mosaics: dict[str, list[MosaicInfo]] = {}
    for one in _on_offer(workspace) if lines else ():
        mosaics.setdefault(one.mosaic_id, []).append(one)
    for line in lines:
        if not (line.before_shown and line.after_shown):
            yield None
            continue
        before, after = (
            _view(shown, _extent(line), mosaics, flights, policy)
            for shown in (line.before_shown, line.after_shown)
        )
        yield before, after


def _on_offer(workspace: Workspace) -> Iterator[MosaicInfo]:
    """Yield live mosaics, and finished revisions that may be shown.

    The tiles of a revision that was retired, because a photo in it was withdrawn, exist for a while.
    """
    finished = {
        (one.mosaic_id, one.revision)
        for one in workspace.catalog.revisions.all()
        if one.state is RevisionState.PUBLISHED
    }
    for one in workspace.catalog.tiles.mosaics():
        if one.revision == LIVE_REVISION or (one.mosaic_id, one.revision) in finished:
            yield one


def _view(
    shown: str,
    extent: Bounds,
    mosaics: Mapping[str, Sequence[MosaicInfo]],
    flights: Mapping[str, Flight],
    policy: AccessPolicy,
) -> PackImage | MissingImage:
    """Return the revision itself, or the published one if that was retired."""
    one = parse_image_reference(shown)
    there = mosaics.get(one.source, ())
    if not there:
        return MissingImage(one.shown if one.revision is None else "")
    flight = flights.get(there[0].flight_id)
    same = [its for its in there if its.revision == one.revision]
    kept = same or [its for its in there if its.published]
    if flight is None or not kept or flight.state is FlightState.WITHDRAWN or _is_withheld(flight, policy):
        return MissingImage("")
    return PackImage(flight=flight, mosaic=kept[0], extent=extent, is_substitute=not same)


def _is_withheld(flight: Flight, policy: AccessPolicy) -> bool:
    """Return True if any part of a flight is withheld, as for the flights of a pack."""
    return policy.hides_flight(flight.flight_id) or policy.touches_box(flight.bounds_lonlat_deg)


def _extent(line: ChangeVersion) -> Bounds:
    (west, south), (east, north) = lonlat_to_mercator(np.array(line.bounds_lonlat_deg).reshape(2, 2)).tolist()
    return west, south, east, north
