"""Fit the coefficients of `flycam/change/detector_coefficients.py` on the development scenes, and on
nothing else.

    python -m bench.change_fit --step water|cells|patches [--scenes FOLDER]   rewrites fitted.py

Three steps: cells of what was water, by which others are judged; cells of what is bare and was not, and of
what is water and was land; then the patches that those cells make, judged by the scoring of the bench: their
weights, and the least scores that are shown, from scenes left out (`change_validate.py`), which are printed.
Scenes are kept between runs.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bench.change_cells import cell_models, cells_of
from bench.change_judged import Judged, patches_with_truth
from bench.change_scenes import FITTED_CALM, FITTED_STORM, Scene
from bench.change_validate import best_cut, held_out, quiet_cut, report
from bench.change_weights import patch_weights
from flycam.change import detector_coefficients
from flycam.change.features import Logistic

_FILE = Path(detector_coefficients.__file__)
WRITTEN = (
    "MIN_SCORE",
    "USUAL_SHARE",
    "RIM_M",
    "BARE",
    "FLOODED",
    "OLD_WATER",
    "LIKE_SLIDE",
    "LIKE_FLOOD",
    "LIKE_OTHER",
    "LANDSLIDE",
    "OTHER",
    "FLOOD",
)


def patch_models(scenes: Sequence[Judged]) -> dict[str, object]:
    """Weights of patches and least scores, by their names in the module of coefficients."""
    weights = patch_weights(scenes)
    left_out = held_out(scenes, patch_weights)
    cuts = {kind: round(best_cut(left_out, kind), 2) for kind in ("landslide", "flood")}
    cuts["other"] = quiet_cut(left_out, "other", cuts)
    print("\n".join([f"least scores: {cuts}", *report(left_out)]))
    return {
        "MIN_SCORE": cuts,
        "USUAL_SHARE": dict(weights.usual_share),
        "LIKE_SLIDE": weights.like["landslide"],
        "LIKE_FLOOD": weights.like["flood"],
        "LIKE_OTHER": weights.like["other"],
        **{kind.upper(): model for kind, model in weights.right.items()},
    }


def write(values: dict[str, object]) -> None:
    """The module of coefficients."""
    seeds = f"{_runs(FITTED_STORM)} with a storm and {_runs(FITTED_CALM)} without"
    lines = [
        '"""Coefficients of the detector, written by `python -m bench.change_fit`, not by hand.',
        "",
        *textwrap.wrap(f"Fitted on the development scenes of bench/change_scenes.py, seeds {seeds}.", 110),
        "The scenes that the bench reports on, and the looks that are held aside, took no part.",
        '"""',
        "",
        "from flycam.change.features import Logistic",
        "",
        "# fmt: off",
    ]
    for name in WRITTEN:
        model = values[name]
        if not isinstance(model, Logistic):
            lines.append(f"{name} = {model!r}")
            continue
        lines += ["", f"{name} = Logistic("]
        for key in ("cues", "mean", "spread", "bias", "weights", "products"):
            text = f"{key}={_rounded(getattr(model, key))!r},"
            lines += textwrap.wrap(text, 110, initial_indent="    ", subsequent_indent="        ")
        lines.append(")")
    lines.append("# fmt: on")
    _FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _runs(scenes: Sequence[Scene]) -> str:
    """Their seeds in words, those that follow each other as one run."""
    seeds = np.array([scene.seed for scene in scenes])
    runs = np.split(seeds, np.flatnonzero(np.diff(seeds) != 1) + 1)
    return " and ".join(f"{run[0]} to {run[-1]}" for run in runs)


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, tuple):
        return tuple(_rounded(part) for part in value)
    return value


def main() -> None:
    """Fit one step and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, help="where scenes are kept between runs")
    parser.add_argument("--step", choices=("water", "cells", "patches"), required=True)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    values = {name: getattr(detector_coefficients, name) for name in WRITTEN}
    with ProcessPoolExecutor(options.workers) as pool:

        def over(work: Callable, scenes: Iterable[Scene]) -> list:
            return list(pool.map(partial(work, folder=options.scenes), scenes))

        if options.step == "patches":
            values |= patch_models(over(patches_with_truth, [*FITTED_STORM, *FITTED_CALM]))
        else:
            parts = over(partial(cells_of, step=options.step), [*FITTED_STORM, *FITTED_CALM[:6]])
            columns = (np.concatenate(column) for column in zip(*parts, strict=True))
            values |= cell_models(*columns, options.step)
    write(values)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
