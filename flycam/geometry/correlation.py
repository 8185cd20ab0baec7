"""How far windows of one picture lie from another picture of the same ground, in another light or season.

Compared are the directions of edges, not brightness: each pixel is the doubled angle of its gradient, weighed
by how clearly it stands above the noise, so neither exposure nor a shadow edge that turned from dark-bright
to bright-dark changes it. All windows are correlated at once by FFT.

Sources: Fitch, Kadyrov, Christmas and Kittler, Orientation correlation, BMVC 2002; doubled angles after
Bigün and Granlund 1987; sub-pixel peak by a paraboloid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Complex = NDArray[np.complex64]

_WINDOWS_AT_ONCE = 64
_SMOOTH_PX = 1.0
_NOISE_SHARE = 0.5
# Pixels of independent evidence are fewer than pixels: gradients were smoothed over about this area.
_CORRELATED_PX = 9.0
_NEAR_PEAK_PX = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowShifts:
    """Of N windows; NaN shift where a window holds too little data.

    shift_px  N×2 (columns, rows): what stands at p in the first picture stands at p + shift in the second
    sigma_px  N, of one coordinate, from the height and sharpness of the peak
    score     N, correlation at the peak, 0-1
    margin    N, how many noise sigmas the peak stands above the best other place
    """

    shift_px: Floats
    sigma_px: Floats
    score: Floats
    margin: Floats

    def take(self, chosen: NDArray[np.bool_]) -> WindowShifts:
        """The windows of a mask."""
        return WindowShifts(
            shift_px=self.shift_px[chosen],
            sigma_px=self.sigma_px[chosen],
            score=self.score[chosen],
            margin=self.margin[chosen],
        )


def edge_directions(grey: Singles, valid: NDArray[np.bool_]) -> Complex:
    """H×W complex64: doubled gradient angle times its weight 0-1; 0 where not valid or flat.

    grey H×W float32; valid H×W bool, pixels with data. Pixels that see the rim of the data count as flat.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), _SMOOTH_PX)
    east = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1.0 / 32.0)
    south = cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1.0 / 32.0)
    inside = cv2.erode(valid.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    gradient = east + 1j * south
    strength = np.abs(gradient)
    known = strength[inside]
    noise = _NOISE_SHARE * float(np.median(known)) if known.size else 0.0
    # squaring doubles the angle; the divisor takes the strength out and lets noise fade
    directions = gradient * gradient / np.maximum(strength**2 + noise**2, 1e-12)
    directions[~inside] = 0.0
    return np.asarray(directions, dtype=np.complex64)


def match_windows(
    first: Complex, second: Complex, centres_px: NDArray[np.int64], *, window_px: int, reach_px: int
) -> WindowShifts:
    """Shifts of square windows of `first` against `second` (both from `edge_directions`, equal shapes).

    centres_px  N×2 (column, row) of the windows, which must lie inside the picture with their search area:
                else they come out as NaN
    window_px   side of a window; reach_px the largest shift looked for in each direction
    """
    count = len(centres_px)
    result = WindowShifts(
        shift_px=np.full((count, 2), np.nan),
        sigma_px=np.full(count, np.nan),
        score=np.zeros(count),
        margin=np.zeros(count),
    )
    half, wide = window_px // 2, window_px // 2 + reach_px
    rows, cols = first.shape
    fits = (
        (centres_px >= wide).all(axis=1) & (centres_px[:, 0] < cols - wide) & (centres_px[:, 1] < rows - wide)
    )
    inside = np.flatnonzero(fits)
    for start in range(0, inside.size, _WINDOWS_AT_ONCE):
        chunk = inside[start : start + _WINDOWS_AT_ONCE]
        _match_chunk(first, second, centres_px[chunk], half, reach_px, chunk, result)
    return result


def _match_chunk(
    first: Complex,
    second: Complex,
    centres: NDArray[np.int64],
    half: int,
    reach: int,
    into: NDArray[np.int64],
    result: WindowShifts,
) -> None:
    from scipy import fft  # noqa: PLC0415  slow to load, and most commands compare no windows

    windows, areas = _cut(first, centres, half), _cut(second, centres, half + reach)
    side = fft.next_fast_len(areas.shape[1])  # shifts within reach never wrap around
    spectrum = fft.fft2(areas, (side, side)) * np.conj(fft.fft2(windows, (side, side)))
    span = 2 * reach + 1
    correlation = fft.ifft2(spectrum).real[:, :span, :span]
    energy = _overlapping_energy(areas, windows, side, span)
    score = correlation / np.maximum(energy, 1e-6)
    best = score.reshape(len(score), -1).argmax(axis=1)
    row, col = np.divmod(best, span)
    at_rim = (row == 0) | (col == 0) | (row == span - 1) | (col == span - 1)
    enough = np.einsum("nij,nij->n", windows, windows.conj()).real > 0.02 * windows[0].size
    good = enough & ~at_rim
    peak = score[np.arange(len(score)), row, col]
    chosen, r, c, n = into[good], row[good], col[good], np.flatnonzero(good)
    if not n.size:
        return
    offset, bend = _paraboloid(score, n, r, c)
    result.shift_px[chosen] = np.stack([c, r], -1) - reach + offset
    independent = windows[0].size / _CORRELATED_PX
    noise = np.sqrt(np.maximum(1.0 - peak[n] ** 2, 1e-3) / (2.0 * independent))
    result.score[chosen] = peak[n]
    result.margin[chosen] = (peak[n] - _best_elsewhere(score, n, r, c)) / noise
    # the top of a parabola of curvature b is known to noise/b
    result.sigma_px[chosen] = np.clip(noise / np.maximum(bend, 1e-6), 0.02, 5.0)


def _cut(picture: Complex, centres: NDArray[np.int64], half: int) -> Complex:
    """Squares of side 2 half + 1 around centres: N×side×side."""
    view = np.lib.stride_tricks.sliding_window_view(picture, (2 * half + 1, 2 * half + 1))
    return np.ascontiguousarray(view[centres[:, 1] - half, centres[:, 0] - half])


def _overlapping_energy(areas: Complex, windows: Complex, side: int, span: int) -> Floats:
    """Root of the product of both energies where window and area lie over each other: it scales the score."""
    from scipy import fft  # noqa: PLC0415  as above

    strength = np.abs(areas).astype(np.float32) ** 2
    ones = np.ones(windows.shape[1:], dtype=np.float32)
    local = fft.irfft2(
        fft.rfft2(strength, (side, side)) * np.conj(fft.rfft2(ones, (side, side))), (side, side)
    )[:, :span, :span]
    own = np.einsum("nij,nij->n", windows, windows.conj()).real
    return np.asarray(np.sqrt(np.maximum(local, 0.0) * own[:, None, None]), dtype=np.float64)


def _paraboloid(
    score: Floats, n: NDArray[np.int64], row: NDArray[np.int64], col: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Sub-pixel top (columns, rows) N×2 of the score around its peak, and its mean curvature N."""
    middle = score[n, row, col]
    left, right = score[n, row, col - 1], score[n, row, col + 1]
    above, below = score[n, row - 1, col], score[n, row + 1, col]
    bend_x, bend_y = 2.0 * middle - left - right, 2.0 * middle - above - below
    x = 0.5 * (right - left) / np.maximum(bend_x, 1e-9)
    y = 0.5 * (below - above) / np.maximum(bend_y, 1e-9)
    return np.clip(np.stack([x, y], -1), -0.5, 0.5), 0.5 * (bend_x + bend_y)


def _best_elsewhere(
    score: Floats, n: NDArray[np.int64], row: NDArray[np.int64], col: NDArray[np.int64]
) -> Floats:
    """The best score farther than a few pixels from each peak."""
    span = score.shape[1]
    grid = np.arange(span)
    near = (np.abs(grid[None, :, None] - row[:, None, None]) <= _NEAR_PEAK_PX) & (
        np.abs(grid[None, None, :] - col[:, None, None]) <= _NEAR_PEAK_PX
    )
    elsewhere: Floats = np.where(near, -1.0, score[n]).reshape(len(n), -1).max(axis=1)
    return elsewhere
