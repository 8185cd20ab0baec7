"""Before and after the storm laid on each other, against the drill's truth; and other places, refused.

Each flight has its own wind, light and GNSS errors; both lie on one terrain model that is 3 m off. How far
AFTER still lies off BEFORE once it is laid on it is told by the truth alone: patches of either mosaic are
looked for in the true top view of their own date: nothing is correlated across the storm to judge what was.
Ground within 5 m of what the storm changed is left out, and where a mosaic by itself, before anything was
laid on anything, is not recognised in the truth of its own date (crowns and roofs that lean, seams): of AFTER
within 16 m; their share is printed. A place that BEFORE shows for sure and AFTER as it came, and AFTER as it
was laid does not within 6 m, is a miss, farther off than any number.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from bench.finish_flights import finished
from bench.flights import ROOT
from bench.kept import key_of, made_once
from bench.table import Row
from bench.truth_patches import PATCH_M, PatchErrors, patch_errors
from flycam.change.comparison_grid import FileImageSource, build_common_grid, read_source
from flycam.change.coregistration import Registration, coregister_images, resample_after
from flycam.drill.land import WORK_CRS
from flycam.drill.photo_drill import DrillTruth, read_truth, write_drill
from flycam.drill.scene_objects import draw_typical_error
from flycam.drill.world import build_drill_world
from flycam.errors import CoregistrationFailed
from flycam.geodata.crs import make_point_transform
from flycam.geodata.raster import write_geotiff
from flycam.mosaic.raster import OutputGrid

SEEDS = (31, 32)
ELSEWHERE = range(40, 50)
GSD_M, PHOTOS, SIZE_PX = 0.25, (4, 5), (1100, 825)
DEM_SHIFT_M = 3.0
MOST_MEDIAN_PX, MOST_P95_PX = 1.0, 2.0
_NEAR_CHANGE_M = 5.0
_SEARCH_M = 6.0
_WIDELY_M = _SEARCH_M + PATCH_M  # a patch more, so that both look at the same places


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One pair: how far AFTER lies off BEFORE, N places (metres, inf where AFTER is not found), as it came
    and as it was laid."""

    came_m: np.ndarray
    laid_m: np.ndarray
    registration: Registration
    cpu_s: float
    recognised: float

    def words(self) -> str:
        gsd = self.registration.gsd_m
        came, now = (_percentiles(off / gsd) for off in (self.came_m, self.laid_m))
        return (
            f"{came[0]:.1f} / {came[1]:.1f} px before, {now[0]:.2f} / {now[1]:.2f} px after "
            f"(p95 of those found {np.percentile(self.laid_m[np.isfinite(self.laid_m)] / gsd, 95):.2f} px; "
            f"found {np.isfinite(self.laid_m).mean():.1%} of {len(self.laid_m)} places, "
            f"{self.recognised:.0%} of those that before shows; "
            f"told {self.registration.rmse_m / gsd:.2f} px, "
            f"{int(self.registration.agreed.sum())} of {len(self.registration.windows)} windows agree, "
            f"{self.cpu_s:.1f} s of processor)"
        )


def measure() -> list[Row]:
    """Stable ground of every pair, finished, finished with the flight before as reference, and live; pairs
    from different places."""
    finished, tied, live = (_pairs(how) for how in ("final", "tied", "live"))
    return [
        *_rows("final mosaics", {seed: one.laid_m for seed, one in finished.items()}, finished),
        *_rows("finished with --reference, as they came", {s: one.came_m for s, one in tied.items()}, tied),
        *_rows("finished with --reference", {seed: one.laid_m for seed, one in tied.items()}, tied),
        *_rows("live mosaics", {seed: one.laid_m for seed, one in live.items()}, live),
        _other_places(),
    ]


def _pairs(how: str) -> dict[int, Judged]:
    """By seed; how: "final", "live", or "tied": AFTER finished with the finished BEFORE for its reference."""
    befores = {seed: _mosaic(seed, False, "live" if how == "live" else "final") for seed in SEEDS}
    if how != "tied":
        return {seed: _judged(before, _mosaic(seed, True, how), seed) for seed, before in befores.items()}
    return {
        seed: _judged(before, _mosaic(seed, True, "final", "--reference", str(before)), seed)
        for seed, before in befores.items()
    }


