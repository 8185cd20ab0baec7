"""Slides and floods of other looks: ranges fitted on, ranges held aside, another renderer, real skin.

    python -m bench.change_looks [--look plain fitted aside simple] [--damage FOLDER] [--pictures F]

`--damage`: real pictures with masks (change_real.py); half of the water's photos are kept for this alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bench.change_real import WATERS, mountain_road, pasted, shares_named
from bench.change_scenes import LOOKS, Scene, image_pair, kept
from bench.change_scoring import KINDS, Found, Score, add_scene, found_of
from bench.compare_changes import drawn_beside
from flycam.change.detection import detect_changes
from tests.drill.topview import ViewPair


def candidates_of(pair: ViewPair) -> list[Found]:
    """What flycam finds."""
    return [found_of(c.kind, c.score, c.rings, pair.window.shape) for c in detect_changes(image_pair(pair))]


def _scored(scene: Scene, pictures: Path | None, damage: Path | None) -> Score:
    cv2.setNumThreads(1)
    pair = kept(scene)
    if damage is not None:
        pair = pasted(pair, damage, WATERS["test"])
    score, found = Score(), candidates_of(pair)
    right = add_scene(score, pair, found)
    if pictures is not None:
        drawn_beside(pair, found, right, pictures / f"{scene.look}-{scene.seed}.jpg")
    return score


def report(name: str, storm: Sequence[Score], calm: Sequence[Score]) -> list[str]:
    """One look in lines of text."""
    wet, dry = Score(), Score()
    for total, parts in ((wet, storm), (dry, calm)):
        for one in parts:
            total.add(one)
    lines = []
    for kind in KINDS:
        t = wet.tallies[kind]
        lines.append(
            f"{name}, {kind}s: noticed {t.noticing:.2f} ({t.noticed} of {t.truths}), named {t.naming:.2f}, "
            f"found as such {t.recall:.2f}, precision {t.precision:.2f} ({t.right} of {t.candidates}), IoU "
            f"{t.iou:.2f}"
        )
    other = wet.tallies["other"]
    wrong = dict((wet.confused + dry.confused).most_common(6))
    lines.append(
        f"{name}: false a km² {wet.false_per_km2:.2f} with a storm ({wet.km2:.1f} km²), "
        f"{dry.false_per_km2 if calm else np.nan:.2f} without ({dry.km2:.1f} km²); "
        f"other {other.right} of {other.candidates} right; wrong: {wrong}"
    )
    return lines


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--look", nargs="*", choices=list(LOOKS), default=list(LOOKS))
    parser.add_argument("--damage", type=Path, help="folder with landslide/ and flood/")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 2)) as pool:

        def scored(scenes: Sequence[Scene], damage: Path | None = None) -> list[Score]:
            return list(pool.map(partial(_scored, pictures=options.pictures, damage=damage), scenes))

        for look in options.look:
            parts = [[s for s in LOOKS[look] if s.storm is storm] for storm in (True, False)]
            print("\n".join(report(look, *map(scored, parts))), flush=True)
        if options.damage is not None:
            storms = [s for s in LOOKS["fitted"] if s.storm]
            print("\n".join(report("real skin", scored(storms, options.damage), [])), flush=True)
    if options.damage is not None:
        cv2.setNumThreads(1)
        for half in ("west", "east"):
            pair, ground = mountain_road(options.damage, half)
            print(f"mountain road, {half}: {shares_named(pair, ground, candidates_of(pair))}", flush=True)


if __name__ == "__main__":
    main()
