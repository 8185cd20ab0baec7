"""The zone of VN-2000 that the law gives a province, found by its communes' codes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from flycam.geodata import crs


def test_zones_are_those_of_the_registry() -> None:
    for meridian, code in crs._ZONES.items():
        conversion = CRS.from_epsg(code).coordinate_operation
        assert conversion is not None
        assert conversion.params[1].value == meridian
        assert crs.get_central_meridian_deg(f"EPSG:{code}") == meridian
    with pytest.raises(ValueError, match="EPSG:32648"):
        crs.get_central_meridian_deg("EPSG:32648")


def test_every_commune_of_lao_cai_is_mapped_at_104_45(shared_data: Path) -> None:
    file = shared_data / "communes" / "lao_cai_2025.geojson"
    codes = [one["properties"]["code"] for one in json.loads(file.read_text(encoding="utf-8"))["features"]]
    provinces = [crs.find_province(code) for code in codes]
    assert len(codes) == 99 and all(one is not None and one.meridian_deg == 104.75 for one in provinces)
    assert {one.name for one in provinces if one} == {"Lào Cai", "Yên Bái"}


@pytest.mark.parametrize("code", ["", "DT-01", "4423", "04930", "26734", "٠٤٤٢٣", "nam-luc"])
def test_codes_of_other_provinces_and_of_nobody_have_none(code: str) -> None:
    assert crs.find_province(code) is None


@given(st.floats(102.0, 110.0))
def test_no_meridian_is_nearer_than_the_nearest(lon: float) -> None:
    chosen = crs.get_central_meridian_deg(crs.find_nearest_zone(lon))
    assert all(abs(chosen - lon) <= abs(meridian - lon) for meridian in crs._ZONES)


def test_each_code_belongs_to_one_province_and_each_meridian_has_a_zone() -> None:
    ordered = sorted(crs._PROVINCES, key=lambda one: one.first)
    assert all(a.last < b.first for a, b in pairwise(ordered))
    assert all(crs.get_zone(one.meridian_deg).startswith("EPSG:") for one in ordered)
