"""How far beside its footprint a photo counts, by how well it is placed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from flycam.access.photo_ground import PhotoGround
from flycam.access.policy import AccessPolicy
from flycam.access.shown_ground import expand_geometry, outline_shown_ground
from flycam.catalog.flights import to_placement
from flycam.geodata.crs import to_work
from flycam.geometry.footprint import project_image_grid
from flycam.model.records import Placement
from flycam.mosaic.orthorectify.rectification import project_frame
from tests.geometry.test_monoplotting import CAMERA, EAST, NORTH, PLANE, pose
from tests.serve.test_redacted_photos import facing, lonlat_box, photo


def placed(down_deg: float | None = None, **changes: object) -> Placement:
    """The photo straight down, or facing north; placed so."""
    exterior = replace(pose(1.5, None if down_deg is None else facing(down_deg)), **changes)
    one = replace(photo(), exterior=exterior)
    seen = project_frame(replace(one.header, exterior_prior=exterior), PLANE)
    return to_placement(replace(one, footprint_wkb=shapely.to_wkb(seen.outline_lonlat)))


def outline(placement: Placement, margin_m: float = 30.0) -> shapely.Geometry:
    return shapely.from_wkb(outline_shown_ground(placement, margin_m))


def test_a_photo_from_above_that_is_placed_as_usual_counts_as_far_as_its_margin() -> None:
    """By GNSS to 1.5 m and 8 m of height, a gimbal to 0.7 degrees and its yaw to 1.5."""
    usual = placed(sigma_position_m=(1.5, 1.5, 8.0), sigma_attitude_rad=(0.0122, 0.0122, 0.0262))
    footprint = shapely.from_wkb(usual.footprint_wkb)
    for margin_m in (30.0, 60.0):
        assert outline(usual, margin_m).equals(expand_geometry(footprint, margin_m))


@pytest.mark.parametrize(
    ("changes", "margin_m"),
    [
        ({"sigma_position_m": (300.0, 20.0, 30.0)}, 600.0),
        ({"sigma_position_m": (2.0, 2.0, 25.0)}, 50.0),
        # the corners are 80 m away
        ({"sigma_attitude_rad": (0.0, 0.0, 0.5)}, 80.0),
    ],
)
def test_one_placed_badly_counts_two_sigmas_around(changes: dict[str, object], margin_m: float) -> None:
    footprint = shapely.from_wkb(placed().footprint_wkb)
    found = outline(placed(**changes))
    assert found.covers(expand_geometry(footprint, 0.99 * margin_m))
    assert expand_geometry(footprint, 1.02 * margin_m).covers(found)


def test_without_a_pose_it_is_the_footprint_and_without_that_unknown() -> None:
    footprint = shapely.from_wkb(placed().footprint_wkb)
    assert outline(replace(placed(20.0), exterior=None, footprint_wkb=shapely.to_wkb(footprint))).equals(
        expand_geometry(footprint, 30.0)
    )
    assert outline_shown_ground(replace(placed(), footprint_wkb=None)) is None


@pytest.mark.parametrize("down_deg", [15.0, 25.0, 40.0, 60.0])
def test_all_ground_in_an_oblique_photo_counts(down_deg: float) -> None:
    one = placed(down_deg)
    met = project_image_grid(CAMERA, one.exterior, PLANE).reshape(-1, 3)
    met = met[np.isfinite(met[:, 0]), :2]
    work = shapely.transform(outline(one), lambda lonlat: to_work(lonlat, "EPSG:32648"))
    assert shapely.intersects_xy(work, met).all()
    beside = np.array([[EAST + 500.0, NORTH - 300.0], [EAST, NORTH - 200.0]])
    assert not shapely.intersects_xy(work, beside).any()


def test_a_photo_is_withheld_for_what_any_of_its_placements_may_show() -> None:
    ahead = AccessPolicy(areas=[shapely.to_wkb(lonlat_box(-5, 850, 5, 860))])
    both = PhotoGround(placements=(placed(), placed(30.0)), box=None)
    assert both.is_hidden(ahead)
    assert not replace(both, placements=(placed(),)).is_hidden(ahead)
    assert replace(both, placements=(placed(),), is_verified=False).is_hidden(ahead)
