"""How large candidates are told against how large what they show is: what errors of areas are fitted on.

    python -m bench.change_outlines [--held-out] [--again] [--scenes FOLDER]

Rewrites `rim_m` of `models/change/detector.json` from the development scenes with a storm, and
prints how many true areas lie within one and two sigma on scenes left out of the fit. With --held-out nothing
is fitted: it counts on the scenes whose seeds nobody looked at (`change_scenes.STORM`) what the program's
constants give. With --again: every third development scene of 700 m, photographed once more after the storm
on another day: how far two areas of one object differ when nothing grew.

Judged are candidates that are right (half of them on ground that changed in their way) and hold half of a
true object at least, against all such objects that they hold: pieces of a larger object are counted apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import shapely
from scipy.stats import spearmanr

from bench.change_fit import write
from bench.change_scenes import DEVELOPMENT_STORM, STORM, Scene, image_pair, kept
from bench.change_scoring import KINDS, LEAST_M2, found_of
from flycam.change.detection import detect_changes
from flycam.change.features import COEFFICIENTS
from flycam.drill.appearance import draw_date_changes
from flycam.drill.land import CENTRE_M
from flycam.drill.world import build_drill_world
from tests.drill.topview import ViewPair, drawn_air, photographed

FOLDS = 10
_NUMBER = {"landslide": 1, "flood": 2}
_HALF = 0.5
_ONE_SIGMA, _TWO_SIGMA = 0.683, 0.954
_AGAIN_M = 700.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """One candidate as it is told, and the truth under it.

    area_m2, perimeter_m  of its outline, holes and their rims in it; cell_m: of the work grid
    inside_m2             of it, on ground that changed in its way
    objects               (ground of it that this candidate holds, its whole ground), m², of every true object
                          of its kind that it touches
    """

    seed: int
    gsd_m: float
    cell_m: float
    kind: str
    score: float
    area_m2: float
    perimeter_m: float
    inside_m2: float
    objects: list[tuple[float, float]]


def outlines_of(scene: Scene, folder: Path | None) -> list[Outline]:
    """Slides and floods of a scene."""
    return outlines_in(scene, kept(scene, folder))


def outlines_in(scene: Scene, pair: ViewPair) -> list[Outline]:
    """Slides and floods that are found in a pair of views of a scene."""
    cv2.setNumThreads(1)
    gsd_m = pair.window.cell_m
    seen = pair.before.seen & pair.after.seen
    true = {kind: np.where(seen, pair.change, 0) == _NUMBER[kind] for kind in KINDS}
    labels = {
        kind: cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1] for kind, mask in true.items()
    }
    sizes = {kind: np.bincount(where.ravel()) for kind, where in labels.items()}
    out = []
    for one in detect_changes(image_pair(pair)):
        if one.kind not in KINDS:
            continue
        drawn = found_of(one.kind, one.score, one.rings, pair.window.shape)
        place = drawn.rows, drawn.cols
        inside = np.bincount(labels[one.kind][place][drawn.mask])
        polygon = shapely.Polygon(one.rings[0], one.rings[1:])
        out.append(
            Outline(
                seed=scene.seed,
                gsd_m=gsd_m,
                cell_m=max(gsd_m, 0.5),
                kind=one.kind,
                score=one.score,
                area_m2=float(polygon.area) * gsd_m**2,
                perimeter_m=float(polygon.length) * gsd_m,
                inside_m2=float(inside[1:].sum()) * gsd_m**2,
                objects=[
                    (float(inside[k]) * gsd_m**2, float(sizes[one.kind][k]) * gsd_m**2)
                    for k in np.flatnonzero(inside)
                    if k
                ],
            )
        )
    return out


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Whole candidates of a kind that are right: seeds, areas, true areas (m²), perimeters (m); N each.

    pieces  how many more are right, but hold half of no object
    """

    seeds: np.ndarray
    area_m2: np.ndarray
    true_m2: np.ndarray
    perimeter_m: np.ndarray
    pieces: int

    @property
    def off_m(self) -> np.ndarray:
        """How far out (in, below 0) an outline lies all along, by its area."""
        return (self.area_m2 - self.true_m2) / self.perimeter_m


