"""What every pixel of a finished mosaic says of its own error, against the drill's truth, pixel by pixel.

A pixel's place in the photo that shows it is followed by the true ray (true pose, true lens) to the true top
surface: the distance from where the mosaic shows it, after the common shift, over the error that the tile
states. By class of support: the flight's own surface by how many photos see the ground, ground beside it.

Small flights of their own, for most of their ground is seen by two to eight photos. Of a flight's pixels all
share one draw of the block's turn and scale, which makes half of what is stated or more: a handful of flights
is a handful of draws, and says of the law of the whole next to nothing. So the law is stated in two parts:
`finish_blocks` holds the poses' part against hundreds of draws, and here the poses' errors are also drawn
anew, as large as the pixel states them, on top of what the real height of the surface really moves it.
As flown, without and with the best similarity taken out of the errors, shares stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from bench.finish_flights import DEM_SHIFT_M, GSD_M, HOME, NAME, finished, opened
from bench.finish_truth import frames_of
from bench.table import Row
from flycam.drill.photo_drill import DrillTruth, read_truth, write_drill
from flycam.drill.scene_objects import draw_typical_error
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.camera import compute_image_rays, is_in_image, project
from flycam.geometry.expected_error import compute_expected_error, smooth_terrain
from flycam.geometry.grid import compute_pixel_centres, get_range_bounds, make_tile_range
from flycam.geometry.terrain import TerrainGrid, cast_rays, compute_normals, interpolate_heights_en
from flycam.model.records import MosaicInfo
from flycam.mosaic.coverage import get_main_mosaic
from flycam.mosaic.finish.finished_tiles import decode_error_m
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles.codec import read_tile
from flycam.workspace import Workspace

STRIPS, PER_STRIP = 3, 7
FLIGHTS = ((11, 180.0, 10.0), (12, 400.0, 30.0), (13, 60.0, 10.0))
CLASSES = {
    "own surface, 2 photos": (2, 2),
    "own surface, 3 to 4": (3, 4),
    "own surface, 5 to 8": (5, 8),
    "own surface, 9 and more": (9, 99),
    "beside it, 2 photos and more": (-99, -2),
    "beside it, 1 photo": (-1, -1),
}
OFF_ONE, OFF_TWO = 0.075, 0.03
_EVERY_PX, _FEWEST = 6, 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """N pixels of a mosaic: place_m N×2, error_m N×2 (shown minus true), stated_m N, photos N (how many see
    the ground; negative where it is not the flight's own surface).

    high_m    N, the height it was laid on above the true surface where the true ray meets it; along N×2, how
              far the adjusted ray goes to the side over a metre downwards
    height_m  N, what the surface's sigma adds to what is stated; NaN beside the flight's own surface
    """

    place_m: np.ndarray
    error_m: np.ndarray
    stated_m: np.ndarray
    photos: np.ndarray
    high_m: np.ndarray
    along: np.ndarray
    height_m: np.ndarray

    @property
    def after_shift(self) -> np.ndarray:
        """Distances N without the common shift (the median)."""
        return np.hypot(*(self.error_m - np.median(self.error_m, axis=0)).T)

    @property
    def after_similarity(self) -> np.ndarray:
        """Distances N without the turn, scale and shift that fit the pixels of own surface best."""
        centred = self.place_m - self.place_m.mean(axis=0)
        ones, none = np.ones(len(centred)), np.zeros(len(centred))
        east = np.column_stack([ones, none, centred[:, 0], -centred[:, 1]])
        north = np.column_stack([none, ones, centred[:, 1], centred[:, 0]])
        good = (self.photos >= 5) & (self.after_shift < 1.0)
        design = np.concatenate([east[good], north[good]])
        fit, *_ = np.linalg.lstsq(design, self.error_m[good].T.ravel(), rcond=None)
        left = self.error_m - np.column_stack([east @ fit, north @ fit])
        return np.hypot(*left.T)

    def with_poses_drawn(self, random: np.random.Generator) -> np.ndarray:
        """Distances N that the surface's real height errors (less the flight's common one) and poses that err
        by draws from what is stated of them, alike to the east and to the north, leave together."""
        common = np.median(self.high_m[self.photos >= 5])
        by_height = -self.along * (self.high_m - common)[:, None]
        poses = np.sqrt(np.maximum(self.stated_m**2 - self.height_m**2, 0.0) / 2.0)
        return np.hypot(*(by_height + random.normal(size=by_height.shape) * poses[:, None]).T)


def rows() -> list[Row]:
    """Shares within one and two stated errors, by class, over all flights."""
    flights = [_pixels_of(*flight) for flight in FLIGHTS]
    found: list[Row] = []
    for name, (least, most) in CLASSES.items():
        if least > 0:
            found += _of_heights(name, flights, least, most)
        found += _shares(name, flights, least, most)
    return found


def _of_heights(name: str, flights: list[Pixels], least: int, most: int) -> list[Row]:
    """The law of what is stated with each pixel's pose drawn anew (see the module)."""
    drawn, of_height, notes = [], [], []
    for (seed, *_), one in zip(FLIGHTS, flights, strict=True):
        mask = (one.photos >= least) & (one.photos <= most)
        if mask.sum() < _FEWEST:
            continue
        off = one.with_poses_drawn(np.random.default_rng([seed, 5]))[mask] / one.stated_m[mask]
        drawn.append(off)
        of_height.append(np.square(one.height_m[mask] / one.stated_m[mask]))
        notes.append(f"seed {seed}: {mask.sum()} pixels, within one / two {_within(off)}")
    if not drawn:
        return []
    share = f"heights make {np.median(np.concatenate(of_height)):.0%} of the variance stated (median)"
    what = f"stated errors of pixels, {name}, poses drawn as stated"
    return _rows(what, np.concatenate(drawn), share, tuple(notes))


