"""Clipped maps of communes, asked for as a client of the standards does."""

from __future__ import annotations

from flycam.mosaic.coverage import get_main_mosaic, make_clip
from flycam.workspace import Workspace


def cut_all(workspace: Workspace, flight_id: str) -> list[str]:
    """Store keys of the clips of all communes of a flight, as the revision on show has them."""
    flight, mosaic = workspace.catalog.flights.flight(flight_id), get_main_mosaic(workspace, flight_id)
    covered = workspace.catalog.boundaries.coverage(flight_id)
    return [make_clip(workspace, flight, mosaic, one) for one in covered]
