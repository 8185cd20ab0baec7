"""The rectangle that a request asks for."""

from __future__ import annotations

from flycam.catalog.records import BoundsLonLat
from flycam.errors import InputUnusable


def parse_bounds(text: str | None) -> BoundsLonLat | None:
    """ "west,south,east,north" in degrees; InputUnusable if it is anything else."""
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputUnusable(
            f"bounds={text}: give west,south,east,north in degrees",
            vi=f"bounds={text}: hãy ghi tây,nam,đông,bắc bằng độ",
        ) from error
    if not (west <= east and south <= north):
        raise InputUnusable(
            f"bounds={text}: west must not exceed east, nor south north",
            vi=f"bounds={text}: phía tây không được lớn hơn phía đông, phía nam không lớn hơn phía bắc",
        )
    return west, south, east, north
