"""Small drill flights as blocks, without a pixel: an instrument's errors, ties from truth and noise.

World, flight, instruments and terrain model are the drill's own; what is left out is the photos. A tie point
is a place of the true surface (roofs and crowns too) that frames see without anything in between, measured
with noise, some of it wrong. The sigmas are those that ingest gives a drill's photos. Thirty flights take
minutes, so that the sigma of the common shift, one number a flight, can be held against what it claims.

An aircraft that states no accuracy is believed as ingest believes any consumer drone, and a terrain model as
any world-wide one; the drill's are better than that. `as_claimed` flies with instruments and a terrain model
that say how good they are and err by draws from just that: a test of the covariance, not of the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flycam.drill.flight import (
    Exposure,
    FlightPlan,
    compute_block_bounds,
    make_drill_camera,
    simulate_flight,
    simulate_measurements,
)
from flycam.drill.land import VERTICAL_DATUM, WORK_CRS, CellWindow, Valley
from flycam.drill.scene_objects import TerrainErrorModel, draw_typical_error, make_terrain_model
from flycam.drill.world import build_drill_world
from flycam.geodata.crs import compute_convergence_and_scale, to_work
from flycam.geometry.camera import InteriorOrientation, compute_image_rays, is_in_image, project
from flycam.geometry.expected_error import compute_expected_error
from flycam.geometry.pose import ExteriorOrientation, PoseSource, rotation_from_gimbal, to_mat3
from flycam.geometry.terrain import TerrainGrid, cast_rays, interpolate_heights
from flycam.mosaic.adjustment.block import Adjustment, Block, BlockFrame, TerrainPrior, Ties
from flycam.mosaic.adjustment.bundle_adjustment import adjust_block
from flycam.mosaic.finish.report import assign_strips

SIZE_PX, GSD_M = (660, 495), 0.3
STRIPS, PER_STRIP = 3, 6
DEM_SHIFT_M, YAW_STEP_DEG = 3.0, 0.8
SEEN_A_FRAME = 150
_WORLD_CELL_M, _DEM_MARGIN_M = 0.75, 250.0
_TIE_PX, _CLAIMED_PX, _WRONG = 0.3, 0.5, 0.02
_SAME_PLACE_M = 0.3
_RIM_PX = 20.0
# what `flycam ingest` gives a drill: metres, and degrees about the camera's axes
_SIGMA_M, _SIGMA_DEG = (1.5, 1.5, 8.0), (0.7, 0.7, 1.5)
_SIGMA_FOCAL = 0.002
# as_claimed: the drill's bias of 0.8 m and noise of 0.5 m are ± 0.94 m an axis; a height's zero is worse
_CLAIMED_M = (0.943, 0.943, 8.0)
# of those 8 m the adjustment takes a barometer's 2 m as scatter, half of it noise of a frame: 1.0 m, of which
# the drill has 0.5; the rest is the zero's, of which the drill has 0.8 and the terrain at take-off its own
_SCATTER_M = (1.0**2 - 0.5**2) ** 0.5
_ZERO_M = (8.0**2 - 1.0**2 - 0.8**2 - DEM_SHIFT_M**2 / 3.0 - (DEM_SHIFT_M / 3.0) ** 2) ** 0.5
_DEM_AXIS_M, _DEM_LOCAL_M = DEM_SHIFT_M / 3.0**0.5, DEM_SHIFT_M / 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of one flight: errors over their predicted sigmas.

    frames  n×3, of projection centres, their common shift taken out; shift 3, of the ground's common shift
            in plan, and of the centres' in height
    error_m, sigma_m   n×3, the frames' own
    shift_m 3
    ground  N: distances on level ground between where true and adjusted rays of the same pixels meet it, over
            the sigma that `compute_expected_error` gives the poses alone; the common shift (median) taken out
    """

    frames: np.ndarray
    shift: np.ndarray
    error_m: np.ndarray
    sigma_m: np.ndarray
    shift_m: np.ndarray
    ground: np.ndarray


def agreement(block: Block, adjustment: Adjustment, true: Sequence[ExteriorOrientation]) -> Agreement:
    """Hold an adjustment of a block against its true poses."""
    truth = np.array([one.projection_centre_m for one in true])
    centres = np.array([f.exterior.projection_centre_m for f in adjustment.frames])
    sigma = np.array([f.exterior.sigma_position_m for f in adjustment.frames])
    shift = (centres - truth).mean(axis=0)
    error = centres - truth - shift
    ground, ground_shift = _on_the_ground(block, adjustment, true, shift)
    shift = np.array([*ground_shift, shift[2]])
    return Agreement(
        frames=error / sigma,
        shift=shift / np.array(adjustment.accuracy.shift_sigma_m),
        error_m=error,
        sigma_m=sigma,
        shift_m=shift,
        ground=ground,
    )


