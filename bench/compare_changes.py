"""Row `compare-changes`: candidates of `flycam.change.detection` and of peers on the scenes with
truth.

The scenes and their seeds stand in `change_scenes.py`, what is counted in `change_scoring.py`.

    python -m bench.compare_changes [--development] [--no-peers] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bench.change_peers import PEERS, peer_candidates
from bench.change_scenes import (
    CALM,
    DEVELOPMENT_CALM,
    DEVELOPMENT_STORM,
    STORM,
    Scene,
    image_pair,
    kept,
)
from bench.change_scoring import KINDS, Found, Score, add_scene, found_of
from bench.table import Row
from flycam.change.detection import detect_changes
from tests.drill.topview import ViewPair

OURS = "flycam"
_REQUIRED = {"landslide": (0.85, 0.75, 0.6), "flood": (0.95, 0.85, 0.7)}
_CALM_PER_KM2, _CALIBRATION = 1.0, 0.1
_COLOURS = {"landslide": (255, 40, 40), "flood": (40, 120, 255), "other": (255, 220, 0)}


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneResult:
    """One scene as each detector saw it; seconds: processor time of ours."""

    scene: Scene
    scores: dict[str, Score]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Over many scenes, by detector: where a storm was, where none was, and both."""

    storm: dict[str, Score]
    calm: dict[str, Score]
    all: dict[str, Score]
    seconds_per_km2: float


def judged(
    storm: Sequence[Scene], calm: Sequence[Scene], peers: Sequence[str], pictures: Path | None
) -> Judged:
    """Run every detector on every scene, two scenes at a time."""
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 2)) as pool:
        results = list(pool.map(partial(_scene, peers=tuple(peers), pictures=pictures), (*storm, *calm)))
    km2 = sum(r.scene.km2 for r in results)
    return Judged(
        storm=_together([r for r in results if r.scene.storm]),
        calm=_together([r for r in results if not r.scene.storm]),
        all=_together(results),
        seconds_per_km2=sum(r.seconds for r in results) / km2,
    )


def _scene(scene: Scene, peers: tuple[str, ...], pictures: Path | None) -> SceneResult:
    cv2.setNumThreads(1)
    pair = kept(scene)
    began = time.process_time()
    ours = [found_of(c.kind, c.score, c.rings, pair.window.shape) for c in detect_changes(image_pair(pair))]
    seconds = time.process_time() - began
    scores = {}
    for name, candidates in [(OURS, ours), *((peer, peer_candidates(peer, pair)) for peer in peers)]:
        scores[name] = Score()
        right = add_scene(scores[name], pair, candidates)
        if name == OURS and pictures is not None:
            drawn_beside(pair, candidates, right, pictures / f"{scene.seed}.jpg")
    return SceneResult(scene=scene, scores=scores, seconds=seconds)


def _together(results: Sequence[SceneResult]) -> dict[str, Score]:
    sums: dict[str, Score] = defaultdict(Score)
    for result in results:
        for name, score in result.scores.items():
            sums[name].add(score)
    return dict(sums)


def measure() -> list[Row]:
    """All rows, on the scenes whose seeds were chosen before the detector."""
    result = judged(STORM, CALM, list(PEERS), None)
    notes = tuple(report(result))
    rows = []
    for kind in KINDS:
        tally = result.storm[OURS].tallies[kind]
        for what, value, required in zip(
            ("recall", "precision", "IoU"),
            (tally.recall, tally.precision, tally.iou),
            _REQUIRED[kind],
            strict=True,
        ):
            peers = [getattr(result.storm[peer].tallies[kind], what.lower()) for peer in PEERS]
            best = max(np.nan_to_num(peers))
            rows.append(
                _row(f"{kind}s, {what}", f"{value:.3f}", f"best peer {best:.3f}", value, required, "at least")
            )
    calm, every = result.calm[OURS], result.all[OURS]
    fewest = min(result.calm[peer].false_per_km2 for peer in PEERS)
    rows.append(
        _row(
            f"false objects per km², no storm, {calm.km2:.1f} km²",
            f"{calm.false_per_km2:.2f}",
            f"best peer {fewest:.1f}",
            calm.false_per_km2,
            _CALM_PER_KM2,
            "at most",
        )
    )
    error = every.calibration_error
    what = f"calibration error of {len(every.judged)} candidates' scores"
    rows.append(_row(what, f"{error:.3f}", "peers have no scores", error, _CALIBRATION, "at most", notes))
    return rows


