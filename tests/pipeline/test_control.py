"""Ground control from the field: axes, datum and marks are settled by evidence, and what was done is said."""

from __future__ import annotations

import numpy as np
import pytest

from flycam.adjust.block import BlockFrame
from flycam.errors import InputUnusable
from flycam.geodata.crs import to_lonlat
from flycam.geodata.geoid import undulation_m
from flycam.geometry.exterior import ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.terrain import TerrainGrid, flat_terrain
from flycam.pipeline.control import ground_control

EAST, NORTH, GROUND = 400_000.0, 2_400_000.0, 500.0


def frames(count=4):
    interior = InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=(800, 600),
        focal_length_px=(600.0, 600.0),
        principal_point_px=(399.5, 299.5),
        calibration_id="test",
    )
    return [
        BlockFrame(
            frame_id=f"{k}",
            source_name=f"DJI_{k:04d}.JPG",
            camera="c",
            strip=0,
            captured_ns=k,
            interior=interior,
            exterior=ExteriorOrientation(
                projection_centre_m=(EAST + 20.0 * k, NORTH, GROUND + 100.0),
                rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
                work_crs="EPSG:32648",
                vertical_datum="EGM96",
                sigma_position_m=(1.0, 1.0, 1.0),
                sigma_attitude_rad=(0.01, 0.01, 0.01),
                source=PoseSource.GNSS,
            ),
        )
        for k in range(count)
    ]


def terrain(dem_id="dem"):
    grid = flat_terrain(GROUND, "EPSG:32648", "EGM96", (EAST - 1e4, NORTH - 1e4, EAST + 1e4, NORTH + 1e4))
    return TerrainGrid(
        heights_m=grid.heights_m,
        origin_m=grid.origin_m,
        post_spacing_m=grid.post_spacing_m,
        work_crs=grid.work_crs,
        vertical_datum=grid.vertical_datum,
        dem_id=dem_id,
    )


def listed(tmp_path, points, crs="EPSG:32648", photos=("DJI_0000.JPG", "dji_0001.jpg")):
    path = tmp_path / "gcp.txt"
    lines = [
        f"{x} {y} {z} {100 + 10 * k} 200 {photo} P{n}"
        for n, (x, y, z) in enumerate(points)
        for k, photo in enumerate(photos)
    ]
    path.write_text("\n".join([crs, *lines]), encoding="utf-8")
    return path


def points(count=3):
    return [(EAST + 10.0 * k, NORTH + 5.0 * k, GROUND + 0.5 * k) for k in range(count)]


def test_points_in_the_work_crs_stay_where_they_are(tmp_path):
    settled = ground_control(listed(tmp_path, points()), frames(), terrain())
    assert not settled.said
    assert [p.name for p in settled.points] == ["P0", "P1", "P2"]
    for point, truth in zip(settled.points, points(), strict=True):
        assert point.position_m == pytest.approx(truth)
        assert np.isfinite(point.sigma_m).all()
        assert point.frames == (0, 1)
        assert point.uv_px[0] == pytest.approx([99.5, 199.5])


@pytest.mark.parametrize("geographic", [True, False])
def test_swapped_axes_are_seen_and_said(tmp_path, geographic):
    xyz = np.array(points())
    plane = to_lonlat(xyz[:, :2], "EPSG:32648") if geographic else xyz[:, :2]
    rows = [(y, x, z) for (x, y), z in zip(plane.tolist(), xyz[:, 2], strict=True)]
    crs = "EPSG:4326" if geographic else "EPSG:32648"
    settled = ground_control(listed(tmp_path, rows, crs), frames(), terrain())
    assert any("other way round" in sentence for sentence in settled.said)
    assert np.array([p.position_m for p in settled.points]) == pytest.approx(xyz, abs=0.02)


def test_ellipsoidal_heights_are_found_out(tmp_path):
    lonlat = to_lonlat(np.array(points())[:, :2], "EPSG:32648")
    rows = [(x, y, z + n) for (x, y, z), n in zip(points(), undulation_m("EGM96", lonlat), strict=True)]
    settled = ground_control(listed(tmp_path, rows), frames(), terrain())
    assert any("ELLIPSOID" in sentence for sentence in settled.said)
    assert [p.position_m[2] for p in settled.points] == pytest.approx([z for _, _, z in points()], abs=0.01)


def test_heights_that_fit_no_datum_hold_the_plane_only(tmp_path):
    rows = [(x, y, z + 400.0) for x, y, z in points()]
    settled = ground_control(listed(tmp_path, rows), frames(), terrain())
    assert all(np.isinf(p.sigma_m[2]) and np.isfinite(p.sigma_m[0]) for p in settled.points)
    assert any("not used" in sentence for sentence in settled.said)


def test_without_terrain_heights_are_not_used(tmp_path):
    for ground in (None, terrain("flat:500")):
        settled = ground_control(listed(tmp_path, points()), frames(), ground)
        assert all(np.isinf(p.sigma_m[2]) for p in settled.points)


def test_marks_on_absent_photos_and_outside_pictures_are_named(tmp_path):
    photos = ("DJI_0000.JPG", "DJI_0777.JPG")
    settled = ground_control(listed(tmp_path, points(), photos=photos), frames(), terrain())
    assert any("DJI_0777.JPG" in sentence for sentence in settled.said)
    assert all(p.frames == (0,) for p in settled.points)
    with pytest.raises(InputUnusable, match=r"gcp\.txt.*DJI_0777"):
        ground_control(listed(tmp_path, points(), photos=("DJI_0777.JPG",)), frames(), terrain())


def test_points_of_another_province_are_refused(tmp_path):
    rows = [(x + 90_000.0, y, z) for x, y, z in points()]
    with pytest.raises(InputUnusable, match="no point lies within"):
        ground_control(listed(tmp_path, rows), frames(), terrain())
    settled = ground_control(listed(tmp_path, [*points(), rows[0]]), frames(), terrain())
    assert len(settled.points) == 3
    assert any("far from this flight" in sentence for sentence in settled.said)


def test_every_fifth_of_many_is_a_check_point(tmp_path):
    settled = ground_control(listed(tmp_path, points(12)), frames(), terrain())
    assert sum(p.check for p in settled.points) == 2
