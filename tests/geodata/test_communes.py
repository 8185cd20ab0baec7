"""Communes from every format and CRS, repaired out loud, the same in any order; the 99 of Lao Cai."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import Geod

from flycam.errors import BoundaryInvalid, CrsMissing, SourceUnreadable
from flycam.geodata.communes import CommuneImport, compute_area_m2, read_communes
from flycam.geodata.crs import WGS84, transform_points

SINCE = "2025-07-01"
W, S = 104.80, 21.90
SQUARES = {
    "90001": ("Xã Đèo Gió", shapely.box(W, S, W + 0.02, S + 0.02)),
    "90002": ("Phường Suối Cạn", shapely.box(W + 0.02, S, W + 0.05, S + 0.02)),
    "90003": ("Xã Núi Ngủ", shapely.box(W, S + 0.02, W + 0.05, S + 0.03)),
}


def geojson(path: Path, features: list[tuple[dict[str, Any], Any]]) -> Path:
    items = [
        {"type": "Feature", "properties": p, "geometry": None if g is None else shapely.geometry.mapping(g)}
        for p, g in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}), encoding="utf-8")
    return path


def plain(path: Path) -> Path:
    return geojson(path, [({"code": c, "name": n}, g) for c, (n, g) in SQUARES.items()])


def written(path: Path, driver: str, crs: str | None, columns: tuple[str, str] = ("ma_xa", "ten_xa")) -> Path:
    """The three squares in another format and CRS."""
    shapes = np.array([g for _, g in SQUARES.values()], dtype=object)
    if crs not in (None, WGS84):
        shapes = shapely.transform(shapes, lambda xy: transform_points(xy, WGS84, str(crs)))
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(shapes),
        field_data=[np.array(list(SQUARES), object), np.array([n for n, _ in SQUARES.values()], object)],
        fields=list(columns),
        geometry_type="Polygon",
        crs=crs,
        driver=driver,
        encoding="UTF-8" if driver != "KML" else None,
    )
    return path


def assert_the_three(result: CommuneImport) -> None:
    assert [(c.code, c.name) for c in result.communes] == [(c, n) for c, (n, _) in SQUARES.items()]
    for commune in result.communes:
        true = SQUARES[commune.code][1]
        assert commune.polygon.symmetric_difference(true).area < 1e-9
        assert commune.valid_from == date(2025, 7, 1)
    assert (result.repaired, result.removed, result.contested) == ((), (), ())


@pytest.mark.parametrize(
    ("name", "driver", "crs"),
    [
        ("a.gpkg", "GPKG", "EPSG:32648"),
        ("a.gpkg", "GPKG", "EPSG:9208"),
        ("a.shp", "ESRI Shapefile", "EPSG:3405"),
        ("a.shp", "ESRI Shapefile", "EPSG:4326"),
        ("a.geojson", "GeoJSON", "EPSG:4326"),
        ("a.geojson", "GeoJSON", "EPSG:32648"),
    ],
)
def test_any_format_and_crs(tmp_path: Path, name: str, driver: str, crs: str) -> None:
    assert_the_three(read_communes(written(tmp_path / name, driver, crs), SINCE))


def test_a_self_crossing_commune_is_repaired_and_said(tmp_path: Path) -> None:
    bow = shapely.Polygon([(W, S), (W + 0.02, S + 0.02), (W + 0.02, S), (W, S + 0.02)])
    path = geojson(tmp_path / "bow.geojson", [({"code": "1", "name": "Xã Nơ"}, bow)])
    result = read_communes(path, SINCE)
    assert result.communes[0].polygon.is_valid
    assert result.communes[0].area_km2 == pytest.approx(2.29, abs=0.05)
    assert len(result.repaired) == 1
    assert result.repaired[0].startswith("Xã Nơ (1): boundary repaired (Self-intersection")


def test_metres_and_swapped_degrees_in_plain_geojson_are_refused(tmp_path: Path) -> None:
    metres = shapely.box(479_000, 2_420_000, 480_000, 2_421_000)
    swapped = shapely.box(S, W, S + 0.02, W + 0.02)
    for name, shape in (("metres", metres), ("swapped", swapped)):
        path = geojson(tmp_path / f"{name}.geojson", [({"code": "1", "name": "A"}, shape)])
        with pytest.raises(CrsMissing, match=rf"^{name}\.geojson"):
            read_communes(path, SINCE)


def test_what_cannot_be_boundaries(tmp_path: Path) -> None:
    (tmp_path / "text.geojson").write_text("not json")
    (tmp_path / "empty.geojson").write_bytes(b"")
    (tmp_path / "cut.geojson").write_text(plain(tmp_path / "a.geojson").read_text()[:400])
    for name in ("text", "empty", "cut", "missing"):
        with pytest.raises(SourceUnreadable, match=rf"{name}\.geojson"):
            read_communes(tmp_path / f"{name}.geojson", SINCE)
    points = geojson(tmp_path / "p.geojson", [({"code": "1", "name": "A"}, shapely.Point(W, S))])
    with pytest.raises(BoundaryInvalid, match="holds no polygon"):
        read_communes(points, SINCE)
    nameless = geojson(tmp_path / "n.geojson", [({"colour": "red"}, SQUARES["90001"][1])])
    with pytest.raises(BoundaryInvalid, match="columns: colour"):
        read_communes(nameless, SINCE)
    bare = geojson(tmp_path / "bare.geojson", [({}, SQUARES["90001"][1])])
    with pytest.raises(BoundaryInvalid, match="columns: none"):
        read_communes(bare, SINCE)
    with pytest.raises(BoundaryInvalid, match="YYYY-MM-DD"):
        read_communes(tmp_path / "a.geojson", "01/07/2025")


def test_the_order_of_features_makes_no_difference(tmp_path: Path) -> None:
    rng = random.Random(3)
    features = []
    for k in range(12):
        x, y = W + rng.uniform(0, 0.05), S + rng.uniform(0, 0.05)
        shape = shapely.box(x, y, x + rng.uniform(0.01, 0.03), y + rng.uniform(0.01, 0.03))
        stated = (
            {}
            if k % 5 == 0
            else {"areaKm2": rng.uniform(0.8, 1.0) * float(compute_area_m2(np.array([shape]))[0]) / 1e6}
        )
        features.append(({"code": f"{k:03}", "name": f"Xã {k}", **stated}, shape))
    results = []
    for turn in range(3):
        rng.shuffle(features)
        results.append(read_communes(geojson(tmp_path / f"{turn}.geojson", features), SINCE))
    assert len(results[0].contested) > 5
    assert {o.rule for o in results[0].contested} == {"declared areas", "lowest code"}
    for other in results[1:]:
        assert [c.polygon.wkb for c in other.communes] == [c.polygon.wkb for c in results[0].communes]
        assert other.contested == results[0].contested


GROUPS_THAT_CANCEL = (
    ("04651", "04423", "04402", "04429", "04636"),  # Sơn Lương and the four around its north
    ("02842", "02848"),  # Tả Củ Tỷ, Lùng Phình
    ("04537", "04576"),  # Lương Thịnh, Hưng Khánh
)
"""Neighbours of which some are too large and the others too small by as much: a boundary drawn elsewhere."""


@pytest.fixture(scope="module")
def lao_cai(shared_data: Path) -> CommuneImport:
    return read_communes(shared_data / "communes" / "lao_cai_2025.geojson", SINCE)


@pytest.mark.real
def test_lao_cai_has_99_communes_and_no_contested_ground_left(lao_cai: CommuneImport) -> None:
    assert len(lao_cai.communes) == 99
    assert (lao_cai.repaired, lao_cai.removed) == ((), ())
    assert lao_cai.overlaps_km2 == pytest.approx(10.46, abs=0.02)
    assert lao_cai.overlaps_left_km2 == 0.0
    largest = lao_cai.contested[0]
    assert largest.codes == ("02647", "02683", "02746")
    assert largest.area_km2 == pytest.approx(3.488, abs=0.001)
    assert (largest.assigned_to, largest.rule) == ("02647", "declared areas")
    assert sum(c.area_km2 for c in lao_cai.contested[1:]) < 5e-5


@pytest.mark.real
def test_lao_cai_areas_meet_the_stated_ones(lao_cai: CommuneImport) -> None:
    """docs/formats/boundaries.md explains the outliers."""
    rows = [(c, c.area_km2 - (c.declared_area_km2 or 0.0)) for c in lao_cai.communes]
    outliers = sorted(
        (r for r in rows if abs(r[1]) > 0.01 * (r[0].declared_area_km2 or 1.0)), key=lambda r: -abs(r[1])
    )
    assert len(outliers) == 12
    assert outliers[0][0].code == "04651"
    geod = Geod(ellps="WGS84")
    true_km2 = sum(abs(geod.geometry_area_perimeter(c.polygon)[0]) for c in lao_cai.communes) / 1e6
    stated_km2 = sum(c.declared_area_km2 or 0.0 for c in lao_cai.communes)
    assert true_km2 == pytest.approx(stated_km2, abs=0.5)
    excess = {c.code: e for c, e in rows}
    for group in GROUPS_THAT_CANCEL:
        together = sum(excess[code] for code in group)
        assert abs(together) < 0.5
        assert max(abs(excess[code]) for code in group) > 3 * abs(together)
