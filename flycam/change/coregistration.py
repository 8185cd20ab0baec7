"""Coregistration of AFTER on BEFORE, and the position errors that remain.

The registration is estimated, judged by held-out windows, and refused where uncertain.

    levels     both images reduced, coarse to fine
    consensus  at the coarsest, the one affine move that most windows agree on, up to `reach_m` away
    warp       level by level, as smooth a field as held-out windows support
    judgement  at the finest, the error at windows, each left out of the field that it judges

Directions of edges are compared (`geometry.correlation`): neither light nor exposure nor colour counts.
Changed ground does not agree with its surroundings and is outvoted; windows that agree are the stable ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from flycam.change.features import COEFFICIENTS
from flycam.change.warp import (
    WINDOW_PX,
    PyramidLevel,
    Warp,
    WarpFit,
    WarpLattice,
    WindowMatches,
    choose_stiffness,
    compute_residuals_px,
    count_chance_agreements,
    find_consensus,
    find_supported_windows,
    fit_warp,
    halve_level,
    match_level_windows,
    reduce_image,
)
from flycam.errors import CoregistrationFailed
from flycam.messages import _

# -- Errors of a refused coregistration ------------------------------------------------------------


Names = tuple[str, str]
"""Names of the before and the after image in sentences."""

_MIN_FLOWN_GSD_M = 0.02  # a light drone some 70 m above the ground


def make_no_overlap_error(names: Names) -> CoregistrationFailed:
    """Make the error for two images without common ground."""
    before, after = names
    return CoregistrationFailed(
        _(
            "{before} and {after}: show no ground in common; give two pictures of the same place",
            before=before,
            after=after,
        )
    )


def make_empty_image_error(name: str) -> CoregistrationFailed:
    """Make the error for an image that shows nothing: another place would not help."""
    return CoregistrationFailed(
        _(
            "{name}: shows nothing: all of it is without data, or exactly black or white; "
            "open it and see, then give a picture that was imaged",
            name=name,
        )
    )


def make_little_overlap_error(
    names: Names, common_m2: float, gsd_m: float, sharp_m: float
) -> CoregistrationFailed:
    """Make the error for too few common pixels to coregister.

    gsd_m    their pixel
    sharp_m  the pixel at which as much ground would do; where no flight is so low, more ground is the cure
    """
    before, after = names
    if sharp_m < _MIN_FLOWN_GSD_M:
        return CoregistrationFailed(
            _(
                "{before} and {after}: show only {common_m2:,.0f} m² of ground in common, too "
                "little to align one with the other; fly more of the same ground",
                before=before,
                after=after,
                common_m2=common_m2,
            )
        )
    return CoregistrationFailed(
        _(
            "{before} and {after}: show {common_m2:,.0f} m² of ground in common, at "
            "{gsd_m:.3g} m a pixel too few pixels to align one with the other; give "
            "pictures of at most {sharp_m:.6g} m a pixel, or of more of the same ground",
            before=before,
            after=after,
            common_m2=common_m2,
            gsd_m=gsd_m,
            sharp_m=math.floor(sharp_m * 100.0) / 100.0,
        )
    )


def make_resolution_mismatch_error(
    coarse: str, fine: str, times: float, min_gsd_m: float, *, is_file: bool
) -> CoregistrationFailed:
    """Make the error for an image so much coarser that it shows different things.

    min_gsd_m  the pixel at which the finer one could be compared, to two figures, rounded up
    is_file    whether the finer one is a file, which flycam does not export
    """
    if is_file:
        cure = _(
            "make the finer one coarser, {gsd_m:.2g} m a pixel (gdalwarp -r average -tr, in a CRS of metres)",
            gsd_m=min_gsd_m,
        )
    else:
        gsd = f"{min_gsd_m:.2g}"
        cure = _("export the finer one at --gsd {gsd} and give that file", gsd=gsd)
    return CoregistrationFailed(
        _(
            "{coarse}: is {times:.0f} times coarser than {fine}; give a sharper picture, or {cure}",
            coarse=coarse,
            times=times,
            fine=fine,
            cure=cure,
        )
    )


def make_no_match_error(names: Names, tried: int, clear: int, reach_m: float) -> CoregistrationFailed:
    """Make the error for images of which hardly a window matches."""
    before, after = names
    return CoregistrationFailed(
        _(
            "{before} and {after}: of {tried} windows only {clear} look alike in both within "
            "{reach_m:g} m; another place, night, cloud, water? give pictures by daylight "
            "of ground with edges",
            before=before,
            after=after,
            tried=tried,
            clear=clear,
            reach_m=reach_m,
        )
    )


def make_no_consensus_error(names: Names, clear: int, agreed: int, reach_m: float) -> CoregistrationFailed:
    """Make the error for windows that match, each somewhere else."""
    before, after = names
    return CoregistrationFailed(
        _(
            "{before} and {after}: of {clear} windows found only {agreed} agree on the offset of the "
            "pictures; another place, or more than {reach_m:g} m apart? check the position of each",
            before=before,
            after=after,
            clear=clear,
            agreed=agreed,
            reach_m=reach_m,
        )
    )


# -- Coregistration, level by level ----------------------------------------------------------------


Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]

REACH_M = 25.0
"""Maximum offset of AFTER from BEFORE, in each direction: a live mosaic rectified by its log alone is off by
metres to some 10 m, a satellite scene as much."""

_OVERLAPPING_PX = WINDOW_PX // 2
# sub-pixel matching at half resolution is as good as change detection needs
_MAX_FINEST_PX = 16_000_000
_COARSE_REACH_PX = 20
_MIN_SIDE_PX = 192  # of the coarsest level
_COARSE_TOLERANCE_PX = 3.0
_MIDDLE_REACH_PX, _FINE_REACH_PX = 8, 6
# maximum difference of neighbours that support each other
_COARSE_LIKE_PX, _MIDDLE_LIKE_PX, _FINE_LIKE_PX = 3.0, 2.0, 1.5
# lower at the coarsest level: wrong windows there fall anywhere, and consensus rejects them
_COARSE_MARGIN, _FINE_MARGIN = 0.5, 1.0
_MIN_WINDOWS, _MIN_SHARE = 12, 0.2
# consensus by chance alone is accepted once in 10⁹ times (decision 0036)
_RISK = 1e-9
_FOLDS = 5
_GATE_SIGMAS, _MIN_GATE_PX, _MAX_GATE_PX = 3.0, 1.0, 3.0
_STRIP_ROWS, _BLOCK_COLS = 512, 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """Registration of AFTER on BEFORE.

    Pixels are those of the common grid, metres those of its CRS.

    warp         from places of BEFORE to places of AFTER
    windows      the evidence, M windows of the finest level compared; factor, its reduction
    agreed       M: windows that agree with a field made without them: stable ground
    residual_px  M×2: each window minus that field; NaN where no certain match was found
    shift_m      (east, north) by which AFTER lay off BEFORE, median over stable ground
    rmse_m, p95_m   length of those residuals over the windows that agree, so never above `gate_m`
    found_p95_m  the same over all windows with a certain match: changes, steps of a live mosaic, wrong fields
                 too
    gate_m       maximum residual of a window that agrees
    stiffness    of the field (`fit_warp`) where the finest level made it; None: an affine map was all
                 that its evidence supports, or the field is that of a coarser level
    """

    warp: Warp
    windows: WindowMatches
    factor: int
    agreed: Mask
    residual_px: Floats
    shift_m: tuple[float, float]
    rmse_m: float
    p95_m: float
    found_p95_m: float
    gate_m: float
    stiffness: float | None
    gsd_m: float

    @property
    def found(self) -> int:
        """Number of windows with a certain match, whether they agree or not."""
        return int(np.isfinite(self.residual_px[:, 0]).sum())

    @property
    def agreed_share(self) -> float:
        """Share of the matched windows that agree: 0 to 1."""
        return float(self.agreed.sum()) / max(self.found, 1)

    @property
    def is_smooth(self) -> bool:
        """True if more than an affine map was applied."""
        return bool(self.warp.nodes.any())

    def stable(self, shape: tuple[int, int]) -> Mask:
        """Return the H×W mask of certainly unchanged ground: the windows that agree."""
        mask = np.zeros(shape, np.bool_)
        half = WINDOW_PX * self.factor // 2
        for col, row in np.rint(self.windows.place_px[self.agreed]).astype(int):
            mask[max(row - half, 0) : row + half, max(col - half, 0) : col + half] = True
        return mask


def coregister_images(
    before_rgb: Picture,
    before_seen: Mask,
    after_rgb: Picture,
    after_seen: Mask,
    *,
    gsd_m: float,
    names: Names,
    reach_m: float = REACH_M,
    progress: Progress = lambda *_: None,
) -> Registration:
    """Coregister AFTER on BEFORE, both already on one grid by their coordinates.

    before_rgb, after_rgb uint8 H×W×3; before_seen, after_seen bool H×W; gsd_m the side of a pixel; reach_m
    the maximum offset of AFTER. Raises CoregistrationFailed, with the reason, where the evidence is too poor.
    """
    common = int(np.count_nonzero(before_seen & after_seen))
    if not common:
        raise make_no_overlap_error(names)
    levels = _pyramid(before_rgb, before_seen, after_rgb, after_seen, gsd_m, reach_m)
    finest = levels[0]
    least = _MIN_WINDOWS * (WINDOW_PX * finest.factor) ** 2
    if common < least:
        sharp_m = gsd_m * float(np.sqrt(common / least))
        raise make_little_overlap_error(names, common * gsd_m**2, gsd_m, sharp_m)
    steps = len(levels) + 1
    progress("coregister", 0, steps)
    warp = _placed(levels[-1], gsd_m, reach_m, names)
    for done, level in enumerate(reversed(levels[1:-1]), start=1):
        progress("coregister", done, steps)
        warp = _refined(level, warp)
    progress("coregister", steps - 1, steps)
    registration = _judged(finest, warp, gsd_m, reach_m, names)
    progress("coregister", steps, steps)
    return registration


def resample_after(registration: Registration, after_rgb: Picture, after_seen: Mask) -> tuple[Picture, Mask]:
    """Resample the after image (H×W×3, H×W) to BEFORE's grid: cubic, block by block.

    Seen only where all source pixels of a pixel were.
    """
    shape = after_seen.shape
    rgb, seen = np.zeros_like(after_rgb), np.zeros(shape, np.bool_)
    for top in range(0, shape[0], _STRIP_ROWS):
        for left in range(0, shape[1], _BLOCK_COLS):
            here = (
                slice(top, min(top + _STRIP_ROWS, shape[0])),
                slice(left, min(left + _BLOCK_COLS, shape[1])),
            )
            block = here[0].stop - top, here[1].stop - left
            x, y = registration.warp.positions(top, left, block)
            # crop to what the block samples: cv2.remap takes at most 32,767 pixels a side
            rows, cols = _sampled_slice(y, shape[0]), _sampled_slice(x, shape[1])
            at = x - np.float32(cols.start), y - np.float32(rows.start)
            rgb[here] = cv2.remap(after_rgb[rows, cols], *at, cv2.INTER_CUBIC)
            data = cv2.erode(
                after_seen[rows, cols].astype(np.uint8) * np.uint8(255), np.ones((3, 3), np.uint8)
            )
            seen[here] = cv2.remap(data, *at, cv2.INTER_LINEAR) == 255
    return rgb, seen


def _sampled_slice(positions: NDArray[np.float32], size: int) -> slice:
    """Return the part of an axis of `size` pixels needed to sample at positions.

    One pixel where they lie beyond it.
    """
    first = int(np.clip(np.floor(positions.min()) - 3, 0, size - 1))
    return slice(first, int(np.clip(np.ceil(positions.max()) + 4, first + 1, size)))


def _pyramid(
    before_rgb: Picture,
    before_seen: Mask,
    after_rgb: Picture,
    after_seen: Mask,
    gsd_m: float,
    reach_m: float,
) -> list[PyramidLevel]:
    """Return levels from the finest compared to the one with `reach_m` of some 20 px."""
    rows, cols = before_seen.shape
    factor = 1
    while rows * cols > _MAX_FINEST_PX * factor**2:
        factor *= 2
    before, seen_before = reduce_image(before_rgb, before_seen, factor)
    after, seen_after = reduce_image(after_rgb, after_seen, factor)
    level = PyramidLevel(
        factor=factor, before=before, after=after, before_seen=seen_before, after_seen=seen_after
    )
    levels = [level]
    while (
        2 * level.factor * gsd_m <= reach_m / _COARSE_REACH_PX * 1.5 and min(level.shape) >= 2 * _MIN_SIDE_PX
    ):
        level = halve_level(level)
        levels.append(level)
    return levels


def _placed(level: PyramidLevel, gsd_m: float, reach_m: float, names: Names) -> Warp:
    """Return the field about the affine move at the coarsest level.

    Raises CoregistrationFailed where chance explains as much.
    """
    still = Warp.identity(
        (level.shape[0] * level.factor, level.shape[1] * level.factor), WINDOW_PX * level.factor
    )
    reach_px = max(int(np.ceil(reach_m / (gsd_m * level.factor))), _FINE_REACH_PX)
    spacing = _OVERLAPPING_PX
    windows = match_level_windows(level, still, reach_px=reach_px, spacing_px=spacing)
    clear = windows.select_clear(_COARSE_MARGIN)
    # windows overlap: neighbours are not independent witnesses
    witnesses = (spacing / WINDOW_PX) ** 2
    if clear.sum() * witnesses < 2.0:
        raise make_no_match_error(names, len(windows), int(clear.sum()), reach_m)
    tolerance = _COARSE_TOLERANCE_PX * level.factor
    consensus = find_consensus(windows.take(clear), tolerance)
    agreed = int(consensus.agreed.sum())
    share = np.pi * _COARSE_TOLERANCE_PX**2 / (2.0 * reach_px + 1.0) ** 2
    if agreed * witnesses <= count_chance_agreements(clear.sum() * witnesses, share, _RISK):
        raise make_no_consensus_error(names, int(clear.sum()), agreed, reach_m)
    return _fit(
        level,
        windows,
        Warp(affine=consensus.affine, lattice=still.lattice, nodes=still.nodes),
        clear & (compute_residuals_px(windows, consensus.affine) < reach_px * level.factor / 2.0),
        spacing,
        _COARSE_LIKE_PX,
    ).warp


def _refined(level: PyramidLevel, warp: Warp) -> Warp:
    """Refine the field at one level; unchanged where too few windows match."""
    windows = match_level_windows(level, warp, reach_px=_MIDDLE_REACH_PX, spacing_px=_OVERLAPPING_PX)
    clear = windows.select_clear(_FINE_MARGIN)
    if clear.sum() < _MIN_WINDOWS:
        return warp
    return _fit(level, windows, warp, clear, _OVERLAPPING_PX, _MIDDLE_LIKE_PX).warp


def _judged(level: PyramidLevel, warp: Warp, gsd_m: float, reach_m: float, names: Names) -> Registration:
    """Fit the field at the finest level and judge it by windows left out of it."""
    windows = match_level_windows(level, warp, reach_px=_FINE_REACH_PX, spacing_px=WINDOW_PX)
    clear = windows.select_clear(_FINE_MARGIN)
    if clear.sum() < _MIN_WINDOWS:
        raise make_no_match_error(names, len(windows), int(clear.sum()), reach_m)
    fit = _fit(level, windows, warp, clear, WINDOW_PX, _FINE_LIKE_PX)
    residual = _left_out(level, windows, fit, clear)
    gate = level.factor * float(
        np.clip(_GATE_SIGMAS * fit.spread_px / level.factor, _MIN_GATE_PX, _MAX_GATE_PX)
    )
    off = np.hypot(*residual.T)
    agreed = clear & (off < gate)
    share = np.pi * (gate / level.factor) ** 2 / (2.0 * _FINE_REACH_PX + 1.0) ** 2
    least = max(
        _MIN_WINDOWS, _MIN_SHARE * clear.sum(), count_chance_agreements(float(clear.sum()), share, _RISK)
    )
    if agreed.sum() < least:
        raise make_no_consensus_error(names, int(clear.sum()), int(agreed.sum()), reach_m)
    east, south = np.median(fit.warp.displacement(windows.place_px[agreed]), axis=0) * gsd_m
    return Registration(
        warp=fit.warp,
        windows=windows,
        factor=level.factor,
        agreed=agreed,
        residual_px=residual,
        shift_m=(float(east), -float(south)),
        rmse_m=float(np.sqrt(np.mean(off[agreed] ** 2))) * gsd_m,
        p95_m=float(np.percentile(off[agreed], 95)) * gsd_m,
        found_p95_m=float(np.percentile(off[clear], 95)) * gsd_m,
        gate_m=gate * gsd_m,
        stiffness=fit.stiffness,
        gsd_m=gsd_m,
    )


def _left_out(level: PyramidLevel, windows: WindowMatches, fit: WarpFit, found: Mask) -> Floats:
    """Return each window minus the field made without it, M×2; NaN without a match.

    Such a field is made as the applied one was: of the same stiffness, from the same windows except a fold of
    them. A field that a coarser level made is judged as it is: none of these windows had a part in it.
    """
    residual = np.full((len(windows), 2), np.nan)
    residual[found] = fit.residual_px[found]
    if not fit.made_from.any():
        return residual
    fold = np.random.default_rng(2).permutation(len(windows)) % _FOLDS
    for number in range(_FOLDS):
        judges, makers = found & (fold == number), fit.made_from & (fold != number)
        others = fit_warp(windows, fit.warp.lattice, fit.warp, level.factor, fit.stiffness, makers)
        residual[judges] = others.residual_px[judges]
    return residual


def _fit(
    level: PyramidLevel, windows: WindowMatches, warp: Warp, used: Mask, spacing_px: int, like_px: float
) -> WarpFit:
    """Fit the field to the `used` windows of a level that support each other.

    Unchanged where they are too few.
    """
    side = float(WINDOW_PX * level.factor)
    used = find_supported_windows(windows, used, warp, side, like_px * level.factor)
    if used.sum() < _MIN_WINDOWS:
        return WarpFit(
            warp=warp,
            made_from=np.zeros(len(windows), np.bool_),
            stiffness=None,
            residual_px=windows.displacement_px - warp.displacement(windows.place_px),
            spread_px=float(level.factor),
        )
    # (rows, columns) of the common grid that a level covers
    rows, cols = level.shape
    lattice = WarpLattice.from_shape(
        (rows * level.factor, cols * level.factor), float(spacing_px * level.factor)
    )
    stiffness = choose_stiffness(windows, lattice, warp, level.factor, used)
    return fit_warp(windows, lattice, warp, level.factor, stiffness, used)


# -- Position error on BEFORE of an outline found on AFTER, and error of its area ------------------


HAND_RIM_M = 1.0
"""Chosen, not measured: corners are set to about two pixels of an image (0.3 to 1 m), and where a scar ends
under grass, or water in reeds, two people differ by about a metre."""

_NEAREST = 12
"""Number of windows from which the field's error around a place is estimated."""


