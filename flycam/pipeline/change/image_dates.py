"""Acquisition times of the images between which a change was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flycam.catalog.image_reference import parse_source_pair
from flycam.catalog.records import MosaicInfo
from flycam.pipeline.workspace import Workspace


def read_flight_ends(workspace: Workspace) -> Mapping[str, int]:
    """Return the end of each mosaic's flight, UTC nanoseconds; files have no date."""
    flights = {one.flight_id: one.last_ns for one in workspace.catalog.flights.flights()}
    mosaics: Sequence[MosaicInfo] = workspace.catalog.tiles.mosaics()
    return {one.mosaic_id: flights[one.flight_id] for one in mosaics if one.flight_id in flights}


def get_image_dates(
    before_shown: str, after_shown: str, ends: Mapping[str, int]
) -> tuple[int | None, int | None]:
    """Return the times of the images before and after; None for one without a date."""
    before, after = parse_source_pair(before_shown, after_shown)
    return ends.get(before), ends.get(after)
