"""Synthetic blocks with known truth: strips over hills, a drone's errors, tie points with noise and lies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from flycam.geometry.camera import InteriorOrientation, LensModel, is_in_image, project
from flycam.geometry.pose import (
    CameraMotion,
    ExteriorOrientation,
    PoseSource,
    rotation_from_angle_axis,
    rotation_from_gimbal,
    to_mat3,
)
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.mosaic.adjustment.block import Block, BlockFrame, ControlPoint, TerrainPrior, Ties

WORK_CRS, DATUM = "EPSG:32648", "EGM96"
MIDDLE = np.array([400_000.0, 2_400_000.0])


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How a block is flown and measured; lengths in metres, angles in degrees, all noise 1-sigma."""

    strips: int = 5
    per_strip: int = 10
    cross_strips: int = 0
    height: float = 120.0
    relief: float = 120.0
    forward: float = 0.75
    side: float = 0.65
    stagger: float = 0.0
    ties_a_frame: int = 120
    dropped: float = 0.2
    sigma_px: float = 0.5
    shared_px: float = 0.0
    outliers: float = 0.0
    bias: tuple[float, float, float] = (0.8, -0.7, 0.9)
    noise_m: float = 0.5
    attitude_deg: float = 0.4
    yaw_deg: float = 0.5
    yaw_strip_deg: float = 0.6
    boresight_deg: float = 0.2
    focal_error: float = 0.0
    sigma_focal: float = 0.002
    dem_shift: tuple[float, float, float] = (2.0, -1.5, 1.0)
    dem_noise: float = 0.5
    canopy: float = 0.0
    sigma_m: tuple[float, float, float] = (1.5, 1.5, 1.5)
    sigma_deg: tuple[float, float, float] = (0.7, 0.7, 1.5)
    readout_s: float = 0.0
    speed: float = 9.0
    tilt_deg: float = 0.0
    model: LensModel = LensModel.BROWN
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Truth:
    """exteriors by frame number, the camera, and the ground points by track."""

    exteriors: list[ExteriorOrientation]
    interior: InteriorOrientation
    points: np.ndarray
    outlier: np.ndarray


def camera(scene: Scene) -> InteriorOrientation:
    """A wide camera of 1.3 megapixels."""
    distortion = {
        LensModel.BROWN: (-0.021, 0.0135, 0.00042, -0.00031, -0.0021),
        LensModel.FISHEYE: (0.03, -0.008, 0.002, -0.0004),
        LensModel.PINHOLE: (),
    }[scene.model]
    return InteriorOrientation(
        model=scene.model,
        image_size_px=(1320, 990),
        focal_length_px=(800.0, 800.0),
        principal_point_px=(665.4, 490.3),
        distortion=distortion,
        readout_s=scene.readout_s,
        calibration_id="test",
        sigma_focal_rel=scene.sigma_focal,
    )


def make_block(scene: Scene) -> tuple[Block, Truth]:
    """The block as measured, and the truth."""
    random = np.random.default_rng(scene.seed)
    interior = camera(scene)
    xy, heading, strip = _flight_lines(scene, interior)
    half = float(np.abs(xy).max()) + 2.0 * (scene.height + scene.relief)
    ground = hills(half, scene.relief, scene.seed)
    smooth = scene.height + np.array([float(interpolate_heights(ground, (p + MIDDLE)[None])[0]) for p in xy])
    smooth = smooth.mean() + scene.stagger * (smooth - smooth.mean())
    centres = np.column_stack([xy + MIDDLE, smooth]) + random.normal(size=(len(xy), 3)) * (0.9, 0.9, 0.5)
    wobble = np.radians(random.normal(size=(len(xy), 3)) * (1.2, 0.9, 0.6))
    pitch = -np.pi / 2 + np.radians(scene.tilt_deg)
    rotations = rotation_from_gimbal(heading + wobble[:, 0], pitch + wobble[:, 1], wobble[:, 2])
    velocity = scene.speed * np.column_stack([np.sin(heading), np.cos(heading), np.zeros(len(xy))])
    truth = [_exterior(c, r, (0.0,) * 3, (0.0,) * 3) for c, r in zip(centres, rotations, strict=True)]
    ties, points, wrong = _ties(scene, random, interior, truth, velocity, ground, half)
    frames = _measured(scene, random, interior, truth, velocity, strip)
    terrain = None
    if np.isfinite(scene.dem_noise):
        terrain = TerrainPrior(terrain=_dem(scene, random, ground), canopy_m=8.0 if scene.canopy else 0.0)
    exact = Truth(exteriors=truth, interior=interior, points=points, outlier=wrong)
    return Block(frames=frames, ties=ties, terrain=terrain), exact