def estimate_place_error_m(registration: Registration, places_px: Floats) -> Floats:
    """Estimate the 1-sigma radial error, metres, of the registration at N places.

    places_px  N×2, pixels of the grid

    error² = s² · (1 + h), of the k = 12 nearest windows that agree (all, where there are fewer):

        s²  mean of their squared residuals, each against a field made without that window
        h   1/k + dᵀ S⁻¹ d, the leverage of a place at d from their mean in a plane through them, with
            S = Σ (p - p̄)(p - p̄)ᵀ + k w²/12 · I, w the side of a window, which is ground and no point

    Among the windows that is hardly more than s; away from them it grows with the distance, for a field is
    only extrapolated there. It is the error between the two images: the error of the ground BEFORE itself is
    that of its mosaic (the expected error of its pixels).
    """
    windows = registration.windows.place_px[registration.agreed]
    squared = (registration.residual_px[registration.agreed] ** 2).sum(axis=1) * registration.gsd_m**2
    return interpolate_error(windows, squared, float(WINDOW_PX * registration.factor), places_px)


def interpolate_error(windows: Floats, squared: Floats, side: float, places: Floats) -> Floats:
    """Compute `estimate_place_error_m` from M windows that agree.

    windows  their places (M×2), like their side in the unit of the N places (N×2)
    squared  their squared residuals (M, square metres)
    """
    k = min(_NEAREST, len(windows))
    nearest = cKDTree(windows).query(places, k=k)[1].reshape(len(places), k)
    near = windows[nearest]
    middle = near.mean(axis=1, keepdims=True)
    spread = np.einsum("nki,nkj->nij", near - middle, near - middle)
    spread += k * side**2 / 12.0 * np.eye(2)
    away = places - middle[:, 0]
    leverage = 1.0 / k + np.einsum("ni,nij,nj->n", away, np.linalg.inv(spread), away)
    error: Floats = np.sqrt(squared[nearest].mean(axis=1) * (1.0 + leverage))
    return error


