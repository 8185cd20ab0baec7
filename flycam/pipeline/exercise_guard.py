"""What of a house's ground a drill brought, and that a drill brings none where anything real is."""

from __future__ import annotations

from flycam.catalog.records import DemRecord
from flycam.drill.drill_mark import DRILL_MARK, DRILL_TAG
from flycam.errors import RealDataPresent, SourceUnreadable
from flycam.frame.exercise_communes import EXERCISE_COMMUNE_CODES
from flycam.geodata.dem_info import read_dem_tags
from flycam.messages import _
from flycam.pipeline.dem_cache import fetch_dem
from flycam.pipeline.workspace import Workspace

_MAX_EXTENT_DEG = 0.3  # a drill's terrain is a few kilometres wide: larger files need not be fetched


def is_exercise_dem(workspace: Workspace, dem: DemRecord, failure_ttl_s: float = 0.0) -> bool:
    """Whether a drill wrote this terrain: its file says so. Raises StorageFailed where it cannot be
    fetched. believed_s: as for `fetch_dem`."""
    west, south, east, north = dem.bounds_lonlat_deg
    if dem.key is None or max(east - west, north - south) > _MAX_EXTENT_DEG:
        return False
    try:
        tags = read_dem_tags(fetch_dem(workspace, dem, failure_ttl_s))
    except SourceUnreadable:
        return False
    return tags.get(DRILL_TAG) == DRILL_MARK


def require_no_real_data(workspace: Workspace) -> None:
    """Raise RealDataPresent where anything is registered that no drill brought: a flight, terrain, a commune.
    Raises StorageFailed."""
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
