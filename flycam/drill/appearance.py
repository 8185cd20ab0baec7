"""Appearance of the synthetic world: colours, light, cameras, and season.

All is drawn by a seed: colours, texture, shading and cameras of both dates, and what differs between them
beside the storm.

A detector fitted on one appearance learns its colours. Here the ranges are wide, wider than any one country,
and in two disjoint sets: models are fitted on FITTED_RANGES alone, and HELD_OUT_RANGES tests them elsewhere.
The default is PLAIN_APPEARANCE: the same bytes as in earlier versions.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.land import (
    CellWindow,
    Floats,
    LandCover,
    Singles,
    generate_smooth_noise,
    generate_white_noise,
)

# -- Sun, sky and cast shadows on the synthetic surface --------------------------------------------


_SHADOW_STEP_M = 0.3
_PENUMBRA_M = 0.35
_SKY = np.array([0.30, 0.345, 0.42], np.float32)
_SUN = np.array([1.0, 0.95, 0.86], np.float32)
_LEVELS = 8192.0
_ENCODED = np.rint(255.0 * (np.arange(_LEVELS) / (_LEVELS - 1.0)) ** (1 / 2.2)).astype(np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sun:
    """Position of the sun: azimuth clockwise from grid north and elevation, radians.

    strength  1 under a clear sky
    """

    azimuth_rad: float
    elevation_rad: float
    strength: float = 1.0


def compute_lit_fraction(surface: Singles, cell_m: float, sun: Sun) -> Singles:
    """Return the fraction of the sun that each cell sees, rows×columns float32.

    The surface is rotated so that the sun is to the left; a cell is in shadow when something to its left
    rises above its ray: a running maximum of height + distance * tan(elevation) along each row.
    """
    rows, cols = surface.shape
    step = max(_SHADOW_STEP_M, cell_m)
    scale = cell_m / step
    # image axes: x east, y south; unit vector away from the sun
    away = (-math.sin(sun.azimuth_rad), math.cos(sun.azimuth_rad))
    turn = np.array([[away[0], away[1]], [-away[1], away[0]]]) * scale
    corners = np.array([[0, 0], [cols, 0], [0, rows], [cols, rows]], float) @ turn.T
    low, high = corners.min(0), corners.max(0)
    matrix = np.hstack([turn, -low[:, None]])
    size = (int(high[0] - low[0]) + 2, int(high[1] - low[1]) + 2)
    turned = cv2.warpAffine(
        surface, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-1e4
    )
    climb = (np.arange(size[0]) * step * math.tan(sun.elevation_rad)).astype(np.float32)
    rising = turned + climb
    above = np.maximum.accumulate(rising, axis=1) - rising
    shade = np.clip(above / _PENUMBRA_M - 0.3, 0.0, 1.0)
    back = cv2.warpAffine(
        shade,
        matrix,
        (cols, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(1.0 - back, np.float32)


def render_lit_ground(
    albedo: Singles, surface: Singles, sunlit: Singles, cell_m: float, sun: Sun, shading: float = 1.0
) -> NDArray[np.uint8]:
    """Return sRGB uint8 rows×columns×3 of lit ground.

    Lambertian sun plus sky, multiplied in linear light.

    albedo           rows×columns×3, linear 0-1
    surface, sunlit  (rows + 2)×columns: one more row above and below
    shading          0 to 1: factor of the difference of the light from that of open level ground
    """
    padded = np.pad(surface, ((0, 0), (1, 1)), mode="edge")
    east = (padded[1:-1, 2:] - padded[1:-1, :-2]) / (2.0 * cell_m)
    north = (surface[:-2] - surface[2:]) / (2.0 * cell_m)
    # walls and crown edges are one cell wide: their slope says little about their light
    east, north = np.clip(east, -2.5, 2.5), np.clip(north, -2.5, 2.5)
    length = np.sqrt(1.0 + east * east + north * north)
    horizontal = math.cos(sun.elevation_rad)
    towards = -east * math.sin(sun.azimuth_rad) - north * math.cos(sun.azimuth_rad)
    direct = np.clip((towards * horizontal + math.sin(sun.elevation_rad)) / length, 0.0, None) * sunlit[1:-1]
    sky = 0.5 + 0.5 / length
    light = (direct * sun.strength)[..., None] * _SUN + (sky * (1.25 - 0.25 * sun.strength))[..., None] * _SKY
    if shading != 1.0:
        level = math.sin(sun.elevation_rad) * sun.strength * _SUN + (1.25 - 0.25 * sun.strength) * _SKY
        light = level + np.float32(shading) * (light - level)
    linear = np.clip(albedo * light * _LEVELS, 0.0, _LEVELS - 1.0)
    return np.asarray(_ENCODED[linear.astype(np.uint16)])


# -- Appearance of both dates, and the ranges from which it is drawn -------------------------------


Colour = tuple[float, float, float]
Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraResponse:
    """Response of a camera.

    gain        of red, green, blue in linear light
    gamma       on encoded values of 0 to 1
    saturation  factor about their mean
    """

    gain: Colour = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    saturation: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Appearance:
    """One appearance of both dates; without arguments the plain one.

    paints   sRGB 0-255 of covers whose colour differs from the palette's
    leaves   factors of the linear red, green, blue of all vegetation
    texture  factor of the variation of brightness within one cover; 0: uniform colour
    shading  strength of slope shading and cast shadows, 0 to 1
    trees    whether single trees stand in it; a simple renderer draws a forest as a field
    before, after  their cameras
    sun, season, flood_m  of the after-date, None: as drawn for its seed; see DateChanges
    slim     factor of the width of slides
    failing  share of steep places that fail, None: the drill's own
    """

    paints: Mapping[LandCover, Colour] = field(default_factory=dict)
    leaves: Colour = (1.0, 1.0, 1.0)
    texture: float = 1.0
    shading: float = 1.0
    trees: bool = True
    before: CameraResponse = CameraResponse()
    after: CameraResponse = CameraResponse()
    sun: Sun | None = None
    season: float | None = None
    flood_m: float | None = None
    slim: float = 1.0
    failing: float | None = None


PLAIN_APPEARANCE = Appearance()


@dataclass(frozen=True, kw_only=True, slots=True)
class AppearanceRanges:
    """Ranges to draw an appearance from, each one or more (low, high).

    *_hue degrees, *_saturation and *_light of HSL, 0 to 1: of soil, of old water and of the flood
    """

    soil_hue: Spans
    soil_saturation: Spans
    soil_light: Spans
    water_hue: Spans
    water_saturation: Spans
    water_light: Spans
    texture: Spans
    shading: Spans
    gamma: Spans
    saturation: Spans
    warm: Spans
    elevation_deg: Spans
    season: Spans
    flood_m: Spans
    slim: Spans
    treeless: float


FITTED_RANGES = AppearanceRanges(
    soil_hue=((0.0, 75.0), (320.0, 360.0)),
    soil_saturation=((0.0, 0.12), (0.2, 0.55)),
    soil_light=((0.28, 0.62),),
    water_hue=((0.0, 50.0), (95.0, 190.0)),
    water_saturation=((0.0, 0.15), (0.25, 0.5)),
    water_light=((0.2, 0.34), (0.42, 0.62)),
    texture=((0.08, 1.5),),
    shading=((0.3, 1.0),),
    gamma=((0.85, 1.2),),
    saturation=((0.7, 1.3),),
    warm=((-0.06, 0.06),),
    elevation_deg=((34.0, 70.0),),
    season=((-0.8, 0.4), (0.6, 1.0)),
    flood_m=((1.8, 4.6),),
    slim=((0.7, 1.3),),
    treeless=0.4,
)
HELD_OUT_RANGES = AppearanceRanges(
    soil_hue=((75.0, 90.0), (180.0, 320.0)),
    soil_saturation=((0.12, 0.2), (0.2, 0.4)),
    soil_light=((0.2, 0.28), (0.62, 0.75)),
    water_hue=((50.0, 95.0), (190.0, 340.0)),
    water_saturation=((0.15, 0.25), (0.5, 0.65)),
    water_light=((0.12, 0.2), (0.34, 0.42), (0.62, 0.72)),
    texture=((0.0, 0.08), (1.5, 1.9)),
    shading=((0.0, 0.3),),
    gamma=((0.72, 0.85), (1.2, 1.4)),
    saturation=((0.5, 0.7), (1.3, 1.6)),
    warm=((-0.1, -0.06), (0.06, 0.1)),
    elevation_deg=((24.0, 34.0), (70.0, 80.0)),
    season=((0.4, 0.6), (1.0, 1.3)),
    flood_m=((4.6, 6.0),),
    slim=((0.5, 0.7), (1.3, 1.7)),
    treeless=0.5,
)
_EARTH = (LandCover.SCAR, LandCover.CUTTING, LandCover.PLOUGHED, LandCover.TRACK)
_STONE = (LandCover.GRAVEL, LandCover.ROCK, LandCover.ROAD, LandCover.YARD)
_STONE_LIGHT = (0.35, 0.7)
_FAILING = (0.4, 0.9)


def draw_appearance(seed: int, ranges: AppearanceRanges = FITTED_RANGES) -> Appearance:
    """Draw an appearance from these ranges; the same seed and ranges, the same one.

    All earth of a place is of one soil, more or less, and a scar may be grey as the gravel and the road.
    """
    draw = np.random.default_rng([seed, 6007])

    def one(spans: Spans) -> float:
        widths = np.array([high - low for low, high in spans])
        low, high = spans[int(draw.choice(len(spans), p=widths / widths.sum()))]
        return float(draw.uniform(low, high))

    def near(colour: Colour, far: float) -> Colour:
        factors = np.exp(draw.normal(0.0, far) + draw.normal(0.0, 0.3 * far, 3))
        red, green, blue = np.clip(np.array(colour) * factors, 12.0, 240.0).tolist()
        return red, green, blue

    def camera() -> CameraResponse:
        warm, exposure = one(ranges.warm), draw.uniform(0.85, 1.2)
        return CameraResponse(
            gain=(exposure * (1.0 + warm), exposure, exposure * (1.0 - warm)),
            gamma=one(ranges.gamma),
            saturation=one(ranges.saturation),
        )

    soil = _srgb(one(ranges.soil_hue), one(ranges.soil_saturation), one(ranges.soil_light))
    stone = _srgb(one(ranges.soil_hue), 0.3 * one(ranges.soil_saturation), draw.uniform(*_STONE_LIGHT))
    paints = {cover: near(soil, 0.14) for cover in _EARTH} | {cover: near(stone, 0.16) for cover in _STONE}
    if draw.random() < 0.3:
        paints[LandCover.SCAR] = near(stone, 0.08)
    for cover in (LandCover.WATER, LandCover.FLOOD):
        paints[cover] = _srgb(one(ranges.water_hue), one(ranges.water_saturation), one(ranges.water_light))
    if draw.random() < 0.3:
        paints[LandCover.FLOOD] = near(paints[LandCover.WATER], 0.05)
    leaves = np.exp(draw.normal(0.0, 0.18) + draw.normal(0.0, 0.07, 3))
    return Appearance(
        paints=paints,
        leaves=(float(leaves[0]), float(leaves[1]), float(leaves[2])),
        texture=one(ranges.texture),
        shading=one(ranges.shading),
        trees=bool(draw.random() >= ranges.treeless),
        before=camera(),
        after=camera(),
        sun=Sun(
            azimuth_rad=math.radians(draw.uniform(80.0, 280.0)),
            elevation_rad=math.radians(one(ranges.elevation_deg)),
            strength=draw.uniform(0.45, 1.0),
        ),
        season=one(ranges.season),
        flood_m=one(ranges.flood_m),
        slim=one(ranges.slim),
        failing=draw.uniform(*_FAILING),
    )


def _srgb(hue_deg: float, saturation: float, light: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue_deg / 360.0, light, saturation)
    return 255.0 * red, 255.0 * green, 255.0 * blue


# -- Differences between two dates beside the storm: season, fields, roads, sun --------------------
#
# A detector of changes that has only seen a storm under one light calls everything a landslide. `DateChanges`
# states what else differs in the after-world; the world's `confuser` states where. A drill without it is the
# plain one: the same bytes as in earlier versions.


class Confuser(IntEnum):
    """Changes that are not the storm's; values of `DrillWorld.confuser`."""

    NONE = 0
    PLOUGHED = 1
    """a field that was green and is bare soil"""
    CLEARED = 2
    """a plot in forest or scrub that was cut and burnt for planting"""
    CROP = 3
    """a field of another crop or ripeness, harvested ones too"""
    WET_PADDY = 4
    """a paddy flooded for planting"""
    ROAD = 5
    CUTTING = 6
    """bare slopes above and below a new road"""
    HOUSE = 7
    TERRACE_CROP = 8
    """as CROP, on a terrace of a slope; so are the next two"""
    TERRACE_WET = 9
    TERRACE_PLOUGHED = 10