def _on_the_ground(
    block: Block, adjustment: Adjustment, true: Sequence[ExteriorOrientation], shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Agreement.ground, and the common shift (east, north) taken out of it: pixels all over each picture,
    ground a flying height under each camera."""
    camera = make_drill_camera(SIZE_PX)
    u, v = np.meshgrid(*(np.linspace(_RIM_PX, size - _RIM_PX, 6) for size in SIZE_PX))
    uv = np.stack([u.ravel(), v.ravel()], axis=-1)
    below = GSD_M * camera.focal_length_px[0]
    error, sigma = [], []
    for k, (frame, one) in enumerate(zip(adjustment.frames, true, strict=True)):
        level = one.projection_centre_m[2] - below
        interior = adjustment.interiors[block.frames[k].camera]
        here = _met(one, compute_image_rays(camera, one, uv), level)
        there = _met(frame.exterior, compute_image_rays(interior, frame.exterior, uv), level + shift[2])
        error.append((there - here)[:, :2])
        up = np.broadcast_to([0.0, 0.0, 1.0], there.shape)
        covariance = adjustment.frame_covariance[k]
        sigma.append(compute_expected_error(frame.exterior, there, up, np.zeros(len(there)), covariance))
    every = np.concatenate(error)
    common = np.median(every, axis=0)
    return np.hypot(*(every - common).T) / np.concatenate(sigma), common


def _met(exterior: ExteriorOrientation, rays: np.ndarray, level_m: float) -> np.ndarray:
    """Where rays meet level ground, N×3."""
    centre = np.array(exterior.projection_centre_m)
    return centre + rays * ((level_m - centre[2]) / rays[:, 2])[:, None]


def fly_and_adjust(
    seed: int,
    relief_m: float,
    dem_post_m: float,
    *,
    shape: tuple[int, int] = (STRIPS, PER_STRIP),
    as_claimed: bool = False,
) -> Agreement | None:
    """One flight; None where the priors were kept."""
    block, true = drill_block(seed, relief_m, dem_post_m, shape=shape, as_claimed=as_claimed)
    adjustment = adjust_block(block)
    return agreement(block, adjustment, true) if adjustment.accepted else None


def drill_block(
    seed: int,
    relief_m: float,
    dem_post_m: float,
    *,
    shape: tuple[int, int] = (STRIPS, PER_STRIP),
    as_claimed: bool = False,
) -> tuple[Block, list[ExteriorOrientation]]:
    """The block of a flight of (strips, photos in each), and its true poses."""
    valley, camera = Valley(seed=seed, relief_m=relief_m), make_drill_camera(SIZE_PX)
    strips, per_strip = shape
    plan = FlightPlan(strips=strips, per_strip=per_strip, gsd_m=GSD_M)
    exposures = simulate_flight(valley, plan, camera, seed, after=False)
    bounds = compute_block_bounds(valley, exposures, camera)
    world = build_drill_world(bounds, _WORLD_CELL_M, seed=seed, relief_m=relief_m)
    top = _grid(world.window, world.surface_m, "truth")
    west, south, east, north = bounds
    wide = (west - _DEM_MARGIN_M, south - _DEM_MARGIN_M, east + _DEM_MARGIN_M, north + _DEM_MARGIN_M)
    error = _claimed_error(seed) if as_claimed else draw_typical_error(seed, DEM_SHIFT_M)
    dem = _grid(*make_terrain_model(valley, wide, dem_post_m, error), "dem")
    bare = _grid(*make_terrain_model(valley, wide, dem_post_m), "bare")
    frames, prior = _measured(exposures, camera, seed, dem, bare), TerrainPrior(terrain=dem)
    if as_claimed:
        frames = _stating(frames, np.random.default_rng([seed, 99]))
        prior = replace(prior, sigma_height_m=_DEM_LOCAL_M, sigma_shift_m=(_DEM_AXIS_M,) * 3)
    block = Block(
        frames=frames,
        ties=_ties(exposures, camera, top, np.random.default_rng([seed, 71])),
        terrain=prior,
    )
    return block, [e.exterior for e in exposures]


def _claimed_error(seed: int) -> TerrainErrorModel:
    """A shift drawn axis by axis, of the drill's size on the average."""
    east, north, up = np.random.default_rng([seed, 31, 2]).normal(size=3) * _DEM_AXIS_M
    return TerrainErrorModel(shift_m=(float(east), float(north), float(up)), sigma_m=_DEM_LOCAL_M)


def _stating(frames: list[BlockFrame], random: np.random.Generator) -> list[BlockFrame]:
    """The frames with their instruments' sigmas; zero and scatter of heights are as wrong as those say."""
    zero = float(random.normal() * _ZERO_M)
    scatter = random.normal(size=len(frames)) * _SCATTER_M
    stated = []
    for frame, noise in zip(frames, scatter, strict=True):
        east, north, up = frame.exterior.projection_centre_m
        exterior = replace(
            frame.exterior,
            projection_centre_m=(east, north, up + zero + float(noise)),
            sigma_position_m=_CLAIMED_M,
        )
        stated.append(replace(frame, exterior=exterior))
    return stated


def _measured(
    exposures: list[Exposure], camera: InteriorOrientation, seed: int, dem: TerrainGrid, bare: TerrainGrid
) -> list[BlockFrame]:
    """The frames as ingest believes them: heights hang on the terrain model at the take-off."""
    takeoff = np.mean([e.exterior.projection_centre_m[:2] for e in exposures], axis=0)[None]
    true_m, told_m = float(interpolate_heights(bare, takeoff)[0]), float(interpolate_heights(dem, takeoff)[0])
    told = simulate_measurements(exposures, true_m, seed, False, 1.0, YAW_STEP_DEG)
    lonlat = np.array([(m.lon_deg, m.lat_deg) for m in told])
    places = np.column_stack([to_work(lonlat, WORK_CRS), [told_m + m.relative_m for m in told]])
    times = [int(e.seconds * 1e9) for e in exposures]
    strips = assign_strips(times, places)
    believed = replace(camera, sigma_focal_rel=_SIGMA_FOCAL, calibration_id="bench")
    frames = []
    for number, (one, place) in enumerate(zip(told, places, strict=True)):
        convergence, scale = compute_convergence_and_scale(WORK_CRS, one.lon_deg, one.lat_deg)
        angles = np.radians([one.yaw_deg, one.pitch_deg, one.roll_deg])
        exterior = ExteriorOrientation(
            projection_centre_m=(float(place[0]), float(place[1]), float(place[2])),
            rotation=to_mat3(rotation_from_gimbal(*angles, convergence)),
            work_crs=WORK_CRS,
            vertical_datum=VERTICAL_DATUM,
            grid_scale=scale,
            sigma_position_m=_SIGMA_M,
            sigma_attitude_rad=tuple(np.radians(_SIGMA_DEG)),
            source=PoseSource.GNSS,
            height_on_terrain=True,
        )
        frames.append(
            BlockFrame(
                frame_id=f"{number:05d}",
                source_name=f"DJI_{number + 1:04d}.JPG",
                camera="drill",
                strip=strips[number],
                captured_ns=times[number],
                interior=believed,
                exterior=exterior,
            )
        )
    return frames


def _ties(
    exposures: list[Exposure], camera: InteriorOrientation, top: TerrainGrid, random: np.random.Generator
) -> Ties:
    """Places that frames look at, seen by all frames that have a clear line to them."""
    size = np.array(camera.image_size_px, dtype=np.float64)
    count = SEEN_A_FRAME // 3  # each is seen by several frames
    uv = random.uniform((5.0, 5.0), size - 6.0, size=(len(exposures), count, 2))
    points = np.concatenate(
        [
            cast_rays(
                top, np.array(e.exterior.projection_centre_m), compute_image_rays(camera, e.exterior, at)
            )
            for e, at in zip(exposures, uv, strict=True)
        ]
    )
    points = points[np.isfinite(points).all(axis=1)]
    frame, track, seen_at = [], [], []
    for number, exposure in enumerate(exposures):
        image, _ = project(camera, exposure.exterior, points)
        inside = np.flatnonzero(is_in_image(camera, image[:, 0], image[:, 1]))
        rays = compute_image_rays(camera, exposure.exterior, image[inside])
        hits = cast_rays(top, np.array(exposure.exterior.projection_centre_m), rays)
        clear = inside[np.linalg.norm(hits - points[inside], axis=1) < _SAME_PLACE_M]
        frame.append(np.full(len(clear), number))
        track.append(clear)
        seen_at.append(image[clear])
    frames, tracks, places = np.concatenate(frame), np.concatenate(track), np.concatenate(seen_at)
    places += random.normal(size=places.shape) * _TIE_PX
    wrong = random.uniform(size=len(places)) < _WRONG
    places[wrong] += random.normal(size=(int(wrong.sum()), 2)) * 20.0
    many = np.bincount(tracks, minlength=len(points))[tracks] >= 2
    frames, tracks, places = frames[many], tracks[many], places[many]
    order = np.lexsort((frames, tracks))
    return Ties(
        frame=frames[order].astype(np.int32),
        track=np.unique(tracks[order], return_inverse=True)[1].astype(np.int32),
        uv_px=places[order],
        sigma_px=np.full(len(order), _CLAIMED_PX),
    )


def _grid(window: CellWindow, heights: np.ndarray, name: str) -> TerrainGrid:
    # cells are centred on posts at whole multiples of the cell
    return TerrainGrid(
        heights_m=np.asarray(heights, np.float32),
        origin_m=(window.west_cell * window.cell_m, window.north_cell * window.cell_m),
        post_spacing_m=(window.cell_m, window.cell_m),
        work_crs=WORK_CRS,
        vertical_datum=VERTICAL_DATUM,
        dem_id=name,
    )
