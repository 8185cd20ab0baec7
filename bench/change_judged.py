"""The patches that the cells of a scene make, and what the truth says of each: what is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.change_scenes import Scene, image_pair, kept
from bench.change_scoring import OTHER
from flycam.change.detection import (
    Patch,
    PatchMeasures,
    compute_cell_evidence,
    extract_bare_patches,
    extract_flooded_patches,
)
from flycam.change.image_pair import WorkPair, to_work_grid

_HALF = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The patches of one scene and what each is: bare ones (right as a slide, a whole slide, right as other),
    flooded ones (right, a whole flood).

    change  uint8 H×W of the work grid: 1 landslide, 2 flood, where seen on both dates; cell_m: side of a cell
    """

    scene: Scene
    cell_m: float
    change: np.ndarray
    bare: list[tuple[Patch, PatchMeasures]]
    bare_is: list[tuple[bool, bool, bool]]
    flooded: list[tuple[Patch, PatchMeasures]]
    flooded_is: list[tuple[bool, bool]]

    @property
    def shape(self) -> tuple[int, int]:
        return self.change.shape


def truth_on(work: WorkPair, values: np.ndarray) -> np.ndarray:
    """A raster of the scene on the work grid."""
    return cv2.resize(values.astype(np.uint8), work.seen.shape[::-1], interpolation=cv2.INTER_NEAREST)


def patches_with_truth(scene: Scene, folder: Path | None) -> Judged:
    """All patches that the cells of a scene make."""
    pair = kept(scene, folder)
    seen = compute_cell_evidence(to_work_grid(image_pair(pair), None))
    change, confuser = truth_on(seen.work, pair.change), truth_on(seen.work, pair.confuser)
    real = np.isin(confuser, OTHER) | (change > 0)
    slides, floods = (_numbered((change == number) & seen.work.seen) for number in (1, 2))
    bare, flooded = extract_bare_patches(seen), extract_flooded_patches(seen)
    bare_is = []
    for patch, _ in bare:
        right, whole = _right_and_whole(patch, *slides)
        bare_is.append((right, whole, bool(real[patch.place][patch.mask].mean() >= _HALF) and not right))
    return Judged(
        scene=scene,
        cell_m=seen.work.cell_m,
        change=np.where(seen.work.seen, change, 0).astype(np.uint8),
        bare=bare,
        bare_is=bare_is,
        flooded=flooded,
        flooded_is=[_right_and_whole(patch, *floods) for patch, _ in flooded],
    )


def _numbered(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each thing of a mask with a number, and how many cells each has."""
    labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    return labels, np.bincount(labels.ravel())


def _right_and_whole(patch: Patch, labels: np.ndarray, sizes: np.ndarray) -> tuple[bool, bool]:
    """Whether half of a patch is so, and whether it is half of the thing that it shows most of, too."""
    inside = np.bincount(labels[patch.place][patch.mask], minlength=len(sizes))
    inside[0] = 0
    right = bool(inside.sum() >= _HALF * patch.cells)
    most = int(inside.argmax())
    return right, right and bool(inside[most] >= _HALF * sizes[most])