def hills(half_m: float, relief_m: float, seed: int, post_m: float = 10.0) -> TerrainGrid:
    """Fractal hills around MIDDLE whose roughness does not depend on how far they reach."""
    size = 2 * int(np.ceil(half_m / post_m)) + 1
    random = np.random.default_rng([seed, 5])
    spectrum = np.fft.rfft2(random.normal(size=(size, size)))
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    wave = np.fft.irfft2(spectrum / (f + post_m / 600.0) ** 3.0, s=(size, size))
    heights = 150.0 + relief_m * (wave - wave.mean()) / (4.0 * wave.std())
    reach = post_m * (size - 1) / 2
    return TerrainGrid(
        heights_m=heights.astype(np.float32),
        origin_m=(MIDDLE[0] - reach, MIDDLE[1] + reach),
        post_spacing_m=(post_m, post_m),
        work_crs=WORK_CRS,
        vertical_datum=DATUM,
        dem_id=f"hills:{seed}",
    )


def errors_m(adjusted, truth: Truth) -> np.ndarray:
    """Errors n×3 of projection centres after removing the common shift."""
    found = np.array([f.exterior.projection_centre_m for f in adjusted.frames])
    error = found - np.array([e.projection_centre_m for e in truth.exteriors])
    return error - error.mean(axis=0)


def turn_errors_rad(adjusted, truth: Truth) -> np.ndarray:
    """Attitude errors n×3 about the camera's axes."""
    found = np.array([f.exterior.rotation for f in adjusted.frames])
    exact = np.array([e.rotation for e in truth.exteriors])
    relative = found @ exact.transpose(0, 2, 1)
    return np.stack([relative[:, 2, 1], relative[:, 0, 2], relative[:, 1, 0]], axis=-1)


def without_ties(ties: Ties, frames) -> Ties:
    """The ties without the observations of some frames, tracks renumbered."""
    return only(ties, ~np.isin(ties.frame, np.asarray(frames)))


def only(ties: Ties, keep: np.ndarray) -> Ties:
    """Some observations; tracks that are left with one go too."""
    count = np.bincount(ties.track[keep], minlength=ties.tracks)
    keep = keep & (count[ties.track] >= 2)
    _, track = np.unique(ties.track[keep], return_inverse=True)
    return Ties(
        frame=ties.frame[keep],
        track=track.astype(np.int32),
        uv_px=ties.uv_px[keep],
        sigma_px=ties.sigma_px[keep],
    )


def _flight_lines(scene: Scene, interior: InteriorOrientation):
    width, height = interior.image_size_px
    gsd = scene.height / interior.focal_length_px[0]
    base, apart = gsd * height * (1.0 - scene.forward), gsd * width * (1.0 - scene.side)
    along = (np.arange(scene.per_strip) - (scene.per_strip - 1) / 2) * base
    lines = []
    for s in range(scene.strips):
        north = along if s % 2 == 0 else -along
        east = np.full(scene.per_strip, (s - (scene.strips - 1) / 2) * apart)
        lines.append((np.column_stack([east, north]), 0.0 if s % 2 == 0 else np.pi))
    for s in range(scene.cross_strips):
        across = np.arange(-(scene.strips - 1) * apart / 2, (scene.strips - 1) * apart / 2 + 1.0, base)
        place = (s - (scene.cross_strips - 1) / 2) * (along[-1] - along[0]) / max(scene.cross_strips - 1, 1)
        lines.append((np.column_stack([across, np.full(len(across), place)]), np.pi / 2))
    xy = np.concatenate([line for line, _ in lines])
    heading = np.concatenate([np.full(len(line), h) for line, h in lines])
    strip = np.concatenate([np.full(len(line), k) for k, (line, _) in enumerate(lines)])
    return xy, heading, strip