def judged(outlines: Sequence[Outline], kind: str) -> Judged:
    """Those of a kind that can be judged."""
    right = [one for one in outlines if one.kind == kind and one.inside_m2 >= _HALF * one.area_m2]
    true = [sum(whole for held, whole in one.objects if held >= _HALF * whole) for one in right]
    whole = [(one, truth) for one, truth in zip(right, true, strict=True) if truth]
    return Judged(
        seeds=np.array([one.seed for one, _ in whole]),
        area_m2=np.array([one.area_m2 for one, _ in whole]),
        true_m2=np.array([truth for _, truth in whole]),
        perimeter_m=np.array([one.perimeter_m for one, _ in whole]),
        pieces=len(right) - len(whole),
    )


def rim_m(off_m: np.ndarray) -> float:
    """The least sigma with which 68 % lie within one of it and 95 % within two."""
    one, two = np.quantile(np.abs(off_m), (_ONE_SIGMA, _TWO_SIGMA))
    return float(max(one, two / 2.0))


def left_out(some: Judged) -> tuple[np.ndarray, list[float]]:
    """Of each how many sigma off it is, by a rim fitted on other scenes; and those rims."""
    seeds = np.unique(some.seeds)
    fold = dict(zip(seeds.tolist(), np.random.default_rng(3).permutation(len(seeds)) % FOLDS, strict=True))
    of = np.array([fold[seed] for seed in some.seeds.tolist()])
    rims = [rim_m(some.off_m[of != number]) for number in range(FOLDS)]
    return np.abs(some.off_m) / np.array(rims)[of], rims


def report(outlines: Sequence[Outline], *, fit: bool) -> list[str]:
    """By kind: how far off areas are, and how many true ones lie within one and two sigma."""
    lines = []
    for kind in KINDS:
        some = judged(outlines, kind)
        sigmas, rims = left_out(some) if fit else (np.abs(some.off_m) / COEFFICIENTS.rim_m[kind], [])
        low, middle, high = np.quantile(some.off_m, (0.16, 0.5, 0.84))
        relative = np.quantile(np.abs(some.area_m2 / some.true_m2 - 1.0), (0.5, _ONE_SIGMA))
        lines += [
            f"{kind}: {len(some.seeds)} whole ones, {some.pieces} pieces; (area - true) / perimeter: median "
            f"{middle:+.2f} m, 16 and 84 %: {low:+.2f} and {high:+.2f} m; of the true area: half within "
            f"{100 * relative[0]:.0f} %, 68 % within {100 * relative[1]:.0f} %",
            f"{kind}: within one sigma {np.mean(sigmas <= 1.0):.3f}, within two {np.mean(sigmas <= 2.0):.3f}"
            + (
                f"; rim {rim_m(some.off_m):.2f} m, of folds {min(rims):.2f} to {max(rims):.2f}" if fit else ""
            ),
            *_by_thirds(kind, some, sigmas),
        ]
    return lines


def _by_thirds(kind: str, some: Judged, sigmas: np.ndarray) -> list[str]:
    """The same by how long outlines are, which tells whether the perimeter is what errors go by."""
    third = np.digitize(some.perimeter_m, np.quantile(some.perimeter_m, (1 / 3, 2 / 3)))
    return [
        f"  {kind}, perimeter {some.perimeter_m[here].min():.0f} to {some.perimeter_m[here].max():.0f} m: "
        f"68 % within {np.quantile(np.abs(some.off_m[here]), _ONE_SIGMA):.2f} m · perimeter; within one "
        f"sigma {np.mean(sigmas[here] <= 1.0):.2f}, two {np.mean(sigmas[here] <= 2.0):.2f}"
        for here in (third == number for number in range(3))
        if here.any()
    ]


