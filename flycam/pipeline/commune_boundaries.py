"""Import of commune boundaries from a file into the catalogue."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import shapely

from flycam.catalog.records import CommuneRecord
from flycam.geodata.communes import CommuneImport, read_communes
from flycam.pipeline.original_store import store_original
from flycam.pipeline.workspace import Workspace

# Boundaries without a date are taken to hold from the day Vietnam's districts were abolished.
DEFAULT_VALID_FROM = date(2025, 7, 1)


def register_communes(workspace: Workspace, path: Path, valid_from: date | None = None) -> CommuneImport:
    """Read, repair and register a boundary file; the same file again changes nothing.

    Raises what `read_communes` raises.
    """
    found = read_communes(path, valid_from or DEFAULT_VALID_FROM)
    store_original(workspace, path)
    workspace.catalog.boundaries.put_communes(
        [
            CommuneRecord(
                code=commune.code,
                name=commune.name,
                valid_from=commune.valid_from,
                wkb=shapely.to_wkb(commune.polygon),
                area_m2=commune.area_km2 * 1e6,
                search_name=commune.search_name,
            )
            for commune in found.communes
        ]
    )
    return found