def _ties(scene, random, interior, truth, velocity, ground, half):
    centres = np.array([e.projection_centre_m for e in truth])
    low, high = centres[:, :2].min(0) - scene.height, centres[:, :2].max(0) + scene.height
    footprint = np.prod(np.array(interior.image_size_px) * scene.height / interior.focal_length_px[0])
    density = scene.ties_a_frame / (footprint * (1.0 - scene.dropped))
    count = int(density * np.prod(high - low))
    xy = random.uniform(low, high, size=(count, 2))
    z = interpolate_heights(ground, xy)
    if scene.canopy:
        z = z + np.where(
            random.uniform(size=count) < 0.5, random.uniform(0.3, 1.0, count) * scene.canopy, 0.0
        )
    points = np.column_stack([xy, z])
    tree = cKDTree(xy)
    frame, point, uv = [], [], []
    reach = 1.6 * (scene.height + scene.relief) * (1.0 + abs(np.tan(np.radians(scene.tilt_deg))))
    for k, exterior in enumerate(truth):
        near = np.sort(np.array(tree.query_ball_point(centres[k, :2], reach), dtype=np.int64))
        image = _rolling_image(interior, exterior, points[near], velocity[k])
        keep = is_in_image(interior, image[:, 0], image[:, 1]) & (
            random.uniform(size=len(near)) > scene.dropped
        )
        frame.append(np.full(keep.sum(), k))
        point.append(near[keep])
        uv.append(image[keep])
    frame, point, uv = np.concatenate(frame), np.concatenate(point), np.concatenate(uv)
    uv = uv + random.normal(size=uv.shape) * scene.sigma_px + _shared(scene, frame, uv, len(truth))
    wrong = random.uniform(size=len(frame)) < scene.outliers
    uv[wrong] = random.uniform((0, 0), np.array(interior.image_size_px) - 1.0, size=(wrong.sum(), 2))
    many = np.bincount(point, minlength=count)[point] >= 2
    frame, point, uv, wrong = frame[many], point[many], uv[many], wrong[many]
    order = np.lexsort((frame, point))
    kept, track = np.unique(point[order], return_inverse=True)
    ties = Ties(
        frame=frame[order].astype(np.int32),
        track=track.astype(np.int32),
        uv_px=uv[order],
        sigma_px=np.full(len(order), scene.sigma_px),
    )
    return ties, points[kept], wrong[order]


def _shared(scene, frame, uv, count):
    """Errors N×2 that points of a photo share, of rows as they are read: the photo shook meanwhile."""
    row = uv[:, 1] / 990 * 2.0 - 1.0
    size = np.random.default_rng([scene.seed, 9]).normal(size=(count, 2, 3)) * scene.shared_px
    patterns = np.stack([row, 1.5 * row**2 - 0.5, np.sin(3.0 * row)], axis=1)
    return np.einsum("nik,nk->ni", size[frame], patterns)


def _rolling_image(interior, exterior, points, velocity):
    """Image points of a camera that moves while its rows are read out: the row is found by iteration."""
    uv, _ = project(interior, exterior, points)
    if not interior.readout_s:
        return uv
    for _ in range(6):
        after = interior.readout_s * ((uv[:, 1] + 0.5) / interior.image_size_px[1] - 0.5)
        uv, _ = project(interior, exterior, points - velocity * np.nan_to_num(after)[:, None])
    return uv