def again_of(scene: Scene, folder: Path | None) -> list[Outline]:
    """As `outlines_of`, of the same ground after the same storm photographed on another day."""
    pair, half, (east, north) = kept(scene, folder), scene.side_m / 2.0, CENTRE_M
    bounds = (east - half, north - half, east + half, north + half)
    between = draw_date_changes(scene.seed, storm=scene.storm)
    world = build_drill_world(
        bounds, scene.gsd_m, seed=scene.seed, relief_m=scene.relief_m, after=True, between=between
    )
    air = drawn_air(scene.seed + 500_009, first=False)
    return outlines_in(scene, replace(pair, after=photographed(world, air, scene.seed + 2_000_003)))


def alike(first: Sequence[Outline], again: Sequence[Outline]) -> list[str]:
    """Of objects that one whole candidate shows on both days: how far their areas differ, and how alike the
    errors of both are."""
    lines = []
    for kind in KINDS:
        days = [_by_objects(some, kind) for some in (first, again)]
        same = sorted(days[0].keys() & days[1].keys())
        one, other = (np.array([day[key] for key in same]).reshape(-1, 3) for day in days)
        off = [(some[:, 0] - some[:, 1]) / some[:, 2] for some in (one, other)]
        sigma = np.hypot(one[:, 2], other[:, 2]) * COEFFICIENTS.rim_m[kind]
        grown = np.abs(one[:, 0] - other[:, 0]) / sigma
        lines.append(
            f"{kind}: {len(same)} objects on both days; correlation of their errors {_ranked(*off):.2f} (by "
            f"rank); areas differ by 1 sigma of both at most: {np.mean(grown <= 1.0):.2f}, by 2: "
            f"{np.mean(grown <= 2.0):.2f}; median {np.median(one[:, 0] / other[:, 0] - 1):+.3f}, 68 % within "
            f"{100 * np.quantile(np.abs(one[:, 0] / other[:, 0] - 1), _ONE_SIGMA):.0f} %"
        )
    return lines


def _by_objects(
    outlines: Sequence[Outline], kind: str
) -> dict[tuple[float, ...], tuple[float, float, float]]:
    """(area, true area, perimeter) of whole candidates that are right, by seed and the true areas held."""
    found = {}
    for one in outlines:
        held = sorted(whole for inside, whole in one.objects if inside >= _HALF * whole and whole >= LEAST_M2)
        if one.kind == kind and held and one.inside_m2 >= _HALF * one.area_m2:
            found[(float(one.seed), *held)] = (one.area_m2, sum(held), one.perimeter_m)
    return found


def _ranked(one: np.ndarray, other: np.ndarray) -> float:
    return float(spearmanr(one, other).statistic)


def main() -> None:
    """Count, and fit where that is allowed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, help="where scenes are kept between runs")
    parser.add_argument("--held-out", action="store_true", help="count on scenes that nobody looked at")
    parser.add_argument("--again", action="store_true", help="two days after one storm")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    scenes = STORM if options.held_out else DEVELOPMENT_STORM
    if options.again:
        scenes = tuple(one for one in DEVELOPMENT_STORM if one.side_m == _AGAIN_M)[::3]
    with ProcessPoolExecutor(options.workers) as pool:

        def over(work: Callable) -> list[Outline]:
            return [one for some in pool.map(partial(work, folder=options.scenes), scenes) for one in some]

        outlines = over(outlines_of)
        if options.again:
            print("\n".join(alike(outlines, over(again_of))))
            return
    print("\n".join(report(outlines, fit=not options.held_out)))
    if not options.held_out:
        rims = {kind: round(rim_m(judged(outlines, kind).off_m), 2) for kind in KINDS}
        write(replace(COEFFICIENTS, rim_m=rims))


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
