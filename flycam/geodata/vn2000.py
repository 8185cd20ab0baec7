"""VN-2000 3-degree zone of a place: by law that of its province, not of its longitude.

A commune's official code (Decision 124/2004/QD-TTg) shows the province that numbered it, and communes keep
one of their codes when units are merged. So the zone is that of the province in which the ground was
surveyed, also where provinces were joined in 2025: its printed maps and land records are in that zone.
"""

from __future__ import annotations

from dataclasses import dataclass

_ZONES = {
    102.0: 5896,
    103.0: 9205,
    104.0: 9206,
    104.5: 9207,
    104.75: 9208,
    105.0: 5897,
    105.5: 9209,
    105.75: 9210,
    106.0: 9211,
    106.25: 9212,
    106.5: 9213,
    107.0: 9214,
    107.25: 9215,
    107.5: 9216,
    107.75: 5899,
    108.0: 5898,
    108.25: 9217,
    108.5: 9218,
}
"""EPSG code of the zone by its central meridian, degrees."""


@dataclass(frozen=True, slots=True)
class Province:
    """A province, the range of its communes' codes, and its central meridian."""

    name: str
    first: int
    last: int
    meridian_deg: float


_PROVINCES = (
    Province("Hà Nội", 1, 687, 105.0),
    Province("Hà Giang", 688, 1266, 105.5),
    Province("Cao Bằng", 1267, 1833, 105.75),
    Province("Bắc Kạn", 1834, 2199, 106.5),
    Province("Tuyên Quang", 2200, 2634, 106.0),
    Province("Lào Cai", 2635, 3123, 104.75),
    Province("Điện Biên", 3124, 3385, 103.0),
    Province("Lai Châu", 3386, 3645, 103.0),
    Province("Sơn La", 3646, 4248, 104.0),
    Province("Yên Bái", 4249, 4788, 104.75),
    Province("Hòa Bình", 4789, 4926, 106.0),
    Province("Hòa Bình", 4942, 5430, 106.0),
    Province("Thái Nguyên", 5431, 5970, 106.5),
    Province("Lạng Sơn", 5971, 6648, 107.25),
    Province("Phú Thọ", 7888, 8706, 104.75),
    Province("Thanh Hóa", 14755, 16662, 105.0),
    Province("Nghệ An", 16663, 18072, 104.75),
)
"""The mountain provinces and Hà Nội. Meridians: Circular 973/2001/TT-TCDC; codes: the official list of units.
Codes 4927 to 4941 went from Hòa Bình to Hà Nội and are left out."""


def find_province(code: str) -> Province | None:
    """Find the province that gave a commune its code.

    None for provinces not listed, and invented codes.
    """
    if not (len(code) == 5 and code.isascii() and code.isdigit()):
        return None
    return next((one for one in _PROVINCES if one.first <= int(code) <= one.last), None)


def get_zone(meridian_deg: float) -> str:
    """Return the zone of a central meridian: "EPSG:9208" for 104.75.

    Raises KeyError where there is none.
    """
    return f"EPSG:{_ZONES[meridian_deg]}"


def has_meridian(meridian_deg: float) -> bool:
    """Return True if a zone has this central meridian."""
    return meridian_deg in _ZONES


def find_nearest_zone(lon_deg: float) -> str:
    """Find the zone whose meridian is nearest.

    Near a province's border it may be its neighbour's.
    """
    return get_zone(min(_ZONES, key=lambda meridian: (abs(meridian - lon_deg), meridian)))


def get_central_meridian_deg(zone_crs: str) -> float:
    """Return the central meridian of a VN-2000 zone, degrees.

    Raises ValueError for another CRS.
    """
    for meridian, code in _ZONES.items():
        if zone_crs == f"EPSG:{code}":
            return meridian
    raise ValueError(f"{zone_crs}: is no VN-2000 zone of 3 degrees")