def _measured(scene, random, interior, truth, velocity, strip):
    boresight = np.radians(random.normal(size=3) * scene.boresight_deg)
    offsets = np.radians(random.normal(size=int(strip.max()) + 1) * scene.yaw_strip_deg)
    believed = replace(
        interior, focal_length_px=tuple(f * (1.0 + scene.focal_error) for f in interior.focal_length_px)
    )
    frames = []
    for k, exact in enumerate(truth):
        rotation = np.asarray(exact.rotation)
        turn = boresight + np.radians(
            random.normal(size=3) * (scene.attitude_deg, scene.attitude_deg, scene.yaw_deg)
        )
        turn = turn + offsets[strip[k]] * rotation[:, 2]
        centre = np.add(exact.projection_centre_m, scene.bias) + random.normal(size=3) * scene.noise_m
        prior = _exterior(
            centre,
            rotation_from_angle_axis(turn) @ rotation,
            scene.sigma_m,
            tuple(np.radians(scene.sigma_deg)),
        )
        frames.append(
            BlockFrame(
                frame_id=f"frame{k:05d}",
                source_name=f"DJI_{k + 1:04d}.JPG",
                camera="test",
                strip=int(strip[k]),
                captured_ns=int(k * 3e9),
                interior=believed,
                exterior=replace(
                    prior,
                    source=PoseSource.GNSS,
                    motion=CameraMotion(velocity_mps=tuple(velocity[k].tolist()))
                    if scene.readout_s
                    else None,
                ),
            )
        )
    return frames


def _dem(scene, random, ground):
    de, dn, dh = scene.dem_shift
    heights = ground.heights_m + random.normal(size=ground.heights_m.shape) * scene.dem_noise + dh
    return replace(
        ground,
        heights_m=heights.astype(np.float32),
        origin_m=(ground.origin_m[0] + de, ground.origin_m[1] + dn),
    )


def _exterior(centre, rotation, sigma_m, sigma_rad):
    u, _, vt = np.linalg.svd(np.asarray(rotation))
    return ExteriorOrientation(
        projection_centre_m=tuple(float(c) for c in centre),
        rotation=to_mat3(u @ vt),
        work_crs=WORK_CRS,
        vertical_datum=DATUM,
        grid_scale=0.9998,
        sigma_position_m=tuple(float(s) for s in sigma_m),
        sigma_attitude_rad=tuple(float(s) for s in sigma_rad),
        source=PoseSource.ADJUSTED,
    )


def with_control(
    block: Block, truth: Truth, count: int, *, check: int = 0, sigma_m=(0.02, 0.02, 0.03)
) -> Block:
    """Control points at tie points seen at least three times, the last `check` of them held out."""
    seen = np.bincount(block.ties.track, minlength=block.ties.tracks)
    xy = truth.points[:, :2] - truth.points[:, :2].mean(0)
    angle = np.arctan2(xy[:, 1], xy[:, 0])
    good = np.flatnonzero((seen >= 3) & (np.hypot(*xy.T) > 0.5 * np.hypot(*xy.T)[seen >= 3].max()))
    chosen = good[np.argsort(angle[good])][np.linspace(0, len(good) - 1, count).astype(int)]
    random = np.random.default_rng(7)
    control = []
    for k, track in enumerate(chosen):
        rows = block.ties.track == track
        frames = block.ties.frame[rows]
        control.append(
            ControlPoint(
                name=f"G{k + 1}",
                position_m=tuple(
                    float(v) for v in truth.points[track] + random.normal(size=3) * np.minimum(sigma_m, 0.1)
                ),
                sigma_m=sigma_m,
                frames=tuple(int(f) for f in frames),
                uv_px=block.ties.uv_px[rows] + random.normal(size=(len(frames), 2)) * 0.3,
                sigma_px=0.5,
                check=k >= count - check,
            )
        )
    return replace(block, control=control)


def without_motion(block: Block) -> Block:
    """The same block, its frames taken as made at one moment each."""
    frames = [replace(f, exterior=replace(f.exterior, motion=None)) for f in block.frames]
    return replace(block, frames=frames)


def with_two_cameras(block: Block) -> Block:
    """Every third frame under a key of its own."""
    frames = [replace(f, camera="second") if k % 3 == 0 else f for k, f in enumerate(block.frames)]
    return replace(block, frames=frames)
