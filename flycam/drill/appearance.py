"""Appearance of the synthetic world: colours, texture, shading, cameras.

It is drawn by a seed.

A detector fitted on one appearance learns its colours. Here the ranges are wide, wider than any one
country, and in two disjoint sets: models are fitted on FITTED_RANGES alone, and HELD_OUT_RANGES tests
them elsewhere. The default is PLAIN_APPEARANCE: the same bytes as in earlier versions.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from flycam.drill.land_cover import LandCover
from flycam.drill.lighting import Sun

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
