"""Features are written with their attributes and their CRS, whole or not at all."""

from __future__ import annotations

import numpy as np
import pyogrio
import pytest
import shapely

from flycam.errors import StorageFailed
from flycam.geodata.crs import transform_points
from flycam.geodata.feature_file import FeatureLayer, write_features
from flycam.geodata.vector_file import restrict_vector_drivers

CRS = "EPSG:32648"
HERE = np.array([430_000.0, 2_400_000.0])


@pytest.fixture(autouse=True)
def restricted() -> None:
    """As in every process that has read a layer."""
    restrict_vector_drivers()


def _squares(count: int) -> FeatureLayer:
    shapes = np.empty(count, dtype=object)
    shapes[:] = [
        shapely.MultiPolygon([shapely.box(*(HERE + 100.0 * k), *(HERE + 100.0 * k + 20.0))])
        for k in range(count)
    ]
    return FeatureLayer(
        name="changes",
        kind="MultiPolygon",
        shapes=shapes,
        fields={
            "kind": np.array(["sạt lở", "flood", "other"][:count], dtype=object),
            "area_m2": np.full(count, 400.0),
        },
    )


def _points() -> FeatureLayer:
    return FeatureLayer(
        name="registration",
        kind="Point",
        shapes=np.asarray(shapely.points(HERE + np.zeros((2, 2))), dtype=object),
        fields={"residual_m": np.array([0.1, np.nan])},
    )


def test_a_geopackage_holds_every_layer_in_its_crs(tmp_path):
    path = tmp_path / "out.gpkg"
    write_features(path, [_squares(3), _points()], crs=CRS)
    assert sorted(pyogrio.list_layers(path)[:, 0]) == ["changes", "registration"]
    meta, _, wkb, values = pyogrio.raw.read(path, layer="changes")
    assert meta["crs"] == CRS
    assert list(meta["fields"]) == ["kind", "area_m2"]
    assert list(values[0]) == ["sạt lở", "flood", "other"]
    assert shapely.area(shapely.from_wkb(wkb)) == pytest.approx([400.0] * 3)
    assert list(tmp_path.iterdir()) == [path]


def test_geojson_is_in_degrees_and_says_so(tmp_path):
    path = tmp_path / "out.geojson"
    write_features(path, [_squares(2), _points()], crs=CRS)
    meta, _, wkb, _ = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:4326"
    corners = transform_points(shapely.get_coordinates(shapely.from_wkb(wkb[0])), "EPSG:4326", CRS)
    assert corners.min(axis=0) == pytest.approx(HERE, abs=0.01)


def test_a_file_that_is_there_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "out.gpkg"
    write_features(path, [_squares(3)], crs=CRS)
    write_features(path, [_squares(1)], crs=CRS)
    assert pyogrio.read_info(path)["features"] == 1
    with pytest.raises(StorageFailed):
        write_features(tmp_path / "nowhere" / "out.gpkg", [_squares(1)], crs=CRS)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_text_of_others_shows_what_it_is_made_of(tmp_path, suffix):
    names = np.array(["c\u202egpj.exe", "a\x1b[2J\nb", None], dtype=object)
    points = shapely.points(np.zeros((3, 2)))
    layer = FeatureLayer(name="marks", kind="Point", shapes=points, fields={"name": names})
    path = tmp_path / f"out{suffix}"
    write_features(path, [layer], crs="EPSG:4326")
    _, _, _, (found,) = pyogrio.raw.read(path)
    assert found.tolist() == ["c\\u202egpj.exe", "a\\x1b[2J\nb", None]
