"""Seamlines by graph cut: ownership of the ground, decided for the whole block on a small label map.

Energy of a labelling l of the coarse grid, over pixels p and 4-neighbours p, q:

    E(l) = sum D_p(l_p) + sum [l_p != l_q] (c + d_p(l_p, l_q) + d_q(l_p, l_q))

D falls with the quality of the view (nadir, fine, far from the image's border); d_p(f, g) is the difference
of frames f and g at p in colour and gradient, truncated, so that a seam goes where they agree: around houses
and moving things. d is a metric, so each alpha-expansion (one frame may take ground from all others) is an
exact minimum cut. The start is the live rule (best quality wins); frames are tried in the order of their
places on the ground, on a grid four times coarser first, then only beside the seams. There are no blocks, so
no seam can follow a block's border.

Sources: Boykov, Veksler and Zabih, PAMI 23(11), 2001 (alpha-expansion); Kwatra et al., SIGGRAPH 2003 (seam
cost); Lombaert et al., ICCV 2005 (coarse to fine in bands).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from scipy.ndimage import find_objects

from flycam.geometry.grid import order_along_morton_curve
from flycam.mosaic.frame_overview import FrameOverviewCache, PixelBox, Words
from flycam.mosaic.label_map import (
    LabelMap,
    LabelView,
    SeamCosts,
    compute_energy,
    lower_rim_quality,
    make_label_view,
    try_frame,
)
from flycam.mosaic.radiometry import Radiometry

# ratio of the grid where seams are found to the one where they are refined
_COARSER = 4
_REFINE_PX = 6
_COARSE_SWEEPS, _FINE_SWEEPS = 4, 2
_STEPS = 4
# at full size a frame may see this much more than its overview
_RIM_PX = 2
_MAX_FRAMES = 0xFFFE  # labels are 16 bits wide, 0 is none
_VIEWS_BYTES = 220_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SeamOptions:
    """Costs of a seam on the fine grid, relative to a pixel that differs wholly.

    nadir       of a pixel from a view of no quality; a view of the best quality costs nothing
    length      of an edge of seam where frames agree perfectly
    difference  grey levels at which two frames count as wholly different
    """

    nadir: float = 0.3
    length: float = 0.03
    difference: float = 48.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SeamPlan:
    """Ownership of the ground.

    z       zoom of the label grid; box: its global pixels
    frames  sorted frame ids; labels number them from 1
    owner   H×W uint16, 0 = no frame sees it
    second  H×W uint16: substitute where the owner turns out to see nothing, 0 = none
    energy_start, energy  of the live rule's labelling and of the one found, on the coarse grid
    """

    z: int
    box: PixelBox
    frames: tuple[str, ...]
    owner: Words
    second: Words
    energy_start: int
    energy: int


def plan_seams(
    overviews: FrameOverviewCache,
    radiometry: Radiometry,
    *,
    options: SeamOptions = SeamOptions(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SeamPlan:
    """Label the block. Overviews are requested a few times each, neighbours together.

    Raises ValueError without frames, with more than labels can number, or if their overviews differ in zoom.
    """
    if not 0 < len(overviews) <= _MAX_FRAMES:
        raise ValueError(f"seams are planned for 1 to {_MAX_FRAMES} frames, not {len(overviews)}")
    small, boxes, zooms = [], [], set()
    for number in range(len(overviews)):
        overview = overviews[number]
        small.append(make_label_view(overview, radiometry, number, reduce=_COARSER))
        boxes.append(overview.box)
        zooms.add(overview.z)
    if len(zooms) != 1 or all(box.is_empty for box in boxes):
        raise ValueError("the overviews of a block must see some ground, at one zoom")
    z = zooms.pop()
    order = _along_the_ground([view.box for view in small])

    coarse = _best([view.box for view in small], order, lambda n: small[n].quality)
    # a coarse pixel stands for 16 fine ones, a coarse edge for 4
    heavy = SeamCosts.from_relative(options.nadir * _COARSER, options.length, options.difference)
    energy_start = compute_energy(coarse, small.__getitem__, heavy)
    everywhere: list[PixelBox | None] = [view.box for view in small]
    for _ in _sweeps(coarse, order, small.__getitem__, heavy, lambda: everywhere, 0, _COARSE_SWEEPS):
        progress(1, _STEPS)
    energy_end = compute_energy(coarse, small.__getitem__, heavy)
    small.clear()

    views = _Views(overviews, radiometry)
    fine = _best(boxes, order, lambda n: lower_rim_quality(overviews[n]))
    _take_over(coarse, fine, overviews, order)
    progress(2, _STEPS)
    light = SeamCosts.from_relative(options.nadir, options.length, options.difference)
    grounds = partial(_grounds, fine, len(order))
    for _ in _sweeps(fine, order, views.__getitem__, light, grounds, _REFINE_PX, _FINE_SWEEPS):
        progress(3, _STEPS)
    second = _second(fine, overviews, order)
    overviews.forget()
    progress(_STEPS, _STEPS)
    return _plan(overviews.frame_ids, z, fine, second, (energy_start, energy_end))


class _Views:
    """Views on the fine grid; the last used ones are kept."""

    def __init__(self, overviews: FrameOverviewCache, radiometry: Radiometry) -> None:
        self._overviews, self._radiometry = overviews, radiometry
        self._kept: OrderedDict[int, LabelView] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, number: int) -> LabelView:
        view = self._kept.get(number)
        if view is None:
            view = make_label_view(self._overviews[number], self._radiometry, number)
            self._kept[number] = view
            self._bytes += _bytes_of(view)
            while self._bytes > _VIEWS_BYTES and len(self._kept) > 1:
                self._bytes -= _bytes_of(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(number)
        return view


def _bytes_of(view: LabelView) -> int:
    return view.features.nbytes + view.quality.nbytes


def _sweeps(
    labels: LabelMap,
    order: Sequence[int],
    view: Callable[[int], LabelView],
    costs: SeamCosts,
    windows_now: Callable[[], list[PixelBox | None]],
    reach_px: int,
    max_sweeps: int,
) -> Iterator[int]:
    """Try every frame in its window until nothing moves; yield after each sweep.

    At most `max_sweeps` sweeps. A frame that took nothing is tried again only after something moved in its
    window: it would take nothing.
    """
    awake = np.ones(len(order), dtype=np.bool_)
    for sweep in range(max_sweeps):
        windows = windows_now()
        edges = np.array([(w.row, w.col, w.row_stop, w.col_stop) if w else (0, 0, 0, 0) for w in windows])
        for number in order:
            window = windows[number]
            if window is None or not awake[number]:
                continue
            took = try_frame(labels, number, view, costs, window.padded(reach_px), reach_px)
            if took is not None:
                near = took.padded(reach_px + 1)
                moved = (edges[:, 0] < near.row_stop) & (edges[:, 2] > near.row)
                awake |= moved & (edges[:, 1] < near.col_stop) & (edges[:, 3] > near.col)
            # an expansion is optimal in its window, so only a longer reach can give the frame more
            awake[number] = took is not None and reach_px > 0
        yield sweep
        if not awake.any():
            return


def _best(boxes: Sequence[PixelBox], order: Sequence[int], quality: Callable[[int], Words]) -> LabelMap:
    held = [box for box in boxes if not box.is_empty]
    around = held[0]
    for box in held[1:]:
        around = around.union(box)
    return LabelMap.from_best(around, ((n, boxes[n], quality(n)) for n in order if not boxes[n].is_empty))


def _along_the_ground(boxes: Sequence[PixelBox]) -> list[int]:
    """Order frame numbers along Morton's curve, so that neighbours are adjacent."""
    rows = np.array([(b.row + b.row_stop) // 2 for b in boxes], dtype=np.int64)
    cols = np.array([(b.col + b.col_stop) // 2 for b in boxes], dtype=np.int64)
    return [int(n) for n in order_along_morton_curve(rows - rows.min(), cols - cols.min())]


def _take_over(coarse: LabelMap, fine: LabelMap, overviews: FrameOverviewCache, order: Sequence[int]) -> None:
    """Give fine pixels their coarse owners; elsewhere the best view keeps them."""
    rows = np.clip(np.arange(fine.box.row, fine.box.row_stop) // _COARSER - coarse.box.row, 0, None)
    cols = np.clip(np.arange(fine.box.col, fine.box.col_stop) // _COARSER - coarse.box.col, 0, None)
    rows, cols = (np.minimum(i, n - 1) for i, n in zip((rows, cols), coarse.box.shape, strict=True))
    wanted = coarse.owner[np.ix_(rows, cols)]
    for number in order:
        overview = overviews[number]
        if overview.box.is_empty:
            continue
        at = overview.box.slices_in(fine.box)
        takes = (wanted[at] == number + 1) & (lower_rim_quality(overview) > 1)
        fine.owner[at][takes] = number + 1


def _grounds(labels: LabelMap, frames: int) -> list[PixelBox | None]:
    """Return the box around each frame's ground, None where it owns none."""
    found: list[PixelBox | None] = [None] * frames
    for number, place in enumerate(find_objects(labels.owner.astype(np.int32))):
        if place is not None:
            rows, cols = place
            found[number] = PixelBox(
                row=labels.box.row + rows.start,
                col=labels.box.col + cols.start,
                row_stop=labels.box.row + rows.stop,
                col_stop=labels.box.col + cols.stop,
            )
    return found


def _second(labels: LabelMap, overviews: FrameOverviewCache, order: Sequence[int]) -> Words:
    """Return the best view of each pixel other than its owner."""
    second = np.zeros_like(labels.owner)
    best = np.zeros_like(labels.best)
    for number in order:
        overview = overviews[number]
        if overview.box.is_empty:
            continue
        at, quality = overview.box.slices_in(labels.box), lower_rim_quality(overview)
        better = (quality > best[at]) & (labels.owner[at] != number + 1)
        best[at][better] = quality[better]
        second[at][better] = number + 1
    return second


def _plan(
    frame_ids: Sequence[str], z: int, labels: LabelMap, second: Words, energies: tuple[int, int]
) -> SeamPlan:
    """Make a plan: labels number sorted ids and reach a little past the overviews."""
    frames = tuple(sorted(frame_ids))
    table = np.array([0, *(frames.index(f) + 1 for f in frame_ids)], dtype=np.uint16)
    planes = []
    for plane in (labels.owner, second):
        wide = np.pad(table[plane], _RIM_PX)
        planes.append(np.where(wide > 0, wide, _dilated(np.pad(table[labels.owner], _RIM_PX))))
    owner, other = planes
    return SeamPlan(
        z=z,
        box=labels.box.padded(_RIM_PX),
        frames=frames,
        owner=owner,
        second=np.where(other == owner, 0, other).astype(np.uint16),
        energy_start=energies[0],
        energy=energies[1],
    )


def _dilated(labels: Words) -> Words:
    return np.asarray(cv2.dilate(labels, np.ones((2 * _RIM_PX + 1,) * 2, np.uint8)), dtype=np.uint16)