def _shares(name: str, flights: list[Pixels], least: int, most: int) -> list[Row]:
    chosen = [
        (seed, one, (one.photos >= least) & (one.photos <= most))
        for (seed, *_), one in zip(FLIGHTS, flights, strict=True)
    ]
    chosen = [(seed, one, mask) for seed, one, mask in chosen if mask.sum() >= _FEWEST]
    if not chosen:
        return []
    in_sigmas = np.concatenate([one.after_shift[mask] / one.stated_m[mask] for _, one, mask in chosen])
    error = np.concatenate([one.after_shift[mask] for _, one, mask in chosen])
    notes = tuple(
        f"seed {seed}: {mask.sum()} pixels, within one / two "
        f"{_within(one.after_shift[mask] / one.stated_m[mask])}, without the block's turn and scale "
        f"{_within(one.after_similarity[mask] / one.stated_m[mask])}"
        for seed, one, mask in chosen
    )
    median, p95 = np.percentile(error, (50, 95))
    return _rows(
        f"stated errors of pixels, {name}, as flown", in_sigmas, f"errors {median:.2f} / {p95:.2f} m", notes
    )


def _rows(what: str, in_sigmas: np.ndarray, peer: str, notes: tuple[str, ...]) -> list[Row]:
    result = []
    for limit, middle, off in ((1.0, 0.675, OFF_ONE), (2.0, 0.95, OFF_TWO)):
        share = float((in_sigmas < limit).mean())
        result.append(
            Row(
                what=f"{what}: within {limit:g}, off {middle:.1%}",
                measured=f"{share:.2f}",
                peer=peer,
                ratio=abs(share - middle),
                required=off,
                sense="at most",
                notes=notes if limit == 1.0 else (),
            )
        )
    return result


def _within(in_sigmas: np.ndarray) -> str:
    return f"{(in_sigmas < 1.0).mean():.2f} / {(in_sigmas < 2.0).mean():.2f}"


def _pixels_of(seed: int, relief_m: float, dem_post_m: float) -> Pixels:
    folder = HOME / f"pixels-s{seed}r{relief_m:.0f}-{STRIPS}x{PER_STRIP}"
    if not (folder / "truth" / "truth.json").is_file():
        wrong = draw_typical_error(seed, DEM_SHIFT_M)
        write_drill(
            folder,
            seed=seed,
            relief_m=relief_m,
            gsd_m=GSD_M,
            photos=(STRIPS, PER_STRIP),
            dem_post_m=dem_post_m,
            dem_shift_m=wrong.shift_m,
            dem_error_m=wrong.sigma_m,
        )
    done = finished(folder.name, folder / "photos", folder / "dem.tif", "--no-report")
    return pixels(done.data, read_truth(folder))