def estimate_area_error_m2(
    kind: str, perimeter_m: float, error_m: float | None, *, by_hand: bool = False
) -> float:
    """Estimate the 1-sigma error of an area, square metres.

    perimeter · √(rim² + error²)

        rim     distance in or out of the true outline, all along it: for a candidate
                `COEFFICIENTS.rim_m` of its kind, for one drawn by hand `HAND_RIM_M`
        error   of its place (`estimate_place_error_m`), as if all of it lay too far out or in by that, which
                is more than the error of an outline that is only shifted; None: not known, and left out

    On exercises areas err in proportion to the perimeter and not to its root: the rim lies out, or in, along
    the whole outline (light, haze, blur, the old river that is drawn into a flood); it does not vary from
    place to place and cancel. Errors have a heavier tail than a normal law's, for parts are missed and
    neighbours joined, so `rim_m` is the least with which 68 % of true areas lie within one sigma, and 95 %
    within two (`bench/change_outlines.py` fits and counts them). It applies to whole slides and floods on
    images of 0.15 to 0.5 m; it does not cover what is missing where a change was found in pieces. It was not
    judged for "other" changes: extracted from bare ground as slides are, they are taken to err as these do.
    """
    fitted = COEFFICIENTS.rim_m
    rim = HAND_RIM_M if by_hand else fitted.get(kind, fitted["landslide"])
    return perimeter_m * math.hypot(rim, error_m or 0.0)
