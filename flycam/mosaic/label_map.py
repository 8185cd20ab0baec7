"""Label map and the frames' views on its grid: who sees a pixel, how well, and what a change would cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.mosaic.alpha_expansion import FULL_COST, ExpansionWindow, Ints, LabelFeatures, expand_label
from flycam.mosaic.frame_overview import FrameOverview, PixelBox, Words
from flycam.mosaic.radiometry import Radiometry

_FEATURES = 5  # three colours, two gradients
# feature units: a third for each of the colours stays whole
_GREY_LEVEL = 12
_RIM_QUALITY = 1
# a frame whose quality is below half of the best is not tried
_WORTHWHILE = 2
_BAND_ROWS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelView:
    """One frame on a label map's grid: features and quality (H×W uint16, 0 = unseen)."""

    box: PixelBox
    features: NDArray[np.int16]
    quality: Words


def make_label_view(
    overview: FrameOverview, radiometry: Radiometry, number: int, *, reduce: int = 1
) -> LabelView:
    """Make a view from the corrected overview.

    reduce  the view's grid is this many times coarser (1: the overview's own)

    Pixels at the rim of what the frame sees get the lowest quality: at full size the rim may lie elsewhere.
    """
    light = radiometry.correct_overview(number, overview)
    quality = lower_rim_quality(overview)
    box = overview.box
    if reduce > 1:
        light, quality, box = _reduced(light, quality, box, reduce)
    return LabelView(box=box, features=_features(light), quality=quality)


def lower_rim_quality(overview: FrameOverview) -> Words:
    """Return the overview's quality, lowered to the minimum at the rim of its data."""
    seen = (overview.quality > 0).astype(np.uint8)
    inner = cv2.erode(seen, np.ones((3, 3), np.uint8), borderValue=0)
    return np.where(inner, overview.quality, seen * np.uint16(_RIM_QUALITY)).astype(np.uint16)


