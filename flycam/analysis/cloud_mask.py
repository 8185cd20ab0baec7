"""Clouds and fog that hide the ground on one of two dates, where change cannot be judged.

Haze changes colours and is removed elsewhere; a cloud here shows no ground at all. It is nearly white, of no
colour, without grain, and larger than a roof. A bright yard is there on both dates, and stays. A grey cloud,
in the shade of others, is not recognised: by its grey alone it could be a flood or a road. Sun glint on water
is as white in its middle, and may be all that is seen of a flood: its rim sparkles, a cloud's is soft.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from flycam.analysis.image_pair import ImagePair, Mask, Picture

_CELL_M = 1.0
_WHITE, _COLOUR, _GRAIN = 185, 24, 7.0
_NEAR_M = 5.0  # over which grain is measured
_MIN_AREA_M2, _MIN_WIDTH_M = 400.0, 10.0
# of cells of 1 m against the median of their nine, in grey levels; exercises: clouds 0 to 1.5, glint from 4.7
_RING_M, _MAX_SPARKLE = (1.0, 6.0), 3.0
# reach of a cloud's torn pieces, however small, and of its rim where ground shows through; and how much paler
# than the other date both are, relative to ground
_RIM_M, _PALER = 60.0, 25
_SOFT_M = 4.0


def mask_clouds(pair: ImagePair) -> tuple[ImagePair, float]:
    """Mask the ground that a cloud hides; return the pair and the share lost.

    In the pair nothing is seen where a cloud hides the ground on its date. The share, 0 to 1, is of the
    ground imaged on both dates.
    """
    before, after = detect_clouds(pair)
    clear = replace(pair, before_seen=pair.before_seen & ~before, after_seen=pair.after_seen & ~after)
    both = np.count_nonzero(pair.both_seen)
    return clear, 1.0 - np.count_nonzero(clear.both_seen) / both if both else 0.0


def detect_clouds(pair: ImagePair) -> tuple[Mask, Mask]:
    """Detect clouds that hide seen ground BEFORE and AFTER: two bool H×W masks."""
    rows, cols = pair.before_seen.shape
    cell = max(_CELL_M / pair.gsd_m, 1.0)
    size = max(round(cols / cell), 1), max(round(rows / cell), 1)
    cell_m = pair.gsd_m * cols / size[0]
    before, after = (_cells(rgb, size) for rgb in _pictures(pair))
    white = _white(before, cell_m), _white(after, cell_m)
    masks = []
    for own, other, mine, theirs in (
        (before, after, white[0], white[1]),
        (after, before, white[1], white[0]),
    ):
        alone = mine & ~theirs
        core = _soft(_large(alone, cell_m), own, cell_m)
        torn = alone & _grown(core, _RIM_M / cell_m) if core.any() else core
        whole = _with_rim(core | torn, own, other, cell_m)
        there = cv2.resize(whole.astype(np.uint8), (cols, rows), interpolation=cv2.INTER_NEAREST)
        masks.append(there.astype(np.bool_))
    return masks[0] & pair.before_seen, masks[1] & pair.after_seen


def _pictures(pair: ImagePair) -> tuple[Picture, Picture]:
    """Return both images, black where nothing was imaged and pixels are meaningless."""
    before = np.where(pair.before_seen[..., None], pair.before_rgb, np.uint8(0))
    return before, np.where(pair.after_seen[..., None], pair.after_rgb, np.uint8(0))


def _cells(rgb: Picture, size: tuple[int, int]) -> Picture:
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _white(rgb: Picture, cell_m: float) -> Mask:
    """Return cells that are nearly white, of no colour, and like their neighbours."""
    darkest, brightest = rgb.min(axis=2), rgb.max(axis=2)
    light = darkest.astype(np.float32)
    side = (2 * round(_NEAR_M / cell_m / 2) + 1,) * 2
    mean = cv2.blur(light, side)
    spread = np.sqrt(np.maximum(cv2.blur(light * light, side) - mean * mean, 0.0))
    pale = (darkest >= _WHITE) & (brightest - darkest <= _COLOUR)
    return np.asarray(pale & (spread <= _GRAIN), np.bool_)


def _large(mask: Mask, cell_m: float) -> Mask:
    """Keep the parts of a mask at least as wide and as large as a cloud."""
    side = max(round(_MIN_WIDTH_M / cell_m), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    wide = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    _, labels, figures, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
    large = figures[:, cv2.CC_STAT_AREA] >= _MIN_AREA_M2 / cell_m**2
    large[0] = False
    return np.asarray(large[labels], np.bool_)


def _soft(mask: Mask, rgb: Picture, cell_m: float) -> Mask:
    """Keep the parts of a mask around which the image does not sparkle."""
    if not mask.any():
        return mask
    away, part = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    light = rgb.min(axis=2)
    sparkle = cv2.absdiff(light, cv2.medianBlur(light, 3))
    ring = (away > _RING_M[0] / cell_m) & (away <= _RING_M[1] / cell_m)
    parts = int(part.max()) + 1
    cells = np.maximum(np.bincount(part[ring], minlength=parts), 1)
    mean = np.bincount(part[ring], sparkle[ring], minlength=parts) / cells
    return np.asarray(mask & (mean <= _MAX_SPARKLE)[part], np.bool_)


def _with_rim(core: Mask, own: Picture, other: Picture, cell_m: float) -> Mask:
    """Extend a cloud by its soft rim.

    The rim reaches as far as connected cells are paler than on the other date, usual light aside, and a
    little farther.
    """
    if not core.any():
        return core
    paler_by = own.min(axis=2).astype(np.int16) - other.min(axis=2)
    clear = ~core & own.any(axis=2) & other.any(axis=2)
    usual = float(np.median(paler_by[clear])) if clear.any() else 0.0
    paler = paler_by >= usual + _PALER
    near = _grown(core, _RIM_M / cell_m)
    _, labels = cv2.connectedComponents((core | (paler & near)).astype(np.uint8), connectivity=8)
    hangs = np.isin(labels, np.unique(labels[core]))
    return _grown(hangs, _SOFT_M / cell_m)


def _grown(mask: Mask, reach: float) -> Mask:
    """Grow a mask by `reach` cells."""
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away <= reach, np.bool_)
