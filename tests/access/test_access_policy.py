"""What is withheld from whom: one decision for every door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.access.policy import (
    UNRESTRICTED,
    AccessPolicies,
    AccessPolicy,
    can_see,
    load_access_policy,
)
from flycam.catalog.access import RestrictedArea
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.geometry.grid import compute_pixel_centres, find_tile_at, lonlat_to_mercator, make_tile_range
from flycam.model.access import Account, Role
from flycam.model.flight import Classification

LON, LAT = 104.8, 21.9
BARRACKS = shapely.Polygon([(104.799, 21.899), (104.8013, 21.8994), (104.801, 21.9012), (104.7991, 21.901)])
AREA = RestrictedArea(
    area_id="area-1",
    name="Doanh trại",
    roles=frozenset({Role.ADMIN}),
    sha256="0" * 64,
    added_ns=1,
    wkb=shapely.to_wkb(BARRACKS),
    bounds_lonlat_deg=BARRACKS.bounds,
)


def account(role: Role, **more: object) -> Account:
    return replace(Account(name=role.value, role=role, token_hash=role.value, created_ns=0), **more)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as one:
        yield one


def _withheld(shape: shapely.Geometry) -> AccessPolicy:
    return AccessPolicy(areas=[shapely.to_wkb(shape)])


@settings(max_examples=60, deadline=None)
@given(
    zoom=st.integers(5, 22),
    east=st.floats(-0.002, 0.002),
    north=st.floats(-0.002, 0.002),
)
def test_no_pixel_whose_centre_lies_in_an_area_is_shown_at_any_zoom(
    zoom: int, east: float, north: float
) -> None:
    point = lonlat_to_mercator(np.array([[LON + east, LAT + north]]))[0]
    tile, *_ = find_tile_at(zoom, (float(point[0]), float(point[1])))
    found = _withheld(BARRACKS).get_tile_mask(tile)
    hidden = np.zeros((256, 256), bool) if found is None else found
    rows, columns = np.mgrid[0:256, 0:256]
    centres = compute_pixel_centres(make_tile_range(tile), rows, columns)
    ground = shapely.transform(BARRACKS, lonlat_to_mercator)
    inside = shapely.contains_xy(ground, centres[..., 0], centres[..., 1])
    assert not (inside & ~hidden).any()
    if zoom < 10:  # smaller than a pixel, and still there
        middle = ground.centroid
        holds, row, column = find_tile_at(zoom, (middle.x, middle.y))
        assert holds != tile or hidden[row, column]


def test_a_picture_is_withheld_when_its_ground_touches_comes_near_or_is_not_known() -> None:
    here = _withheld(BARRACKS)
    beside = shapely.box(104.8015, 21.899, 104.803, 21.901)  # some 20 m east of the fence
    assert here.touches(shapely.to_wkb(BARRACKS)) and here.touches(shapely.to_wkb(beside))
    assert not here.touches(shapely.to_wkb(beside), margin_m=0.0)
    assert not here.touches(shapely.to_wkb(shapely.box(104.81, 21.9, 104.82, 21.91)))
    assert here.touches(None) and here.touches_box(None)
    assert not UNRESTRICTED.touches(None)


def test_roles_that_are_named_see_an_area_and_all_others_do_not(catalog: Catalog) -> None:
    catalog.restrictions.put(replace(AREA, roles=frozenset({Role.ADMIN, Role.OPERATOR})))
    seeing = {role for role in Role if load_access_policy(catalog, account(role)).is_nothing}
    assert seeing == {Role.ADMIN, Role.OPERATOR}


def test_a_level_says_who_sees_a_flight(catalog: Catalog) -> None:
    for level, hidden_from in (
        (Classification.OPEN, set()),
        (Classification.INTERNAL, {Role.BOX, Role.GUEST}),
        (Classification.RESTRICTED, {Role.BOX, Role.GUEST, Role.VIEWER, Role.OPERATOR}),
    ):
        catalog.restrictions.classify("f1", level, 1)
        hidden = {role for role in Role if load_access_policy(catalog, account(role)).hides_flight("f1")}
        assert hidden == hidden_from == {role for role in Role if not can_see(role, level)}


def test_whoever_sits_at_the_machine_sees_everything(catalog: Catalog) -> None:
    catalog.restrictions.put(AREA)
    assert AccessPolicies(catalog).get(None) is UNRESTRICTED


def test_a_rule_holds_within_seconds_and_what_was_made_under_equal_rules_stays(catalog: Catalog) -> None:
    now_s = 0.0
    every = AccessPolicies(catalog, lambda: now_s)
    viewer = account(Role.VIEWER)
    assert every.get(viewer).is_nothing
    catalog.restrictions.put(AREA)
    now_s = 2.1
    first = every.get(viewer)
    assert first.hides_point(LON, LAT)
    now_s = 4.3
    assert every.get(viewer) is first
    catalog.restrictions.remove("Doanh trại")
    now_s = 6.5
    assert every.get(viewer).is_nothing