def pixels(data: Path, truth: DrillTruth) -> Pixels:
    """Every sixth pixel, in rows and in columns, of the finished mosaic in a data folder."""
    with opened(data) as workspace:
        parts = list(_of_tiles(workspace, truth, _true_surface(truth)))
    place, error, stated, photos, high, along, height = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    known = np.isfinite(error).all(axis=1)
    return Pixels(
        place_m=place[known],
        error_m=error[known],
        stated_m=stated[known],
        photos=photos[known],
        high_m=high[known],
        along=along[known],
        height_m=height[known],
    )


def _of_tiles(workspace: Workspace, truth: DrillTruth, top: TerrainGrid) -> Iterator[tuple[np.ndarray, ...]]:
    mosaic = _shown(workspace)
    frames, records = frames_of(workspace)
    by_id = {frame.frame_id: frame for frame in frames}
    record = workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision)
    ground = load_recorded_terrain(workspace, record.dem_id)
    at_large = smooth_terrain(ground)
    support = None if record.support_key is None else decode_terrain(workspace.store.get(record.support_key))
    for head in workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom):
        tile = read_tile(workspace.store, head)
        tiles = make_tile_range(tile.tile_id)
        to_work = fit_mercator_to_work(ground.work_crs, get_range_bounds(tiles))
        row, col = np.mgrid[_EVERY_PX // 2 : 256 : _EVERY_PX, _EVERY_PX // 2 : 256 : _EVERY_PX]
        stated = decode_error_m(tile.quality)
        for number, frame_id in enumerate(tile.frames, start=1):
            mine = tile.source[row, col] == number
            if not mine.any():
                continue
            frame = by_id[frame_id]
            xy = to_work(compute_pixel_centres(tiles, row[mine].astype(float), col[mine].astype(float)))
            place = np.column_stack([xy, interpolate_heights_en(ground, xy[:, 0], xy[:, 1])])
            uv, _ = project(frame.interior, frame.exterior, place)
            true = truth.exteriors[records[frame_id].header.provenance.source_name]
            rays = compute_image_rays(truth.camera, true, uv)
            hits = cast_rays(top, np.array(true.projection_centre_m), rays)
            seen = np.zeros(len(place), int)
            for one in frames:
                at, depth = project(one.interior, one.exterior, place)
                seen += is_in_image(one.interior, at[:, 0], at[:, 1]) & (depth > 0.0)
            sigma = np.full(len(place), np.nan)
            if support is not None:
                sigma = interpolate_heights_en(support, xy[:, 0], xy[:, 1])
            error = place[:, :2] - hits[:, :2]
            ray = place - np.array(frame.exterior.projection_centre_m)
            normals = compute_normals(at_large, np.clip(xy, at_large.bounds_m[:2], at_large.bounds_m[2:]))
            yield (
                xy,
                error,
                stated[row, col][mine],
                np.where(np.isfinite(sigma), seen, -seen),
                place[:, 2] - hits[:, 2],
                ray[:, :2] / -ray[:, 2:],
                compute_expected_error(frame.exterior, place, normals, sigma, np.zeros((6, 6))),
            )


def _shown(workspace: Workspace) -> MosaicInfo:
    flight = workspace.catalog.flights.flight(NAME)
    return get_main_mosaic(workspace, flight.flight_id)


def _true_surface(truth: DrillTruth) -> TerrainGrid:
    with rasterio.open(truth.surface) as source:
        heights, transform = source.read(1), source.transform
    return TerrainGrid(
        heights_m=heights.astype(np.float32),
        origin_m=(transform.c + transform.a / 2, transform.f + transform.e / 2),
        post_spacing_m=(transform.a, -transform.e),
        work_crs=truth.facts["work_crs"],
        vertical_datum=truth.facts["vertical_datum"],
        dem_id="truth",
    )
