"""Poses of a table: the datum that it states, and no other, is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flycam.drill.photo_drill import DrillReport, read_truth
from flycam.errors import DatumUnknown
from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem import read_dem_info
from flycam.geodata.geoid import convert_height
from flycam.ingest.poses.external_poses import read_stated_datum
from flycam.ingest.preflight_check import PreflightRequest, run_preflight
from flycam.mosaic.terrain import TerrainLookup, load_registered_dems
from tests.houses import House

MakeHouse = Callable[..., House]


@pytest.mark.parametrize(
    ("column", "prj", "stated"),
    [("", "EPSG:32648", None), ("ellipsoid", "EPSG:32648", "ELLIPSOID"), ("", "EPSG:32648+3855", "EGM2008")],
)
def test_heights_of_a_table_are_in_the_datum_that_it_states(
    drill: DrillReport, make_house: MakeHouse, tmp_path: Path, column: str, prj: str, stated: str | None
) -> None:
    header, *lines = (drill.truth / "poses.csv").read_text(encoding="utf-8").splitlines()
    if column:
        header, lines = f"{header},vertical_datum", [f"{line},{column}" for line in lines]
    table = tmp_path / "poses.csv"
    table.write_text("\n".join([header, *lines]), encoding="utf-8")
    table.with_suffix(".prj").write_text(prj, encoding="utf-8")
    request = PreflightRequest(paths=(drill.photos,), telemetry=table)
    found = run_preflight(request, load_registered_dems(make_house(drill).workspace)).diagnosis
    exact = read_truth(drill.photos.parent).exteriors
    for header_ in found.headers:
        here, there = header_.exterior_prior, exact[header_.provenance.source_name]
        assert here.vertical_datum == there.vertical_datum == "EGM96"
        written = there.projection_centre_m[2]
        lonlat = to_lonlat(np.array([there.projection_centre_m[:2]]), there.work_crs)
        z = written if stated is None else convert_height(np.array([written]), lonlat, stated, "EGM96")[0]
        assert here.projection_centre_m == pytest.approx((*there.projection_centre_m[:2], z), abs=1e-3)
    assert "pose_datum" in {one.code for one in found.problems}


@pytest.mark.parametrize("words", [("EGM96", "EGM2008"), ("EGM96", ""), ("LOCAL", "LOCAL"), ("MSL", "MSL")])
def test_a_datum_that_cannot_be_meant_is_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    table = tmp_path / "poses.csv"
    lines = [f"{k}.JPG,21.8,104.8,900,0,0,0,{word}" for k, word in enumerate(words)]
    head = "filename,latitude,longitude,altitude,roll,pitch,yaw,vertical_datum"
    table.write_text("\n".join([head, *lines]), encoding="utf-8")
    with pytest.raises(DatumUnknown, match="EGM2008"):
        read_stated_datum(table)


def test_without_terrain_the_plane_lies_where_the_pictures_see_it(drill: DrillReport, tmp_path: Path) -> None:
    """A table's heights count from the sea: on a plane at 0 the map would be of quite another scale."""
    table = tmp_path / "poses.csv"
    table.write_bytes((drill.truth / "poses.csv").read_bytes())
    table.with_suffix(".prj").write_text("EPSG:32648", encoding="utf-8")
    request = PreflightRequest(paths=(drill.photos,), telemetry=table)
    found = run_preflight(request, [], check_pixels=True).diagnosis
    centres = np.array([one.exterior_prior.projection_centre_m for one in found.headers])
    lonlat = to_lonlat(centres[:, :2], found.work_crs)
    below, _ = TerrainLookup([read_dem_info(drill.dem)])(lonlat)
    above = np.median(centres[:, 2] - below)
    assert found.takeoff is not None and found.takeoff.how == "pictures"
    assert abs(found.takeoff.height_m - np.median(below)) < 0.1 * above
    assert {one.code for one in found.problems} >= {"no_terrain", "pose_datum", "pose_sigma"}