TERRACES = (Confuser.TERRACE_CROP, Confuser.TERRACE_WET, Confuser.TERRACE_PLOUGHED)
_WORK = np.arange(len(Confuser), dtype=np.uint8)
_WORK[list(TERRACES)] = Confuser.CROP, Confuser.WET_PADDY, Confuser.PLOUGHED


def normalise_field_work(confuser: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the numbers with work on terraces replaced by the same work on fields."""
    return _WORK[confuser]


@dataclass(frozen=True, kw_only=True, slots=True)
class DateChanges:
    """Differences between two dates.

    seed       chooses fields, roads, slides; the valley has its own
    slides     whether slopes failed: of many sizes, separate, on all steep slopes
    flood_m    height of the river above its usual level, metres; 0: no flood
    fields     share of the fields that are in another state, 0 to 1
    cleared    share of the plots in forest and scrub that were cut
    roads      new roads along a slope
    houses     share of the places for a house that have a new one
    season     -1 fresh green to 1 dry: the colour of leaves
    wetness    0 dry to 1: how dark bare soil is
    sun        of the after-date
    days       after the usual day of the flight after: a third date
    grown_m    by which every slide reaches farther on each side than it first did
    slim       factor of the slides' width
    failing    share of steep places that fail, 0 to 1
    """

    seed: int
    slides: bool = True
    flood_m: float = 3.4
    fields: float = 0.4
    cleared: float = 0.02
    roads: int = 2
    houses: float = 0.05
    season: float = 0.0
    wetness: float = 0.0
    sun: Sun
    days: int = 0
    grown_m: float = 0.0
    slim: float = 1.0
    failing: float = 0.36

    @property
    def storm(self) -> bool:
        return self.slides or self.flood_m > 0.0


def draw_date_changes(seed: int, *, storm: bool = True) -> DateChanges:
    """Draw the differences between two dates by the seed.

    Without a storm only light, season and field work differ: no slide, flood, road or house.
    """
    draw = np.random.default_rng([seed, 4711])
    sun = Sun(
        azimuth_rad=math.radians(draw.uniform(95.0, 265.0)),
        elevation_rad=math.radians(draw.uniform(34.0, 70.0)),
        strength=draw.uniform(0.45, 1.0),
    )
    drawn: dict[str, Any] = {
        "fields": draw.uniform(0.25, 0.7),
        "cleared": draw.uniform(0.0, 0.03),
        "season": draw.uniform(-0.8, 1.0),
        "wetness": draw.uniform(0.0, 1.0),
        "flood_m": draw.uniform(1.8, 4.6),
        "houses": draw.uniform(0.0, 0.12),
    }
    roads = int(draw.integers(1, 5))
    if not storm:
        drawn |= {"flood_m": 0.0, "houses": 0.0}
    return DateChanges(seed=seed, slides=storm, roads=roads if storm else 0, sun=sun, **drawn)


# -- Colours of the synthetic ground before lighting -----------------------------------------------


Numbers = NDArray[np.uint8]
Place = tuple[Singles, Singles]

_GREYER = 0.16
LEAFY = (
    LandCover.FOREST,
    LandCover.SCRUB,
    LandCover.CROWN,
    LandCover.TEA,
    LandCover.GARDEN,
    LandCover.RISER,
    LandCover.BUND,
    LandCover.MAIZE,
    LandCover.PADDY,
    LandCover.TERRACE,
)
# sRGB of each cover, and how much its brightness varies (broadly, per metre, per cell)
_PALETTE: dict[LandCover, tuple[tuple[int, int, int], tuple[float, float, float]]] = {
    LandCover.FOREST: ((52, 62, 36), (0.10, 0.18, 0.16)),
    LandCover.SCRUB: ((104, 116, 62), (0.12, 0.16, 0.12)),
    LandCover.PADDY: ((118, 142, 62), (0.05, 0.05, 0.05)),
    LandCover.TERRACE: ((128, 142, 64), (0.05, 0.06, 0.05)),
    LandCover.RISER: ((84, 96, 52), (0.10, 0.14, 0.10)),
    LandCover.PLOUGHED: ((138, 98, 68), (0.08, 0.10, 0.07)),
    LandCover.MAIZE: ((126, 132, 66), (0.08, 0.12, 0.12)),
    LandCover.TEA: ((66, 98, 46), (0.08, 0.08, 0.08)),
    LandCover.ROAD: ((126, 124, 120), (0.04, 0.05, 0.03)),
    LandCover.TRACK: ((172, 142, 108), (0.08, 0.10, 0.05)),
    LandCover.YARD: ((186, 178, 164), (0.04, 0.06, 0.03)),
    LandCover.WATER: ((92, 104, 84), (0.05, 0.03, 0.01)),
    LandCover.GRAVEL: ((168, 160, 144), (0.06, 0.12, 0.10)),
    LandCover.ROCK: ((142, 138, 130), (0.12, 0.18, 0.08)),
    LandCover.GARDEN: ((96, 104, 60), (0.10, 0.22, 0.12)),
    LandCover.BUND: ((110, 110, 66), (0.06, 0.12, 0.08)),
    LandCover.ROOF: ((128, 128, 128), (0.02, 0.05, 0.02)),
    LandCover.CROWN: ((66, 88, 40), (0.05, 0.10, 0.13)),
    LandCover.SCAR: ((158, 110, 76), (0.09, 0.07, 0.05)),
    LandCover.FLOOD: ((136, 112, 84), (0.05, 0.015, 0.008)),
    LandCover.CUTTING: ((152, 108, 76), (0.10, 0.09, 0.06)),
}
_ROOFS = np.array(
    [
        (142, 70, 54),
        (164, 92, 72),
        (72, 106, 150),
        (94, 128, 114),
        (152, 154, 154),
        (120, 116, 110),
        (98, 86, 74),
    ],
    np.float32,
)
# paddies and terraces: young rice, tall rice, ripening, ripe, harvested, water, ploughed mud
_STAGES = np.array(
    [
        (114, 138, 74),
        (98, 124, 62),
        (136, 142, 72),
        (168, 150, 80),
        (150, 134, 96),
        (108, 114, 102),
        (114, 96, 76),
    ],
    np.float32,
)
# broadleaf, dark evergreen, bamboo, dry leaf
_CROWNS = np.array([(70, 92, 42), (48, 72, 38), (108, 124, 58), (58, 84, 44), (92, 98, 46)], np.float32)


def compute_albedo(
    window: CellWindow,
    cover: Numbers,
    parcel: Singles,
    height: Singles,
    place: Place,
    seed: int,
    look: Appearance,
) -> Singles:
    """Return linear reflectance 0-1 of one band of cells, rows×columns×3 float32.

    cover, parcel, height  rows×columns; height: of the surface, metres
    place                  valley coordinates (along, across)
    """
    east, north = window.eastings, window.northings
    base, varies = _tables(look)
    colour = base[cover]
    for kind, table in ((LandCover.PADDY, _STAGES), (LandCover.TERRACE, _STAGES), (LandCover.CROWN, _CROWNS)):
        where = cover == kind
        colour[where] = _linear(table)[(parcel[where] * len(table)).astype(int)]
    roofs = cover == LandCover.ROOF
    colour[roofs] = _linear(_ROOFS)[parcel[roofs].astype(int)]
    if look.leaves != (1.0, 1.0, 1.0):
        colour[np.isin(cover, LEAFY)] *= np.array(look.leaves, np.float32)

    amount = varies[cover]
    bright = 1.0 + amount[..., 0] * generate_smooth_noise(east, north, 26.0, seed, "broad")
    bright += amount[..., 1] * generate_smooth_noise(east, north, 2.4, seed, "metre")
    start = (window.west_cell, window.north_cell)
    bright += amount[..., 2] * generate_white_noise(*start, window.shape, seed, "grain")
    # furrows, rows of tea and maize, corrugated roofs, streaks of rock and mud
    streak = generate_smooth_noise(east, north, 8.0, seed, "streak")
    along, across = place
    patterns = np.ones(cover.shape, np.float32)

    def rows(kind: LandCover, phase: Floats, depth: float) -> None:
        where = cover == kind
        patterns[where] += depth * np.sin(phase[where])

    turned = np.where(parcel < 0.25, along, across + 0.2 * along)
    rows(LandCover.PLOUGHED, turned * (2 * np.pi / 1.5) + 0.6 * streak, 0.13)
    rows(LandCover.MAIZE, turned * (2 * np.pi / 1.9) + streak, 0.16)
    rows(LandCover.TEA, height * (2 * np.pi / 0.62) + 0.4 * streak, 0.30)
    rows(LandCover.ROCK, along * 1.1 + 2.0 * streak, 0.12)
    rows(LandCover.ROOF, along * (2 * np.pi / 1.1), 0.05)
    rows(LandCover.SCAR, along * 1.3 + 1.6 * streak, 0.05)
    rows(LandCover.SCAR, along * 0.37 + 2.2 * streak, 0.07)
    rows(LandCover.FLOOD, across * 0.28 + 2.4 * streak, 0.035)
    bright *= patterns if look.texture == 1.0 else 1.0 + np.float32(look.texture) * (patterns - 1.0)
    warm = 0.05 * generate_smooth_noise(east, north, 11.0, seed, "warm")
    tint = np.stack([1.0 + warm, np.ones_like(warm), 1.0 - warm], -1)
    # variations are meant in perceived brightness; the square approximates reflectance
    bright = np.maximum(bright, 0.15) ** 2
    return np.asarray(np.clip(colour * bright[..., None] * tint, 0.002, 1.0), np.float32)


def _tables(look: Appearance) -> tuple[Singles, Singles]:
    base, varies = np.zeros((256, 3), np.float32), np.zeros((256, 3), np.float32)
    for kind, (colour, amount) in _PALETTE.items():
        base[kind], varies[kind] = look.paints.get(kind, colour), amount
    return _linear(base), np.float32(look.texture) * varies


def _linear(srgb: Singles) -> Singles:
    """Return linear reflectance of sRGB 0-255, slightly greyer than the palette."""
    grey = srgb.mean(-1, keepdims=True)
    return np.asarray(((srgb + _GREYER * (grey - srgb)) / 255.0) ** 2.2, np.float32)
