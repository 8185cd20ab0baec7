"""A place in the coordinates that Vietnamese maps are printed in: VN-2000."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from flycam.pipeline.national import national_place
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import viewer
from flycam.serve.wording import Json

router = APIRouter(dependencies=[Depends(viewer)])


@router.get("/api/vn2000")
def vn2000(
    catalog: CatalogHere,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
) -> Json | None:
    """North (X) and east (Y) in metres in a 3-degree zone of VN-2000; null outside Vietnam.

    The zone is that of the province, by the commune whose boundary holds the place; where no boundary is
    known, or its province's meridian is not, that of the nearest meridian, and `province` is null.
    """
    place = national_place(catalog.boundaries, lon, lat)
    return None if place is None else asdict(place)