def _reduced(
    light: NDArray[np.float32], quality: Words, box: PixelBox, factor: int
) -> tuple[NDArray[np.float32], Words, PixelBox]:
    """Average over blocks of the global grid; a block not wholly seen is not seen."""
    aligned = box.aligned(factor)
    rows, cols = (n // factor for n in aligned.shape)
    planes = np.zeros((*aligned.shape, 4), dtype=np.float32)
    planes[box.slices_in(aligned)] = np.dstack([light, quality])
    blocks = planes.reshape(rows, factor, cols, factor, 4)
    seen = (blocks[..., 3] > 0).all(axis=(1, 3))
    mean = blocks.mean(axis=(1, 3))
    small = PixelBox(
        row=aligned.row // factor,
        col=aligned.col // factor,
        row_stop=aligned.row_stop // factor,
        col_stop=aligned.col_stop // factor,
    )
    return mean[..., :3], np.where(seen, np.maximum(mean[..., 3], 1), 0).astype(np.uint16), small


def _features(light: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return H×W×5: colours and the gradient of their mean.

    A grey level in all three bands is _GREY_LEVEL units.
    """
    grey = (light[..., 0] + light[..., 1] + light[..., 2]) * np.float32(1 / 3)
    features = np.empty((*light.shape[:2], _FEATURES), dtype=np.int16)
    features[..., :3] = np.rint(light * (_GREY_LEVEL / 3))
    for band, order in ((3, (1, 0)), (4, (0, 1))):
        slope = cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3, scale=_GREY_LEVEL / 8)
        features[..., band] = np.rint(slope)
    return features


@dataclass(slots=True)
class LabelMap:
    """Owners of the pixels of `box`, and the best quality there is.

    owner  H×W uint16, 1 + frame number, 0 = no owner
    """

    box: PixelBox
    owner: Words
    best: Words

    @classmethod
    def from_best(cls, box: PixelBox, qualities: Iterable[tuple[int, PixelBox, Words]]) -> LabelMap:
        """Label every pixel with the frame of best quality, as the live rule does.

        Of equal qualities the lowest frame number wins.
        """
        owner = np.zeros(box.shape, dtype=np.uint16)
        best = np.zeros(box.shape, dtype=np.uint16)
        for number, where, quality in qualities:
            at = where.slices_in(box)
            better = quality > best[at]
            better |= (quality == best[at]) & (quality > 0) & (owner[at] > number + 1)
            best[at][better] = quality[better]
            owner[at][better] = number + 1
        return cls(box=box, owner=owner, best=best)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeamCosts:
    """Seam energy in integers.

    nadir, length  in units of FULL_COST
    full_scale     in feature units
    """

    nadir: int
    length: int
    full_scale: int

    @classmethod
    def from_relative(cls, nadir: float, length: float, difference_grey: float) -> SeamCosts:
        """Build from costs relative to a pixel that differs by `difference_grey` or more."""
        return cls(
            nadir=round(nadir * FULL_COST),
            length=max(round(length * FULL_COST), 1),
            full_scale=max(round(difference_grey * _GREY_LEVEL), 1),
        )

    def data(self, quality: Words, best: Words) -> Ints:
        """Return D: the cost of a view of this quality where `best` is available."""
        lost = (best.astype(np.int64) - quality) * self.nadir // np.maximum(best, 1)
        return np.asarray(np.maximum(lost, 0), dtype=np.int32)


def try_frame(
    labels: LabelMap,
    number: int,
    view_of_number: Callable[[int], LabelView],
    costs: SeamCosts,
    where: PixelBox,
    reach_px: int,
) -> PixelBox | None:
    """Expand one frame inside `where`; return the box it gained, or None.

    reach_px  how far from its ground it may reach; 0: wherever it sees well enough
    """
    view = view_of_number(number)
    where = where.intersection(view.box).intersection(labels.box)
    if where.is_empty:
        return None
    active = _promising(labels, number, view, where, reach_px)
    if not active.any():
        return None
    tight = _box_around(active, where)
    # a fixed rim of one pixel, so that every edge that a move can change is in the window
    around = tight.padded(1).intersection(labels.box)
    window = _window(labels, around, view_of_number, costs)
    looks, quality = _label_features(view, around)
    free = np.zeros(around.shape, dtype=np.bool_)
    free[tight.slices_in(around)] = active[tight.slices_in(where)]
    at = around.slices_in(labels.box)
    taken = expand_label(window, number + 1, looks, costs.data(quality, labels.best[at]), free)
    if not taken.any():
        return None
    labels.owner[at][taken] = number + 1
    return _box_around(taken, around)


def _box_around(mask: NDArray[np.bool_], box: PixelBox) -> PixelBox:
    """Return the box around the pixels of `box` that are set in `mask`."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    row, col = box.row + top, box.col + left
    return PixelBox(row=row, col=col, row_stop=row + height, col_stop=col + width)


def _promising(
    labels: LabelMap, number: int, view: LabelView, where: PixelBox, reach_px: int
) -> NDArray[np.bool_]:
    """Return pixels of `where` that the frame sees well, within reach, but lacks."""
    owner = labels.owner[where.slices_in(labels.box)]
    quality = view.quality[where.slices_in(view.box)]
    promising = (quality > 0) & (owner > 0) & (owner != number + 1)
    promising &= quality.astype(np.int64) * _WORTHWHILE >= labels.best[where.slices_in(labels.box)]
    if reach_px:
        own = (owner == number + 1).astype(np.uint8)
        promising &= cv2.dilate(own, np.ones((2 * reach_px + 1,) * 2, np.uint8)) > 0
    return np.asarray(promising, dtype=np.bool_)


def compute_energy(labels: LabelMap, view_of_number: Callable[[int], LabelView], costs: SeamCosts) -> int:
    """Compute E of the whole labelling, band by band."""
    total = 0
    for top in range(labels.box.row, labels.box.row_stop, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, labels.box.row_stop)
        band = PixelBox(row=top, col=labels.box.col, row_stop=min(bottom + 1, labels.box.row_stop),
                   col_stop=labels.box.col_stop)  # fmt: skip
        window = _window(labels, band, view_of_number, costs)
        rows = bottom - top
        total += int(window.data[:rows].sum(dtype=np.int64)) + int(window.seams(0)[:rows].sum(dtype=np.int64))
        total += int(window.seams(1)[:rows].sum(dtype=np.int64))
    return total


def _window(
    labels: LabelMap, where: PixelBox, view_of_number: Callable[[int], LabelView], costs: SeamCosts
) -> ExpansionWindow:
    """Collect what the owners show in a window, at their pixels and one beyond."""
    owner = labels.owner[where.slices_in(labels.box)]
    best = labels.best[where.slices_in(labels.box)]
    shape = where.shape
    planes = [(np.zeros((*shape, _FEATURES), np.int16), np.zeros(shape, np.bool_)) for _ in range(5)]
    data = np.zeros(shape, dtype=np.int32)
    for label in (int(n) for n in np.unique(owner) if n):
        rows, cols = np.nonzero(owner == label)
        view = view_of_number(label - 1)
        for (features, seen), (down, right) in zip(planes, _AROUND, strict=True):
            r, c = rows + (where.row - view.box.row + down), cols + (where.col - view.box.col + right)
            inside = (r >= 0) & (c >= 0) & (r < view.box.shape[0]) & (c < view.box.shape[1])
            r, c = np.where(inside, r, 0), np.where(inside, c, 0)
            features[rows, cols] = view.features[r, c]
            quality = view.quality[r, c]
            seen[rows, cols] = inside & (quality > 0)
            if (down, right) == (0, 0):
                data[rows, cols] = costs.data(
                    np.where(inside, quality, 0).astype(np.uint16), best[rows, cols]
                )
    own, right_of, below, left_of, above = (LabelFeatures(features=f, seen=s) for f, s in planes)
    return ExpansionWindow(
        owner=owner,
        own=own,
        beyond=(right_of, below),
        before=(left_of, above),
        data=data,
        length=costs.length,
        full_scale=costs.full_scale,
    )


_AROUND = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))


def _label_features(view: LabelView, where: PixelBox) -> tuple[LabelFeatures, Words]:
    """Return a view's features and quality over a window (0 outside its box)."""
    features = np.zeros((*where.shape, _FEATURES), dtype=np.int16)
    quality = np.zeros(where.shape, dtype=np.uint16)
    both = where.intersection(view.box)
    features[both.slices_in(where)] = view.features[both.slices_in(view.box)]
    quality[both.slices_in(where)] = view.quality[both.slices_in(view.box)]
    return LabelFeatures(features=features, seen=quality > 0), quality