def _rows(what: str, off_m: dict[int, np.ndarray], pairs: dict[int, Judged]) -> list[Row]:
    off = np.concatenate([off_m[seed] / one.registration.gsd_m for seed, one in pairs.items()])
    notes = tuple(f"seed {seed}: {one.words()}" for seed, one in pairs.items())
    return [
        Row(
            what=f"compare: {what}, stable ground, {name}",
            measured=f"{value:.2f} px",
            peer=f"{GSD_M} m a pixel",
            ratio=value,
            required=most,
            sense="at most",
            notes=notes if name == "median" else (),
        )
        for name, value, most in (
            ("median", float(_percentiles(off)[0]), MOST_MEDIAN_PX),
            ("p95", float(_percentiles(off)[1]), MOST_P95_PX),
        )
    ]


def _percentiles(off: np.ndarray) -> np.ndarray:
    """Median and p95, each one of the values: between a number and a miss there is nothing."""
    return np.percentile(off, (50, 95), method="inverted_cdf")


def _other_places() -> Row:
    """Each flight against the true top views of other valleys, which lie under the same coordinates."""
    pairs = [(seed, other) for seed in SEEDS for other in ELSEWHERE]
    said = []
    for seed, other in pairs:
        grid, before, after = _both(
            FileImageSource(_view(other)), FileImageSource(_mosaic(seed, True, "live"))
        )
        try:
            coregister_images(*before, *after, gsd_m=grid.step_x, names=(f"valley {other}", f"flight {seed}"))
        except CoregistrationFailed as refused:
            said.append(str(refused))
    return Row(
        what="compare: pairs from different places refused",
        measured=f"{len(said)} of {len(pairs)}",
        peer="-",
        ratio=float(len(said)),
        required=float(len(pairs)),
        sense="at least",
        notes=tuple(said[:2]),
    )


def _view(seed: int) -> Path:
    """The true top view of a valley, painted over the ground of the flights."""
    facts = _truth(SEEDS[0], False).facts
    asked = {
        "bounds": tuple(facts["world_bounds_m"]),
        "cell_m": facts["cell_m"],
        "seed": seed,
        "relief_m": facts["relief_m"],
        "after": False,
    }

    def paint(out: Path) -> None:
        world = build_drill_world(
            asked["bounds"], asked["cell_m"], seed=seed, relief_m=asked["relief_m"], after=False
        )
        write_geotiff(out, world.rgb, world.window.transform, WORK_CRS)

    return made_once(ROOT / "compare" / f"valley-{seed}-{key_of(**asked)}.tif", paint)


def _judged(before: Path, after: Path, seed: int) -> Judged:
    grid, (before_rgb, before_seen), (after_rgb, after_seen) = _both(
        FileImageSource(before), FileImageSource(after)
    )
    started = time.process_time()
    registration = coregister_images(
        before_rgb, before_seen, after_rgb, after_seen, gsd_m=grid.step_x, names=("before", "after")
    )
    rgb, seen = resample_after(registration, after_rgb, after_seen)
    cpu_s = time.process_time() - started
    truths = _truth(seed, False), _truth(seed, True)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        paths = [Path(folder) / f"{name}.tif" for name in ("before", "came", "laid")]
        pictures = ((before_rgb, before_seen), (after_rgb, after_seen), (rgb, seen))
        for path, (picture, mask) in zip(paths, pictures, strict=True):
            _write(path, picture, mask, grid)
        ours = patch_errors(paths[0], truths[0], search_m=_SEARCH_M)
        came = patch_errors(paths[1], truths[1], search_m=_WIDELY_M)
        now = patch_errors(paths[2], truths[1], search_m=_SEARCH_M)
    changed = _changed(_truth_folder(seed, True))
    return Judged(
        came_m=_apart(ours, came, came, changed),
        laid_m=_apart(ours, now, came, changed),
        registration=registration,
        cpu_s=cpu_s,
        recognised=_recognised(ours, came, changed),
    )


