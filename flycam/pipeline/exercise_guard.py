"""Guard that keeps the made-up terrain and communes of an exercise out of a node with real data."""

from __future__ import annotations

from flycam.catalog.records import DemRecord
from flycam.errors import RealDataPresent, SourceUnreadable
from flycam.frame.exercise_communes import EXERCISE_COMMUNE_CODES
from flycam.frame.flight import DRILL_MARK, DRILL_TAG
from flycam.geodata.dem_info import read_dem_tags
from flycam.messages import _
from flycam.pipeline.dem_cache import fetch_dem
from flycam.pipeline.workspace import Workspace

# an exercise's terrain is a few kilometres wide: larger files need not be fetched
_MAX_EXTENT_DEG = 0.3


def is_exercise_dem(workspace: Workspace, dem: DemRecord, failure_ttl_s: float = 0.0) -> bool:
    """Return True if the terrain was written by an exercise, by the mark in its file.

    failure_ttl_s: as of `fetch_dem`. Raises StorageFailed where the file cannot be fetched.
    """
    west, south, east, north = dem.bounds_lonlat_deg
    if dem.key is None or max(east - west, north - south) > _MAX_EXTENT_DEG:
        return False
    try:
        tags = read_dem_tags(fetch_dem(workspace, dem, failure_ttl_s))
    except SourceUnreadable:
        return False
    return tags.get(DRILL_TAG) == DRILL_MARK


def require_no_real_data(workspace: Workspace) -> None:
    """Raise RealDataPresent if anything registered is no exercise's.

    That is a flight, terrain or commune. Raises StorageFailed.
    """
    catalog = workspace.catalog
    drills = {one.event_id for one in catalog.flights.events() if one.is_drill}
    if (
        any(one.event_id not in drills for one in catalog.flights.flights())
        or not EXERCISE_COMMUNE_CODES.issuperset(catalog.boundaries.codes())
        or not all(is_exercise_dem(workspace, dem) for dem in catalog.terrain.dems())
    ):
        raise RealDataPresent(
            _(
                "there are real flights, terrain or communes here, and a drill brings made-up "
                "terrain and communes with it; try it with another data folder: flycam demo "
                "--data FOLDER"
            )
        )
