"""The map of `finish --reference`: a file, or an earlier finished flight.

So the flight after a storm is adjusted to the one before it, photo by photo, and need not be warped onto it
when the two are compared.
"""

from __future__ import annotations

from pathlib import Path

from flycam.catalog.revision_stats import get_shift_error_m
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import InputUnusable, NotFound, OptionUnusable
from flycam.frame.text_normalization import format_shell_command
from flycam.geodata.reference_raster import RASTER_SUFFIXES
from flycam.messages import _
from flycam.pipeline.coverage import get_main_mosaic
from flycam.pipeline.mosaic_export import export_flight
from flycam.pipeline.orthorectification.flight_session import find_flight
from flycam.pipeline.workspace import Workspace

_FOLDER = "references"


def read_reference_sigma(workspace: Workspace, source: str) -> float | None:
    """Return the stated position error of an earlier flight's finished map.

    Radial 1-sigma, metres; None: not known, or `source` is a file.
    """
    flight = find_flight(workspace, source)
    if flight is None or Path(source).is_file():
        return None
    mosaic = get_main_mosaic(workspace, flight.flight_id)
    if mosaic.revision == LIVE_REVISION:
        return None
    return get_shift_error_m(workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).stats)


def resolve_reference_map(workspace: Workspace, flight: str, source: str) -> Path:
    """Return the file that a flight (id or name) is to be tied to.

    source  a file's path; or a flight's id or name: then its finished map in its own work CRS and GSD, cached
       by what it is made of, so that a finish that is run again finds the same bytes

    Raises NotFound where it is neither; OptionUnusable where it is the flight itself; InputUnusable where
    that flight was not finished; what `export_flight` raises.
    """
    path = Path(source)
    if path.is_file() or path.suffix.lower() in RASTER_SUFFIXES:
        # `check_request` reports a missing file.
        return path
    try:
        reference = workspace.catalog.flights.flight(source)
    except NotFound as error:
        raise NotFound(
            _(
                "--reference {given}: neither a file nor a flight ({error}); name one or the other",
                given=source,
                error=error,
            )
        ) from error
    if reference.flight_id == workspace.catalog.flights.flight(flight).flight_id:
        raise OptionUnusable(
            _(
                "--reference {given}: this is the flight itself, which ties to nothing; name an earlier one",
                given=source,
            )
        )
    mosaic = get_main_mosaic(workspace, reference.flight_id)
    if mosaic.revision == LIVE_REVISION:
        first = format_shell_command("finish", reference.name)
        raise InputUnusable(
            _(
                "--reference {given}: this flight is not finished, its photos lie metres off "
                "each other; run this first: {first}",
                given=source,
                first=first,
            )
        )
    lines = workspace.catalog.tiles.last_seq(mosaic.mosaic_id)
    kept = workspace.cache_dir / _FOLDER / f"{reference.flight_id}-{mosaic.revision}-{lines}.tif"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        export_flight(workspace, reference.flight_id, kept, for_release=False)
    return kept
