"""Before and after from straight above, as two finished flights would show them, with the truth beside.

A whole drill flight takes minutes to fly, lay and finish. Changes are judged over square kilometres and
dozens of seeds, so here the world's orthophoto is spoilt by what a flight leaves in its mosaic: haze,
shadows of clouds, glint of the sun on water, exposure and white balance, noise and blur, what is left of a
misregistration, and the lean of trees and roofs away from whichever photo shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.appearance import (
    PLAIN_APPEARANCE,
    Appearance,
    CameraResponse,
    DateChanges,
    draw_date_changes,
)
from flycam.drill.land import Bounds, CellWindow, LandCover, Singles, Valley, generate_smooth_noise, hash_unit
from flycam.drill.rendering import ENCODED, HAZE_COLOUR, LINEAR
from flycam.drill.scene_objects import draw_typical_error, make_terrain_model
from flycam.drill.world import DrillWorld, build_drill_world

_DEM_POST_M = 10.0
_DEM_ERROR_M = 3.0
_CLOUD_COLOUR = np.array([1.0, 0.97, 0.90], np.float32)
_CLOUD_SEEN = 0.3
_GLINT_SEEN = 0.25
_PHOTO_M = 45.0
_UNEVEN = 0.04
_MOST_LEAN_M = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Air:
    """How one date was photographed.

    haze        share of the light that haze gives, on average
    clouds      0 to 1, how much of the light their shadows take
    glint       linear radiance that the sun adds on water, where it does
    gain        exposure and white balance, factors of red, green, blue
    uneven      1-sigma of how they differ from photo to photo
    noise_dn    1-sigma of the sensor, 0-255
    blur_px     1-sigma
    shift_px    1-sigma of what a registration left, pixels
    lean        tangent of the angle from which the photos at the seams look
    holes       share of the ground that no photo shows
    """

    haze: float = 0.0
    clouds: float = 0.0
    glint: float = 0.0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    uneven: float = 0.0
    noise_dn: float = 0.0
    blur_px: float = 0.0
    shift_px: float = 0.0
    lean: float = 0.0
    holes: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TopView:
    """One date: rgb H×W×3 uint8; seen bool H×W; clouded, glinting bool H×W: where that shows."""

    rgb: NDArray[np.uint8]
    seen: NDArray[np.bool_]
    clouded: NDArray[np.bool_]
    glinting: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewPair:
    """Two dates of one place on one grid of `window`, and the truth; all arrays H×W of it.

    heights_m  float32: what a 10 m terrain model from before the storm says, metres
    change     uint8: 1 landslide, 2 flood; confuser: Confuser numbers
    old_water  bool: the river showed there before
    """

    seed: int
    window: CellWindow
    before: TopView
    after: TopView
    heights_m: Singles
    change: NDArray[np.uint8]
    confuser: NDArray[np.uint8]
    old_water: NDArray[np.bool_]


def drawn_air(seed: int, *, first: bool) -> Air:
    """One of the many ways in which a flight comes out, drawn by the seed; `first`: the registered one."""
    draw = np.random.default_rng([seed, 83 if first else 84])
    exposure, warm = draw.uniform(0.78, 1.25), draw.normal(0.0, 0.03)
    return Air(
        haze=draw.uniform(0.0, 0.28),
        clouds=draw.uniform(0.3, 0.75) if draw.random() < 0.6 else 0.0,
        glint=draw.uniform(0.2, 0.7) if draw.random() < 0.6 else 0.0,
        gain=(exposure * (1.0 + warm), exposure, exposure * (1.0 - warm)),
        uneven=_UNEVEN,
        noise_dn=draw.uniform(1.5, 4.0),
        blur_px=draw.uniform(0.35, 0.8),
        shift_px=0.0 if first else draw.uniform(0.2, 0.6),
        lean=draw.uniform(0.05, 0.28),
        holes=draw.uniform(0.0, 0.06) if draw.random() < 0.3 else 0.0,
    )


def view_pair(
    bounds: Bounds,
    gsd_m: float,
    *,
    seed: int,
    relief_m: float = 180.0,
    storm: bool = True,
    look: Appearance = PLAIN_APPEARANCE,
) -> ViewPair:
    """A place before and after with everything that `seed` draws; the same arguments, the same bytes."""
    between = _in_look(draw_date_changes(seed, storm=storm), look)
    old = build_drill_world(bounds, gsd_m, seed=seed, relief_m=relief_m, look=look)
    new = build_drill_world(
        bounds, gsd_m, seed=seed, relief_m=relief_m, after=True, between=between, look=look
    )
    return ViewPair(
        seed=seed,
        window=new.window,
        before=photographed(old, drawn_air(seed, first=True), seed, look.before),
        after=photographed(new, drawn_air(seed, first=False), seed + 1_000_003, look.after),
        heights_m=_known_heights(old.valley, old.window, seed),
        change=new.change,
        confuser=np.zeros_like(new.change) if new.confuser is None else new.confuser,
        old_water=old.cover == LandCover.WATER,
    )


def _in_look(between: DateChanges, look: Appearance) -> DateChanges:
    """What changed, in the season and by the storm that a look asks for."""
    asked = {name: getattr(look, name) for name in ("sun", "season", "slim", "failing")}
    if between.storm:
        asked["flood_m"] = look.flood_m
    return replace(between, **{name: value for name, value in asked.items() if value is not None})


def photographed(
    world: DrillWorld, air: Air, seed: int, camera: CameraResponse = PLAIN_APPEARANCE.before
) -> TopView:
    """The orthophoto of a world as a flight in this air would show it."""
    east, north = world.window.eastings, world.window.northings
    moved, offsets = _moved(world, air, seed)
    cloud = air.clouds / (
        1.0 + np.exp(-6.0 * (generate_smooth_noise(east, north, 230.0, seed, "cloud") - 0.7))
    )
    ripple = generate_smooth_noise(east, north, 45.0, seed, "glint")
    ripple += 0.4 * generate_smooth_noise(east, north, 1.7, seed, "ripple")
    wet = np.isin(world.cover, (LandCover.WATER, LandCover.FLOOD)).astype(np.float32)
    wet = np.asarray(cv2.remap(wet, *offsets, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    glint = air.glint * wet * np.clip(ripple - 0.3, 0.0, 1.5)
    haze = np.clip(
        air.haze * (1.0 + 0.45 * generate_smooth_noise(east, north, 350.0, seed, "haze")), 0.0, 0.6
    )
    linear = LINEAR[moved] * (1.0 - cloud[..., None] * _CLOUD_COLOUR) + glint[..., None]
    uneven = 1.0 + air.uneven * generate_smooth_noise(east, north, 120.0, seed, "uneven")
    linear = linear * (1.0 - haze[..., None]) + haze[..., None] * HAZE_COLOUR * (1.0 - 0.5 * cloud[..., None])
    linear *= np.array(air.gain, np.float32) * np.array(camera.gain, np.float32) * uneven[..., None]
    rgb = _developed(ENCODED[np.clip(linear * 4095.0, 0, 4095).astype(np.uint16)], camera)
    seen = generate_smooth_noise(east, north, 180.0, seed, "hole") < _above(air.holes)
    return TopView(
        rgb=np.where(seen[..., None], _sensed(rgb, air, seed), 0).astype(np.uint8),
        seen=seen,
        clouded=cloud > _CLOUD_SEEN,
        glinting=glint > _GLINT_SEEN,
    )


def _moved(world: DrillWorld, air: Air, seed: int) -> tuple[NDArray[np.uint8], tuple[Singles, Singles]]:
    """The orthophoto where registration and lean put it, and the columns and rows it was taken from."""
    east, north, cell = world.window.eastings, world.window.northings, world.window.cell_m
    col, row = (a.astype(np.float32) for a in np.meshgrid(*(np.arange(n) for n in world.window.shape[::-1])))
    above = np.clip(world.surface_m - world.ground_m, 0.0, 20.0)
    above = np.asarray(cv2.blur(above, (3, 3)) / cell, np.float32)
    # each photo shows its own patch of the mosaic, all of it leaning one way
    i, j = (np.floor(a / _PHOTO_M).astype(np.int64) for a in np.meshgrid(east, north))
    angle = 2.0 * np.pi * hash_unit(i, j, seed, "seen from")
    steep = air.lean * np.sqrt(hash_unit(i, j, seed, "how steep"))
    lean = np.minimum(above * steep, _MOST_LEAN_M / cell).astype(np.float32)
    left = [air.shift_px * generate_smooth_noise(east, north, 150.0, seed, f"left {axis}") for axis in "xy"]
    maps = (
        np.asarray(col + left[0] + lean * np.cos(angle), np.float32),
        np.asarray(row + left[1] + lean * np.sin(angle), np.float32),
    )
    return np.asarray(cv2.remap(world.rgb, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)), maps


def _developed(rgb: NDArray[np.uint8], camera: CameraResponse) -> NDArray[np.uint8]:
    """The camera's curve and saturation on encoded values."""
    if camera.gamma == 1.0 and camera.saturation == 1.0:
        return rgb
    values = (rgb / np.float32(255.0)) ** np.float32(camera.gamma)
    grey = values.mean(-1, keepdims=True)
    values = grey + np.float32(camera.saturation) * (values - grey)
    return np.asarray(np.clip(np.rint(255.0 * values), 0, 255), np.uint8)


def _sensed(rgb: NDArray[np.uint8], air: Air, seed: int) -> NDArray[np.uint8]:
    """Blurred, then noisy."""
    soft = cv2.GaussianBlur(rgb, (0, 0), air.blur_px) if air.blur_px > 0.0 else rgb
    noise = np.random.default_rng([seed, 85]).standard_normal(rgb.shape, dtype=np.float32)
    return np.asarray(np.clip(soft + air.noise_dn * noise, 0, 255), np.uint8)


def _above(share: float) -> float:
    """The value that smooth noise exceeds on about this share of the ground."""
    return NormalDist().inv_cdf(1.0 - share) if share > 0.0 else np.inf


def _known_heights(valley: Valley, window: CellWindow, seed: int) -> Singles:
    """The terrain model's heights at the cells' centres."""
    west, south, east, north = window.bounds
    around = (west - 20.0, south - 20.0, east + 20.0, north + 20.0)
    posts, heights = make_terrain_model(valley, around, _DEM_POST_M, draw_typical_error(seed, _DEM_ERROR_M))
    u, v = posts.to_cells(*np.meshgrid(window.eastings, window.northings))
    return np.asarray(cv2.remap(heights, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR))
