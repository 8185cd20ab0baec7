"""Seamlines by graph cut: label map, alpha-expansion, seam plan.

Ownership of the ground is decided for the whole block on a small label map.

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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from flycam.concurrency import LruCache
from flycam.geometry.grid import order_along_morton_curve
from flycam.mosaic.finish.radiometry import FrameOverview, FrameOverviewCache, PixelBox, Radiometry, Words

# -- Alpha-expansion as a minimum cut --------------------------------------------------------------
#
# All costs are integers, so the cut is exact; of several minimum cuts the one that changes least is taken,
# which is unique, so the result depends neither on the solver nor on the machine.
#
# Sources: Boykov, Veksler and Zabih, PAMI 23(11), 2001; Kolmogorov and Zabih, PAMI 26(2), 2004, for the
# decomposition of a pair's four costs; the cut itself is `scipy.sparse.csgraph.maximum_flow` (Dinic 1970).


Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]

FULL_COST = 1024
"""The difference d of two frames that do not agree at all."""

_NEIGHBOURS = ((0, 1), (1, 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFeatures:
    """Features of frames over a window (H×W×F int16), where they see it (H×W bool)."""

    features: NDArray[np.int16]
    seen: Mask

    def shifted(self, down: int, right: int, shape: tuple[int, int]) -> LabelFeatures:
        """Return the part of `shape` that begins `down` rows and `right` columns on."""
        window = (slice(down, down + shape[0]), slice(right, right + shape[1]))
        return LabelFeatures(features=self.features[window], seen=self.seen[window])


def compute_difference(one: LabelFeatures, two: LabelFeatures, full_scale: int) -> Ints:
    """Compute d of two views, 0..FULL_COST: L1 distance of their features.

    Truncated at `full_scale`. A pixel that one of them does not see costs FULL_COST. It is a metric, for
    truncation keeps the triangle inequality.
    """
    each = np.abs(one.features - two.features)
    difference = each[..., 0].astype(np.int32)
    # np.sum over so short an axis takes five times as long
    for feature in range(1, each.shape[-1]):
        difference += each[..., feature]
    difference = np.minimum(difference, full_scale) * FULL_COST // full_scale
    difference[~(one.seen & two.seen)] = FULL_COST
    return np.asarray(difference, dtype=np.int32)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpansionWindow:
    """A part of the labelling with all that a move there costs. Planes are H×W.

    owner       labels
    own         features of each pixel's owner there
    beyond      its features at the next pixel to the right and below; before: to the left and above
    data        cost of the pixel as it is labelled
    length      cost of an edge between two labels where they agree
    full_scale  see `compute_difference`
    """

    owner: NDArray[np.uint16]
    own: LabelFeatures
    beyond: tuple[LabelFeatures, LabelFeatures]
    before: tuple[LabelFeatures, LabelFeatures]
    data: Ints
    length: int
    full_scale: int

    def seams(self, axis: int) -> Ints:
        """Return the cost of each edge between neighbours as labelled now.

        axis  0 horizontal neighbours, 1 vertical ones
        """
        p, q = _ends(self.owner.shape, axis)
        cost = self.length + self._differ(self.own, p, self.before[axis], q)
        cost += self._differ(self.beyond[axis], p, self.own, q)
        cost[self.owner[p] == self.owner[q]] = 0
        return np.asarray(cost, dtype=np.int32)

    def energy(self) -> int:
        """Return the total energy of the window."""
        return int(self.data.sum(dtype=np.int64)) + sum(
            int(self.seams(axis).sum(dtype=np.int64)) for axis in (0, 1)
        )

    def _differ(
        self, one: LabelFeatures, at: tuple[slice, slice], two: LabelFeatures, there: tuple[slice, slice]
    ) -> Ints:
        return compute_difference(_at(one, at), _at(two, there), self.full_scale)


def expand_label(
    window: ExpansionWindow, alpha: int, features: LabelFeatures, data: Ints, active: Mask
) -> Mask:
    """Return the pixels (H×W bool) that label `alpha` takes in its best expansion.

    The energy becomes as small as one expansion can make it; no pixel is taken where nothing is won.

    features, data  features of alpha, and its cost, over the window
    active          pixels that may change; alpha's own do not count
    """
    owned = window.owner == alpha
    active = active & ~owned & features.seen
    count = int(np.count_nonzero(active))
    if count == 0:
        return np.zeros_like(active)
    node = np.full(window.owner.shape, -1, dtype=np.int64)
    node[active] = np.arange(count)
    # cost of taking less cost of keeping, for each node
    unary = np.where(active, data - window.data, 0).astype(np.int64)
    tails, heads, capacities = [], [], []
    for axis in (0, 1):
        p, q = _ends(window.owner.shape, axis)
        keep_keep, keep_take, take_keep = _pair_costs(window, axis, owned, features)
        p_free, q_free = active[p], active[q]
        both = p_free & q_free
        unary_p, unary_q = unary[p], unary[q]
        # both free: the decomposition of Kolmogorov and Zabih with cost 0 for (take, take)
        unary_p += np.where(both, take_keep - keep_keep, 0)
        unary_q -= np.where(both, take_keep, 0)
        tails.append(node[p][both])
        heads.append(node[q][both])
        capacities.append((keep_take + take_keep - keep_keep)[both])
        # one end is fixed, as alpha's or as another label's
        unary_p += np.where(p_free & ~q_free, np.where(owned[q], -keep_take, take_keep - keep_keep), 0)
        unary_q += np.where(q_free & ~p_free, np.where(owned[p], -take_keep, keep_take - keep_keep), 0)
    taken = np.zeros_like(active)
    taken[active] = _cut(
        unary[active], np.concatenate(tails), np.concatenate(heads), np.concatenate(capacities)
    )
    return taken


def _pair_costs(
    window: ExpansionWindow, axis: int, owned: Mask, looks: LabelFeatures
) -> tuple[Ints, Ints, Ints]:
    """Return the costs of edges p-q where (neither, only q, only p) is alpha's."""
    p, q = _ends(window.owner.shape, axis)
    keep_take = window.length + window._differ(window.own, p, looks, p)
    keep_take += window._differ(window.beyond[axis], p, looks, q)
    keep_take[owned[p]] = 0
    take_keep = window.length + window._differ(window.before[axis], q, looks, p)
    take_keep += window._differ(window.own, q, looks, q)
    take_keep[owned[q]] = 0
    return window.seams(axis), keep_take, take_keep


