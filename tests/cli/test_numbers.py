"""Numbers in what commands say: decimal comma in Vietnamese, point in English."""

from __future__ import annotations

from pathlib import Path

from flycam.cli.output import Output
from flycam.cli.products import format_export
from flycam.cli.terrain import format_communes, format_dems
from flycam.geodata.communes import CommuneImport
from flycam.messages import join
from flycam.model.records import DemRecord
from flycam.mosaic.raster import ExportedCog

DEM = DemRecord(
    dem_id="a" * 16,
    name="dem.tif",
    path="dem.tif",
    sha256="a" * 64,
    crs="EPSG:32648",
    bounds_lonlat_deg=(104.0, 21.0, 105.0, 22.0),
    post_spacing_m=(12.5, 12.5),
    vertical_datum="EGM2008",
    added_ns=0,
)
EXPORTED = ExportedCog(
    path=Path("map.tif"), crs="EPSG:32648", gsd_m=0.0172, bounds=(0.0, 0.0, 1.0, 1.0), shape_px=(58, 58)
)
IMPORTED = CommuneImport(
    communes=(),
    repaired=(),
    removed=(),
    remarks=(),
    overlaps_km2=1.25,
    overlaps_left_km2=0.0,
    contested=(),
)


def first_line(output: Output, language: str) -> str:
    return join(output[1][:1]).in_language(language)


def test_vietnamese_has_the_decimal_comma() -> None:
    assert "0,0172 m mỗi điểm ảnh" in first_line(format_export(EXPORTED), "vi")
    assert "điểm cách 12,5 m" in first_line(format_dems([DEM]), "vi")
    assert "1,25 km² chồng lấn" in first_line(format_communes(IMPORTED), "vi")


def test_english_keeps_the_point() -> None:
    assert "0.0172 m a pixel" in first_line(format_export(EXPORTED), "en")
    assert "posts every 12.5 m" in first_line(format_dems([DEM]), "en")
    assert "1.25 km² claimed twice" in first_line(format_communes(IMPORTED), "en")