def _apart(
    before: PatchErrors, after: PatchErrors, came: PatchErrors, changed: shapely.Geometry
) -> np.ndarray:
    """Distances between both mosaics at the places of stable ground that both have data of, BEFORE shows for
    sure and so does AFTER as it came; inf where AFTER was not found."""
    theirs = {tuple(place): offset for place, offset in zip(after.place_m, after.offset_m, strict=True)}
    judged = {tuple(place) for place in after.tried_m} & {tuple(place) for place in came.place_m}
    stable = ~shapely.intersects_xy(changed, before.place_m)
    nowhere = np.full(2, np.inf)
    return np.array(
        [
            np.hypot(*(theirs.get(tuple(place), nowhere) - offset))
            for place, offset in zip(before.place_m[stable], before.offset_m[stable], strict=True)
            if tuple(place) in judged
        ]
    )


def _recognised(before: PatchErrors, came: PatchErrors, changed: shapely.Geometry) -> float:
    """Of the places of stable ground that both have data of and BEFORE shows for sure, the share at which
    AFTER as it came is recognised."""
    stable = {tuple(place) for place in before.place_m[~shapely.intersects_xy(changed, before.place_m)]}
    both = stable & {tuple(place) for place in came.tried_m}
    return len(both & {tuple(place) for place in came.place_m}) / max(len(both), 1)


def _changed(folder: Path) -> shapely.Geometry:
    """What the storm changed, and a rim around it, in the work CRS."""
    document = json.loads((folder / "truth" / "changes.geojson").read_text(encoding="utf-8"))
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in document["features"]]
    ground = shapely.transform(np.array(shapes, dtype=object), make_point_transform("EPSG:4326", WORK_CRS))
    return shapely.buffer(shapely.union_all(shapely.make_valid(ground)), _NEAR_CHANGE_M)


def _both(before: FileImageSource, after: FileImageSource):
    grid, _ = build_common_grid(before, after, WORK_CRS, None, "")
    return grid, read_source(before, grid, WORK_CRS), read_source(after, grid, WORK_CRS)


def _write(path: Path, rgb: np.ndarray, seen: np.ndarray, grid: OutputGrid) -> None:
    values = np.where(seen[..., None], np.maximum(rgb, 1), 0).astype(np.uint8)
    corner = (grid.step_x, 0.0, grid.west, 0.0, -grid.step_y, grid.north)
    write_geotiff(path, values, corner, WORK_CRS, nodata=0)


def _mosaic(seed: int, after: bool, revision: str, *options: str) -> Path:
    """The mosaic of a flight as a GeoTIFF, made once while the program and the drill stay as they are."""
    folder = _truth_folder(seed, after)
    name = f"compare-{folder.name}"
    return getattr(finished(name, folder / "photos", folder / "dem.tif", *options), revision)


def _truth(seed: int, after: bool) -> DrillTruth:
    return read_truth(_truth_folder(seed, after))


def _truth_folder(seed: int, after: bool) -> Path:
    options = {"gsd_m": GSD_M, "photos": PHOTOS, "size_px": SIZE_PX}
    return drill_folder("s", seed, after, DEM_SHIFT_M, options)


def drill_folder(
    prefix: str,
    seed: int,
    after: bool,
    dem_shift_m: float,
    options: dict[str, Any],
    **unnamed: Any,
) -> Path:
    """The drill on a terrain model so far off, rendered if it is not there as it is asked for.

    options  of `write_drill`, which name the folder; unnamed: those that go with the seed
    """
    error = draw_typical_error(seed, dem_shift_m)
    asked = {
        "seed": seed,
        "after": after,
        **options,
        "dem_shift_m": error.shift_m,
        "dem_error_m": error.sigma_m,
        "dem_error_length_m": error.length_m,
    }
    folder = ROOT / "compare" / f"{prefix}{seed}-{'after' if after else 'before'}-{key_of(**asked)}"
    if not (folder / "truth" / "truth.json").is_file():
        strips, per_strip = options["photos"]
        print(f"rendering {strips * per_strip} photos into {folder} …", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_drill(folder, **asked, **unnamed)
    return folder
