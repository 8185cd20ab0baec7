"""Ground control from the field: axes, datum and marks are settled by evidence, and what was done is said."""

from __future__ import annotations

import numpy as np
import pytest

from flycam.errors import InputUnusable
from flycam.geodata.crs import to_lonlat, transform_points
from flycam.geodata.geoid import interpolate_undulation_m
from flycam.geometry.camera import InteriorOrientation, LensModel, project
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.geometry.terrain import TerrainGrid, make_flat_terrain
from flycam.mosaic.adjustment.block import BlockFrame
from flycam.mosaic.finish.control import resolve_ground_control

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
    grid = make_flat_terrain(
        GROUND, "EPSG:32648", "EGM96", (EAST - 1e4, NORTH - 1e4, EAST + 1e4, NORTH + 1e4)
    )
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
    settled = resolve_ground_control(listed(tmp_path, points()), frames(), terrain())
    assert not settled.notes
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
    settled = resolve_ground_control(listed(tmp_path, rows, crs), frames(), terrain())
    assert any("other way round" in str(sentence) for sentence in settled.notes)
    assert np.array([p.position_m for p in settled.points]) == pytest.approx(xyz, abs=0.02)


def test_ellipsoidal_heights_are_found_out(tmp_path):
    lonlat = to_lonlat(np.array(points())[:, :2], "EPSG:32648")
    rows = [
        (x, y, z + n)
        for (x, y, z), n in zip(points(), interpolate_undulation_m("EGM96", lonlat), strict=True)
    ]
    settled = resolve_ground_control(listed(tmp_path, rows), frames(), terrain())
    assert any("ELLIPSOID" in str(sentence) for sentence in settled.notes)
    assert [p.position_m[2] for p in settled.points] == pytest.approx([z for _, _, z in points()], abs=0.01)


def test_heights_that_fit_no_datum_hold_the_plane_only(tmp_path):
    rows = [(x, y, z + 400.0) for x, y, z in points()]
    settled = resolve_ground_control(listed(tmp_path, rows), frames(), terrain())
    assert all(np.isinf(p.sigma_m[2]) and np.isfinite(p.sigma_m[0]) for p in settled.points)
    assert any("not used" in str(sentence) for sentence in settled.notes)


def test_marks_on_absent_photos_and_outside_pictures_are_named(tmp_path):
    photos = ("DJI_0000.JPG", "DJI_0777.JPG")
    settled = resolve_ground_control(listed(tmp_path, points(), photos=photos), frames(), terrain())
    assert any("DJI_0777.JPG" in str(sentence) for sentence in settled.notes)
    assert all(p.frames == (0,) for p in settled.points)
    with pytest.raises(InputUnusable, match=r"gcp\.txt.*DJI_0777"):
        resolve_ground_control(listed(tmp_path, points(), photos=("DJI_0777.JPG",)), frames(), terrain())


def test_points_of_another_province_are_refused(tmp_path):
    rows = [(x + 90_000.0, y, z) for x, y, z in points()]
    with pytest.raises(InputUnusable, match="no point"):
        resolve_ground_control(listed(tmp_path, rows), frames(), terrain())
    settled = resolve_ground_control(listed(tmp_path, [*points(), rows[0]]), frames(), terrain())
    assert len(settled.points) == 3
    assert any("far from this flight" in str(sentence) for sentence in settled.notes)


def photographed(tmp_path, crs="EPSG:32648", *, scale=1.0, swapped=False, count=4, up=0.0):
    """A list of points where the photos show them, in a CRS; marks on pictures of another size."""
    lines = [crs]
    code = "EPSG:9208" if crs.startswith("VN") else crs
    for n in range(count):
        place = np.array([[EAST + 10.0 * n, NORTH + 12.0 * (n % 3 - 1), GROUND]])
        x, y = transform_points(to_lonlat(place[:, :2], "EPSG:32648"), "EPSG:4326", code)[0]
        if swapped:
            x, y = y, x
        for frame in frames()[:3]:
            uv, _ = project(frame.interior, frame.exterior, place)
            column, row = (uv[0] + 0.5) * scale
            lines.append(f"{x:.6f} {y:.6f} {GROUND + up:.3f} {column:.3f} {row:.3f} {frame.source_name} P{n}")
    path = tmp_path / "gcp.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_marks_made_on_pictures_of_another_size_are_refused(tmp_path):
    with pytest.raises(InputUnusable, match=r"gcp\.txt: .* 0\.50 times"):
        resolve_ground_control(photographed(tmp_path, scale=0.5), frames(), terrain())


@pytest.mark.parametrize(
    "header", ["EPSG:9208", "VN-2000 104°45'", "VN-2000 / TM-3 104-45", "VN2000 KTT 104,75"]
)
@pytest.mark.parametrize("swapped", [False, True])
def test_vn_2000_however_its_zone_is_written_and_its_axes_ordered(tmp_path, header, swapped):
    settled = resolve_ground_control(photographed(tmp_path, header, swapped=swapped), frames(), terrain())
    assert settled.points[1].position_m == pytest.approx((EAST + 10.0, NORTH, GROUND), abs=1e-3)
    assert any("other way round" in str(one) for one in settled.notes) == swapped


def test_one_or_two_points_hold_the_block_and_it_is_said_what_they_cannot(tmp_path):
    for count in (1, 2):
        settled = resolve_ground_control(photographed(tmp_path, count=count), frames(), terrain())
        assert len(settled.points) == count
        (doubt,) = settled.doubts
        assert doubt.values["count"] == count and doubt in settled.notes


def test_heights_of_the_other_geoid_are_named(tmp_path):
    """EGM96 and EGM2008 differ by 1.0 m here: within what a terrain model is off, so nothing is converted."""
    lonlat = to_lonlat(np.array([[EAST, NORTH]]), "EPSG:32648")
    apart = float(
        (interpolate_undulation_m("EGM96", lonlat) - interpolate_undulation_m("EGM2008", lonlat))[0]
    )
    settled = resolve_ground_control(photographed(tmp_path, up=apart - 0.3), frames(), terrain())
    (doubt,) = settled.doubts
    assert "1.3 m below" in str(doubt) and "EGM2008" in str(doubt) and "0.3 m from it" in str(doubt)


def test_a_list_whose_system_is_reached_to_metres_only_is_said_and_makes_the_block_no_surer(tmp_path):
    plane = np.array([point[:2] for point in points()])
    indian = transform_points(plane, "EPSG:32648", "EPSG:3148")
    moved = [(x, y, z) for (x, y), (_, _, z) in zip(indian.tolist(), points(), strict=True)]
    settled = resolve_ground_control(listed(tmp_path, moved, crs="EPSG:3148"), frames(), terrain())
    assert settled.crs_sigma_m == 44.0
    assert any("44 m" in str(one) for one in settled.doubts)
    exact = resolve_ground_control(listed(tmp_path, points()), frames(), terrain())
    assert exact.crs_sigma_m == 0.0 and len(exact.doubts) == len(settled.doubts) - 1