def _cut(
    unary: NDArray[np.int64], tails: NDArray[np.int64], heads: NDArray[np.int64], capacity: Ints
) -> Mask:
    """Return the nodes that take alpha: the smallest sink side of the minimum cut.

    A node on the source's side keeps. unary > 0 is the extra cost of taking, < 0 of keeping; `capacity` is
    paid where the tail keeps and the head takes.
    """
    nodes = unary.size
    source, sink = nodes, nodes + 1
    dear, cheap = np.flatnonzero(unary > 0), np.flatnonzero(unary < 0)
    if cheap.size == 0:
        return np.zeros(nodes, dtype=np.bool_)
    graph = csr_matrix(
        (
            np.concatenate([capacity, unary[dear], -unary[cheap]]).astype(np.int32),
            (
                np.concatenate([tails, np.full(dear.size, source), cheap]),
                np.concatenate([heads, dear, np.full(cheap.size, sink)]),
            ),
        ),
        shape=(nodes + 2, nodes + 2),
    )
    flow = maximum_flow(graph, source, sink).flow
    residual = (graph - flow).tocsr()
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reaches_sink = breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)
    sink_side = np.zeros(nodes + 2, dtype=np.bool_)
    sink_side[reaches_sink] = True
    return np.asarray(sink_side[:nodes], dtype=np.bool_)


def _ends(shape: tuple[int, ...], axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the windows of all first and all second pixels of the edges.

    axis  0 along rows, 1 along columns
    """
    down, right = _NEIGHBOURS[axis]
    return (
        (slice(0, shape[0] - down), slice(0, shape[1] - right)),
        (slice(down, shape[0]), slice(right, shape[1])),
    )


def _at(looks: LabelFeatures, window: tuple[slice, slice]) -> LabelFeatures:
    return LabelFeatures(features=looks.features[window], seen=looks.seen[window])


# -- Label map, and the frames' views on its grid --------------------------------------------------


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


# -- Seam plan of a whole block --------------------------------------------------------------------


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

    views = LruCache[int, LabelView](_VIEWS_BYTES, _bytes_of)

    def view(number: int) -> LabelView:
        return views.get(number, lambda: make_label_view(overviews[number], radiometry, number))

    fine = _best(boxes, order, lambda n: lower_rim_quality(overviews[n]))
    _take_over(coarse, fine, overviews, order)
    progress(2, _STEPS)
    light = SeamCosts.from_relative(options.nadir, options.length, options.difference)
    grounds = partial(_grounds, fine, len(order))
    for _ in _sweeps(fine, order, view, light, grounds, _REFINE_PX, _FINE_SWEEPS):
        progress(3, _STEPS)
    second = _second(fine, overviews, order)
    overviews.forget()
    progress(_STEPS, _STEPS)
    return _plan(overviews.frame_ids, z, fine, second, (energy_start, energy_end))


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
            gained = try_frame(labels, number, view, costs, window.padded(reach_px), reach_px)
            if gained is not None:
                near = gained.padded(reach_px + 1)
                moved = (edges[:, 0] < near.row_stop) & (edges[:, 2] > near.row)
                awake |= moved & (edges[:, 1] < near.col_stop) & (edges[:, 3] > near.col)
            # an expansion is optimal in its window, so only a longer reach can give the frame more
            awake[number] = gained is not None and reach_px > 0
        yield sweep
        if not awake.any():
            return


def _best(boxes: Sequence[PixelBox], order: Sequence[int], quality: Callable[[int], Words]) -> LabelMap:
    filled = [box for box in boxes if not box.is_empty]
    around = filled[0]
    for box in filled[1:]:
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
        claimed = (wanted[at] == number + 1) & (lower_rim_quality(overview) > 1)
        fine.owner[at][claimed] = number + 1


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
