"""Fit the coefficients of `flycam/analysis/fitted.py` on the development scenes, and on nothing else.

    python -m tests.bench.change_fit --step cells|patches      rewrites flycam/analysis/fitted.py

Two steps: cells (what is bare and was not, what is water and was land, what was water), then the patches that
those cells make, judged by the scoring of the bench. Scenes are kept between runs.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import minimize

from flycam.analysis import fitted
from flycam.analysis.change import chosen_bare
from flycam.analysis.cues import PIXEL_CUES
from flycam.analysis.evidence import Seen, bare_patches, flooded_patches, look
from flycam.analysis.logistic import Logistic
from flycam.analysis.measures import MEASURES, Measured
from flycam.analysis.objects import Patch
from flycam.drill.between import Confuser
from tests.bench.change_scenes import DEVELOPMENT_CALM, DEVELOPMENT_STORM, Scene, image_pair, kept
from tests.bench.change_scoring import OTHER

_OLD_CUES = ("green_before", "red_before", "bright_before", "rough_before", "slope", "above_floor")
_PER_SCENE, _MOST_CELLS = 3_000, 120_000
# what a cell is: a slide, a flood, the old river, 3 + a Confuser, or the rest
_SLIDE, _FLOOD, _RIVER, _REST = 1, 2, 3, 12
_SOIL, _SOIL_COUNTS = (Confuser.PLOUGHED, Confuser.CLEARED, Confuser.ROAD, Confuser.CUTTING), 0.2
_FILE = Path(fitted.__file__)
_WORKERS = 2
_MODELS = (
    "BARE",
    "FLOODED",
    "OLD_WATER",
    "LIKE_SLIDE",
    "LIKE_OTHER",
    "LANDSLIDE",
    "OTHER",
    "FLOOD",
    "USUAL_SHARE",
)
_HALF = 0.5


def truth_on(seen: Seen, values: np.ndarray) -> np.ndarray:
    """A raster of the scene on the work grid."""
    return cv2.resize(values.astype(np.uint8), seen.work.seen.shape[::-1], interpolation=cv2.INTER_NEAREST)


def cells_of(scene: Scene, folder: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampled cues N×len(PIXEL_CUES), what each is (a number below), and how many cells it stands for."""
    pair = kept(scene, folder)
    seen = look(image_pair(pair))
    change, old = truth_on(seen, pair.change), truth_on(seen, pair.old_water)
    confuser = truth_on(seen, pair.confuser)
    draw = np.random.default_rng([scene.seed, 7])
    confused = np.where(confuser > 0, _RIVER + confuser, _REST)
    group = np.where(change > 0, change, np.where(old > 0, _RIVER, confused))
    group[~seen.work.seen] = 0
    chosen, weights = [], []
    for number in range(1, _REST + 1):
        places = np.flatnonzero(group == number)
        if len(places):
            some = draw.choice(places, min(_PER_SCENE, len(places)), replace=False)
            chosen.append(some)
            weights.append(np.full(len(some), len(places) / len(some)))
    at = np.concatenate(chosen)
    cues = seen.cues.reshape(len(PIXEL_CUES), -1)[:, at].T.copy()
    return cues, group.ravel()[at], np.concatenate(weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The patches of one scene and what each is: bare ones (right as a slide, a whole slide, right as other),
    flooded ones right or not."""

    shape: tuple[int, int]
    bare: list[tuple[Patch, Measured]]
    bare_is: list[tuple[bool, bool, bool]]
    flooded: list[tuple[Patch, Measured]]
    flooded_is: list[bool]


def patches_with_truth(scene: Scene, folder: Path | None) -> Judged:
    """All patches that the cells of a scene make."""
    pair = kept(scene, folder)
    seen = look(image_pair(pair))
    change, confuser = truth_on(seen, pair.change), truth_on(seen, pair.confuser)
    real = np.isin(confuser, OTHER) | (change > 0)
    _, slides = cv2.connectedComponents(((change == 1) & seen.work.seen).astype(np.uint8), connectivity=8)
    sizes = np.bincount(slides.ravel())

    def verdict(patch: Patch) -> tuple[bool, bool, bool]:
        inside = np.bincount(slides[patch.place][patch.mask], minlength=len(sizes))
        inside[0] = 0
        right = bool(inside.sum() >= _HALF * patch.cells)
        most = int(inside.argmax())
        whole = right and bool(inside[most] >= _HALF * sizes[most])
        return right, whole, bool(real[patch.place][patch.mask].mean() >= _HALF) and not right

    bare, flooded = bare_patches(seen), flooded_patches(seen)
    return Judged(
        shape=seen.work.seen.shape,
        bare=bare,
        bare_is=[verdict(patch) for patch, _ in bare],
        flooded=flooded,
        flooded_is=[bool((change[p.place][p.mask] == 2).mean() >= _HALF) for p, _ in flooded],
    )


def fit(
    cues: tuple[str, ...],
    values: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    products: bool,
    ridge: float,
) -> Logistic:
    """Weighted logistic regression with a ridge on everything but the bias (L-BFGS)."""
    weights = weights / weights.sum()
    mean = weights @ values
    spread = np.sqrt(weights @ (values - mean) ** 2) + 1e-6
    x = (values - mean) / spread
    pairs = [(i, j) for i in range(len(cues)) for j in range(i, len(cues))] if products else []
    design = np.concatenate([x, *(x[:, i : i + 1] * x[:, j : j + 1] for i, j in pairs)], axis=1)
    sign = np.where(labels, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = sign * (design @ w[1:] + w[0])
        p = 1.0 / (1.0 + np.exp(np.clip(z, -500, 500)))
        pull = -weights * sign * p
        gradient = np.concatenate([[pull.sum()], design.T @ pull + ridge * w[1:]])
        return float(weights @ np.logaddexp(0.0, -z) + 0.5 * ridge * (w[1:] @ w[1:])), gradient

    w = minimize(loss, np.zeros(design.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
    rest = w[1 + len(cues) :]
    return Logistic(
        cues=cues,
        mean=tuple(mean.tolist()),
        spread=tuple(spread.tolist()),
        bias=float(w[0]),
        weights=tuple(w[1 : 1 + len(cues)].tolist()),
        products=tuple((i, j, float(v)) for (i, j), v in zip(pairs, rest, strict=True)),
    )


def balanced(labels: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """Weights under which `share` of everything is positive."""
    out = weights.astype(float).copy()
    out[labels] *= share / out[labels].sum()
    out[~labels] *= (1.0 - share) / out[~labels].sum()
    return out


def fit_cells(folder: Path | None, over: Callable[..., Iterable]) -> dict[str, Logistic]:
    """The three models of cells."""
    parts = over(cells_of, [*DEVELOPMENT_STORM, *DEVELOPMENT_CALM[:4]], folder)
    return cell_models(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def cell_models(values: np.ndarray, group: np.ndarray, counts: np.ndarray) -> dict[str, Logistic]:
    """Models of sampled cells.

    Bare soil that people made looks like a slide: patches tell them apart by shape, its cells count little.
    """
    some = np.random.default_rng(1).permutation(len(values))[:_MOST_CELLS]
    values, group = values[some], group[some]
    # rare things would hardly count: as if they were more of the ground
    weights = np.sqrt(counts[some])
    soil = np.isin(group, [_RIVER + c for c in _SOIL])
    models = {}
    wanted = (("BARE", _SLIDE, PIXEL_CUES), ("FLOODED", _FLOOD, PIXEL_CUES), ("OLD_WATER", _RIVER, _OLD_CUES))
    for name, number, cues in wanted:
        columns = [PIXEL_CUES.index(cue) for cue in cues]
        mild = np.where(soil, _SOIL_COUNTS * weights, weights) if name == "BARE" else weights
        shares = balanced(group == number, mild, 0.2)
        models[name] = fit(cues, values[:, columns], group == number, shares, products=True, ridge=3e-4)
    return models


_SLIDE_MEASURES = (
    "size", "evidence", "weak_evidence", "slope", "least_slope", "above_floor", "fall", "downhill", "stretch",
    "box_fill", "solidity", "straight", "ragged", "edge", "green_before", "green_after", "rough_before",
    "rough_after", "red_after", "redder", "brighter", "alike", "furrowed",
)  # fmt: skip
_FLOOD_MEASURES = (
    "size", "evidence", "weak_evidence", "slope", "above_floor", "stretch", "box_fill", "straight", "edge",
    "level", "at_water", "green_after", "rough_after", "red_after", "bright_after", "alike",
)  # fmt: skip


def fit_patches(folder: Path | None, over: Callable[..., Iterable]) -> dict[str, object]:
    """The models of patches: what is like a whole slide, and how likely the chosen are right."""
    return patch_models(list(over(patches_with_truth, [*DEVELOPMENT_STORM, *DEVELOPMENT_CALM], folder)))


def patch_models(scenes: list[Judged]) -> dict[str, object]:
    """Fitted in turn: the choice among overlapping patches uses the first two. Also USUAL_SHARE."""
    pool = [(what, is_so) for s in scenes for (_, what), is_so in zip(s.bare, s.bare_is, strict=True)]
    wet = [(what, is_so) for s in scenes for (_, what), is_so in zip(s.flooded, s.flooded_is, strict=True)]
    models = {
        "LIKE_SLIDE": _of_patches(_SLIDE_MEASURES, [(what, is_so[1]) for what, is_so in pool], 3e-3),
        "LIKE_OTHER": _of_patches(_SLIDE_MEASURES, [(what, is_so[2]) for what, is_so in pool], 3e-3),
        "FLOOD": _of_patches(_FLOOD_MEASURES, wet, 3e-3),
    }
    fitted.LIKE_SLIDE, fitted.LIKE_OTHER = models["LIKE_SLIDE"], models["LIKE_OTHER"]
    chosen: dict[str, list[tuple[Measured, bool]]] = {"landslide": [], "other": []}
    for scene in scenes:
        verdicts = {id(what): is_so for (_, what), is_so in zip(scene.bare, scene.bare_is, strict=True)}
        for kind, _, what in chosen_bare(scene.bare, scene.shape):
            chosen[kind].append((what, verdicts[id(what)][0 if kind == "landslide" else 2]))
    models["LANDSLIDE"] = _of_patches(_SLIDE_MEASURES, chosen["landslide"], 1e-2)
    models["OTHER"] = _of_patches(_SLIDE_MEASURES, chosen["other"], 1e-2)
    shares = {"flood": wet, **chosen}
    usual = {kind: round(float(np.mean([is_so for _, is_so in rows])), 4) for kind, rows in shares.items()}
    return {**models, "USUAL_SHARE": usual}


def _of_patches(measures: tuple[str, ...], judged: list[tuple[Measured, bool]], ridge: float) -> Logistic:
    values = np.array([what.values for what, _ in judged])[:, [MEASURES.index(m) for m in measures]]
    labels = np.array([is_so for _, is_so in judged], bool)
    print(f"{len(labels)} patches, {labels.sum()} of them so")
    return fit(measures, values, labels, np.ones(len(labels)), products=False, ridge=ridge)


def write(models: dict[str, object], thresholds: dict[str, object]) -> None:
    """The module of coefficients."""
    seeds = f"{_runs(DEVELOPMENT_STORM)} with a storm and {_runs(DEVELOPMENT_CALM)} without"
    lines = [
        '"""Coefficients of the detector, written by `python -m tests.bench.change_fit`, not by hand.',
        "",
        "Fitted on the development scenes of tests/bench/change_scenes.py, seeds",
        f"{seeds}.",
        "The scenes that the bench reports on took no part.",
        '"""',
        "",
        "from flycam.analysis.logistic import Logistic",
        "",
        "# fmt: off",
    ]
    lines += [f"{name} = {value!r}" for name, value in thresholds.items()]
    models = dict(sorted(models.items(), key=lambda item: isinstance(item[1], Logistic)))
    for name, model in models.items():
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
    """Fit, write, fit the rest with what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, help="where scenes are kept between runs")
    parser.add_argument("--step", choices=("cells", "patches"), required=True)
    options = parser.parse_args()
    thresholds = {name: getattr(fitted, name) for name in ("FLOODED_LOGIT", "LEAST_SCORE")}
    models = {name: getattr(fitted, name) for name in _MODELS}
    with ProcessPoolExecutor(_WORKERS) as pool:

        def over(work: Callable, scenes: list[Scene], folder: Path | None) -> Iterable:
            return pool.map(work, scenes, [folder] * len(scenes))

        models |= (fit_cells if options.step == "cells" else fit_patches)(options.scenes, over)
    write(models, thresholds)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
