"""Real frames with published exact poses: no drawing of ours can flatter us here."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import rasterio
import yaml

from flycam.geometry.camera import InteriorOrientation, LensModel, compute_image_rays, project
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import PlanarMap, TileRange, compute_grid_pixel_m, find_range_for_bounds
from flycam.geometry.orthorectification import MAX_LATTICE_ERROR_PX, orthorectify
from flycam.geometry.pose import rotation_from_angle_axis, rotation_from_body, rotation_from_opk, to_mat3
from flycam.geometry.terrain import cast_rays
from tests.geometry.published import odm_camera, read_dem, read_opk

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),  # the frames are raw
]


@pytest.fixture(scope="module")
def ngi(shared_data):
    folder = shared_data / "poses" / "ngi_aerial_mountains"
    spec = next(iter(yaml.safe_load((folder / "ngi_int_param.yaml").read_text()).values()))
    width, height = spec["im_size"]
    focal = spec["focal_len"] / spec["sensor_size"][0] * width
    interior = InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=(width, height),
        focal_length_px=(focal, focal),
        principal_point_px=((width - 1) / 2, (height - 1) / 2),
        calibration_id="published",
    )
    poses = dict(read_opk(folder / "ngi_xyz_opk.csv"))
    return folder, interior, poses, read_dem(folder / "dem.tif")


@pytest.fixture(scope="module")
def odm(shared_data):
    folder = shared_data / "poses" / "odm_drone_oblique"
    interior = odm_camera(folder)
    poses = dict(read_opk(folder / "odm_xyz_opk.csv"))
    return folder, interior, poses, read_dem(folder / "dsm.tif")


def collinearity(interior, exterior_xyz, opk_deg, points):
    """The textbook's collinearity equations, written out without any of flycam's code."""
    o, p, k = np.radians(opk_deg)
    rx = np.array([[1, 0, 0], [0, np.cos(o), -np.sin(o)], [0, np.sin(o), np.cos(o)]])
    ry = np.array([[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]])
    rz = np.array([[np.cos(k), -np.sin(k), 0], [np.sin(k), np.cos(k), 0], [0, 0, 1]])
    c = (points - exterior_xyz) @ (rx @ ry @ rz)
    x, y = -c[:, 0] / c[:, 2], c[:, 1] / c[:, 2]
    d = np.array(interior.distortion) if interior.distortion else np.zeros(5)
    fx, fy = interior.focal_length_px
    cx, cy = interior.principal_point_px
    camera_matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return cv2.projectPoints(
        np.column_stack([x, y, np.ones_like(x)]), np.zeros(3), np.zeros(3), camera_matrix, d
    )[0][:, 0]


@pytest.mark.parametrize("flight", ["ngi", "odm"])
def test_world_to_pixel_against_the_published_poses(flight, request):
    folder, interior, poses, dem = request.getfixturevalue(flight)
    table = {"ngi": "ngi_xyz_opk.csv", "odm": "odm_xyz_opk.csv"}[flight]
    rows = {}
    with (folder / table).open() as f:
        lines = [line.replace("'", "").replace(",", " ").split() for line in f][1:]
    for name, *numbers in lines:
        rows[name] = np.array([float(v) for v in numbers[:6]])
    w, h = interior.image_size_px
    uv = np.stack(np.meshgrid(np.linspace(0, w - 1, 21), np.linspace(0, h - 1, 21)), -1).reshape(-1, 2)
    worst = 0.0
    for name, exterior in poses.items():
        ground = cast_rays(
            dem, np.array(exterior.projection_centre_m), compute_image_rays(interior, exterior, uv)
        )
        known = np.isfinite(ground[:, 0])
        assert known.mean() > 0.5
        again, _ = project(interior, exterior, ground[known])
        textbook = collinearity(interior, rows[name][:3], rows[name][3:], ground[known])
        worst = max(worst, np.abs(again - textbook).max(), np.abs(again - uv[known]).max())
    print(f"{flight}: world to pixel, worst of {len(poses)} frames {worst:.2e} px")
    assert worst <= 0.05


def test_the_same_pose_in_three_notations(odm):
    """OpenSfM's angle-axis and the opk table are the same adjusted pose; lla+rpy is the prior, 1-3° off."""
    folder, _, poses, _ = odm
    shots = json.loads((folder / "reconstruction.json").read_text())[0]["shots"]
    for name, shot in shots.items():
        ours = np.array(poses[name].rotation)
        sfm = rotation_from_angle_axis(shot["rotation"])
        assert np.degrees(np.arccos((np.trace(sfm @ ours.T) - 1) / 2)) < 0.02
    with (folder / "odm_lla_rpy.csv").open() as f:
        rows = [line.split() for line in f][1:]
    for name, _lat, _lon, _alt, roll, pitch, yaw, *_ in rows:
        prior = rotation_from_body(*np.radians([float(yaw), float(pitch), float(roll)]))
        ours = np.array(poses[name.removesuffix(".tif")].rotation)
        assert np.degrees(np.arccos((np.trace(prior @ ours.T) - 1) / 2)) < 4.0


