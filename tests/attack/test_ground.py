"""Terrain and boundaries that do not fit the flight, or are not what they seem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from flycam.drill.photo_drill import DrillReport
from flycam.model.warning import NO_TERRAIN, describe_warning
from tests.attack.commands import Operator
from tests.geodata.rasters import read_raster

pytestmark = pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")


@pytest.fixture
def altered(drill: DrillReport, tmp_path: Path) -> Callable[..., Path]:
    """The drill's terrain with other heights, another place, or a unit."""

    def write(
        name: str, change: Callable[[np.ndarray], np.ndarray], *, move_m: float = 0.0, unit: str = ""
    ) -> Path:
        with rasterio.open(drill.dem) as source:
            profile, tags, heights = source.profile, source.tags(), source.read(1)
        profile["transform"] = rasterio.Affine.translation(move_m, move_m) @ profile["transform"]
        heights = change(heights)
        profile["width"] = heights.shape[1]
        with rasterio.open(tmp_path / name, "w", **profile) as target:
            target.write(heights.astype(np.float32), 1)
            target.update_tags(**tags)
            if unit:
                target.units = (unit,)
        return tmp_path / name

    return write


def _same(heights: np.ndarray) -> np.ndarray:
    return heights


def _feet(heights: np.ndarray) -> np.ndarray:
    return heights / np.float32(0.3048)


def _codes(said: dict[str, list[dict[str, str]]]) -> set[str]:
    return {problem["code"] for problem in said["problems"]}


def test_terrain_elsewhere(operator: Operator, drill: DrillReport, altered: Callable[..., Path]) -> None:
    operator("dem", "add", altered("nơi khác.tif", _same, move_m=50_000.0))
    assert "terrain_elsewhere" in _codes(operator("inspect", drill.photos, "--no-pixels").json)
    said = operator("ingest", drill.photos)
    assert said.exit_code == 0 and said.json["vertical_datum"] == "LOCAL"
    assert said.json["warnings"] == [str(describe_warning(NO_TERRAIN))]
    again = operator("ingest", drill.photos, "--dem", drill.dem)
    assert again.json["frames"]["used"] == again.json["relaid"] == 6 and not again.json["warnings"]


def test_terrain_under_half_of_the_flight(
    operator: Operator, drill: DrillReport, altered: Callable[..., Path], tmp_path: Path
) -> None:
    operator("dem", "add", altered("nửa.tif", lambda heights: heights[:, : heights.shape[1] // 2]))
    said = operator("ingest", drill.photos)
    assert said.exit_code == 0
    (warning,) = said.json["warnings"]
    assert warning.startswith("nửa.tif: ")
    assert "terrain_partial" in _codes(operator("inspect", drill.photos, "--no-pixels").json)
    operator("export", said.json["flight_id"], tmp_path / "a.tif")
    assert read_raster(tmp_path / "a.tif").tags["FLYCAM_WARNINGS"] == warning


@pytest.mark.parametrize(("half_posts", "used"), [(15, 4), (24, 0)])
def test_hole_under_the_flight(
    operator: Operator, drill: DrillReport, altered: Callable[..., Path], half_posts: int, used: int
) -> None:
    def hole(heights: np.ndarray) -> np.ndarray:
        row, col = (n // 2 for n in heights.shape)
        heights[row - half_posts : row + half_posts, col - half_posts : col + half_posts] = -9999.0
        return heights

    operator("dem", "add", altered("thủng.tif", hole))
    said = operator("ingest", drill.photos)
    if used:
        assert (said.exit_code, said.json["frames"]["used"]) == (0, used)
        assert said.json["warnings"][0].startswith("thủng.tif: ")
        left_out = said.json["rejections"]
        assert {one["reason"] for one in left_out} <= {"outside_terrain"} and len(left_out) == 6 - used
        assert all(one["name"] in one["sentence"] for one in left_out)
        assert operator("ingest", drill.photos).json["new"] == 0
    else:
        assert said.exit_code == 3
        assert "thủng.tif" in said.sentence and "DJI_0001.JPG" in said.sentence and "DEM" in said.sentence
        assert operator.flights() == []


def test_feet_that_do_not_say_so_betray_themselves_to_the_aircraft(
    operator: Operator, drill: DrillReport, altered: Callable[..., Path]
) -> None:
    assert operator("dem", "add", altered("chân.tif", _feet)).exit_code == 0
    said = operator("ingest", drill.photos)
    assert said.exit_code == 3
    assert said.sentence.count("chân.tif") == 1 and "feet" in said.sentence and "-units ft" in said.sentence
    assert operator.flights() == []
    assert "terrain_in_feet" in _codes(operator("inspect", drill.photos, "--no-pixels").json)
    cured = operator("dem", "add", altered("chân.tif", _feet, unit="ft"))
    assert cured.exit_code == 0
    (command,) = cured.json["warnings"][-1].split("flycam ")[1:]
    assert operator(*command.split()).json["name"] == "chân.tif"
    assert operator("ingest", drill.photos).json["frames"]["used"] == 6