def _row(what: str, measured: str, peer: str, ratio: float, required: float, sense, notes=()) -> Row:  # type: ignore[no-untyped-def]
    return Row(
        what=f"changes: {what}",
        measured=measured,
        peer=peer,
        ratio=float(ratio),
        required=required,
        sense=sense,
        notes=notes,
    )


def report(result: Judged) -> list[str]:
    """Every detector in lines of text, and what confuses ours."""
    lines = []
    for name, score in result.storm.items():
        for kind in KINDS:
            t = score.tallies[kind]
            lines.append(
                f"{name}, {kind}s: recall {t.recall:.3f} ({t.found} of {t.truths}), "
                f"precision {t.precision:.3f} ({t.right} of {t.candidates}), IoU of the ground {t.iou:.3f}, "
                f"median of objects {np.median(t.object_iou):.3f}"
            )
        calm = result.calm[name]
        lines.append(
            f"{name}: {calm.false_per_km2:.2f} false objects per km² without a storm ({calm.km2:.2f} km²), "
            f"{score.false_per_km2:.2f} with one ({score.km2:.2f} km²)"
        )
    ours, every = result.storm[OURS], result.all[OURS]
    other = ours.tallies["other"]
    lines.append(f"{OURS}, other changes: {other.right} of {other.candidates} right")
    for low, high in ((200, 400), (400, 1000), (1000, 3000), (3000, np.inf)):
        hits = [found for area, found in ours.sizes if low <= area < high]
        if hits:
            lines.append(f"{OURS}, slides of {low} to {high:g} m²: {sum(hits)} of {len(hits)} found")
    lines.append(
        f"{OURS}: calibration error {every.calibration_error:.3f} over {len(every.judged)} candidates"
    )
    scores, right = (np.array(v, float) for v in zip(*every.judged, strict=True))
    for low in np.arange(0.0, 1.0, 0.1):
        here = (scores >= low) & ((scores < low + 0.1) | (low > 0.85))
        if here.any():
            lines.append(
                f"  scores {low:.1f} to {low + 0.1:.1f}: {here.sum()} candidates, "
                f"mean {scores[here].mean():.2f}, right {right[here].mean():.2f}"
            )
    for name, score in (("with a storm", ours), ("without", result.calm[OURS])):
        found = ", ".join(f"{what} {count}" for what, count in score.confused.most_common())
        lines.append(f"{OURS}, false alarms {name}: {found or 'none'}")
    lines.append(
        f"{OURS}: {result.seconds_per_km2:.1f} s of processor time per km², pictures of 0.15 to 0.5 m"
    )
    return lines


def drawn_beside(pair: ViewPair, candidates: Sequence[Found], right: Sequence[bool], path: Path) -> None:
    """Before, after with the truth (white) and candidates: by kind, dashed crosses where wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before, after = pair.before.rgb.copy(), pair.after.rgb.copy()
    for number, colour in ((1, (255, 255, 255)), (2, (200, 240, 255))):
        outlines, _ = cv2.findContours(
            (pair.change == number).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(before, outlines, -1, colour, 1)
    for one, good in zip(candidates, right, strict=True):
        outlines, _ = cv2.findContours(
            one.mask.astype(np.uint8),
            cv2.RETR_LIST,
            cv2.CHAIN_APPROX_NONE,
            offset=(one.cols.start, one.rows.start),
        )
        cv2.drawContours(after, outlines, -1, _COLOURS[one.kind], 2)
        place = (one.cols.start, max(one.rows.start - 3, 10))
        text = f"{one.score:.2f}" + ("" if good else " X")
        cv2.putText(
            after, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255) if good else (255, 0, 255), 1
        )
    both = np.concatenate([before, after], axis=1)
    cv2.imwrite(str(path), cv2.cvtColor(both, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--development", action="store_true", help="the scenes that may be tuned on")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--pictures", type=Path, help="write each scene with its candidates there")
    options = parser.parse_args()
    storm, calm = (DEVELOPMENT_STORM, DEVELOPMENT_CALM) if options.development else (STORM, CALM)
    print("\n".join(report(judged(storm, calm, [] if options.no_peers else list(PEERS), options.pictures))))


if __name__ == "__main__":
    main()