def plane_map(dem) -> tuple[PlanarMap, tuple[float, float]]:
    """A shift that lays the poses' plane around the origin of the tile grid: any plane can be rectified."""
    west, south, east, north = dem.bounds_m
    cx, cy = (west + east) / 2, (south + north) / 2
    half = max(east - west, north - south)
    c = np.zeros((2, 2, 2))
    c[0, 0, 0], c[0, 1, 0] = cx, half
    c[1, 0, 0], c[1, 0, 1] = cy, half
    return PlanarMap(bounds=(-half, -half, half, half), coefficients=c, residual_m=0.0), (cx, cy)


def orthos(flight, gsd_m):
    folder, interior, poses, dem = flight
    to_work, (cx, cy) = plane_map(dem)
    z = round(np.log2(compute_grid_pixel_m(0) / gsd_m))
    west, south, east, north = dem.bounds_m
    tiles: TileRange = find_range_for_bounds(z, (west - cx, south - cy, east - cx, north - cy))
    for name, exterior in sorted(poses.items()):
        with rasterio.open(folder / f"{name}.tif") as source:
            pixels = np.ascontiguousarray(np.moveaxis(source.read([1, 2, 3]), 0, -1).astype(np.uint8))
        yield (
            name,
            orthorectify(pixels, FrameView(interior, exterior, dem, to_work), tiles),
            compute_grid_pixel_m(z),
        )


def displacements(a, b, window=64, step=48):
    """Shifts (pixels of the ortho) between two orthos by phase correlation of windows that both fill."""
    grey = [cv2.cvtColor(r.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) for r in (a, b)]
    both = ((a.quality > 0) & (b.quality > 0)).astype(np.uint8)
    hann = cv2.createHanningWindow((window, window), cv2.CV_32F)
    shifts = []
    for r in range(0, both.shape[0] - window, step):
        for c in range(0, both.shape[1] - window, step):
            if both[r : r + window, c : c + window].all():
                pair = [g[r : r + window, c : c + window].copy() for g in grey]
                if min(p.std() for p in pair) < 4.0:
                    continue
                shift, response = cv2.phaseCorrelate(*[p - p.mean() for p in pair], hann)
                if response > 0.25:
                    shifts.append(shift)
    return np.array(shifts)


@pytest.mark.parametrize(("flight", "gsd_m"), [("ngi", 5.0), ("odm", 0.2)])
def test_overlapping_orthos_agree(flight, gsd_m, request):
    data = request.getfixturevalue(flight)
    made = list(orthos(data, gsd_m))
    source_gsd = gsd_m_of(data)
    all_shifts = []
    for i, (_, a, pixel) in enumerate(made):
        assert a.lattice_error_px <= MAX_LATTICE_ERROR_PX
        for _, b, _ in made[i + 1 :]:
            shifts = displacements(a, b)
            if len(shifts):
                all_shifts.append(np.hypot(*shifts.T) * pixel / source_gsd)
    distances = np.concatenate(all_shifts)
    print(
        f"{flight}: {len(distances)} windows, {len(all_shifts)} pairs, source px: "
        f"median {np.median(distances):.2f}, p95 {np.percentile(distances, 95):.2f}"
    )
    assert len(distances) >= 30
    assert np.median(distances) <= 2.0


def gsd_m_of(data):
    """Median size of a source pixel on the ground."""
    _, interior, poses, dem = data
    c = np.array([p.projection_centre_m for p in poses.values()])
    ground = float(np.nanmedian(dem.heights_m))
    return float((c[:, 2].mean() - ground) / interior.focal_length_px[0])


def test_a_wrong_pose_would_be_seen(odm):
    """The measure of agreement is able to fail: turn one frame by a degree and it does."""
    folder, interior, poses, dem = odm
    name, other = sorted(poses)[:2]
    turned = replace(
        poses[name],
        rotation=to_mat3(
            rotation_from_opk(0, np.radians(1.5), 0) @ np.diag([1, -1, -1]) @ poses[name].rotation
        ),
    )
    data = (folder, interior, {name: turned, other: poses[other]}, dem)
    (_, a, pixel), (_, b, _) = orthos(data, 0.2)
    shifts = displacements(a, b)
    moved = np.hypot(*shifts.T) * pixel / gsd_m_of(odm) if len(shifts) else np.array([99.0])
    assert np.median(moved) > 4.0
