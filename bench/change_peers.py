"""What an analyst would otherwise do: plain difference, SSIM, IR-MAD, farq; written as their papers say.

farq 0.1.5.1 (MIT) has two ways for change: water masks from near-infrared bands, which no flight has, and
`ml.detect_changes_ml`, which without a model of the user's own is |difference| > 0.5 of its values, band by
band. That rule is written here, on reflectances of 0 to 1; `python -m bench.change_farq` installs farq
into an environment of its own and checks that it says the same.

All work on the same pictures at half a metre, brought to the same mean and spread band by band, and share one
clean-up: opened and closed by 1.5 m, objects of 200 m² and more. None of them knows kinds; the analyst's
eye is lent to them: on ground steeper than 15 degrees a change is called a landslide, elsewhere a flood.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from scipy.stats import chi2 as distribution

from bench.change_scoring import LEAST_M2, Found
from tests.drill.topview import ViewPair

_WORK_M = 0.5
_STEEP = np.tan(np.radians(15.0))
_CHI2_999 = 16.27  # 99.9 % of chi-square with three degrees of freedom
_ITERATIONS = 30
_FARQ_THRESHOLD = 0.5


def plain_difference(before: np.ndarray, after: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Absolute difference of brightness over Otsu's threshold."""
    return _over_otsu(np.abs(before.mean(-1) - after.mean(-1)), seen)


def ssim(before: np.ndarray, after: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """1 - SSIM (Wang et al. 2004: Gaussian window of 1.5 px, K1 0.01, K2 0.03) over Otsu's threshold."""
    x, y = before.mean(-1), after.mean(-1)

    def local(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    both = local(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    alike = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return _over_otsu(1.0 - alike, seen)


def ir_mad(before: np.ndarray, after: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Iteratively reweighted multivariate alteration detection (Nielsen 2007), chi-square over 99.9 %."""
    x, y = before[seen].astype(np.float64), after[seen].astype(np.float64)
    some = slice(None, None, max(len(x) // 200_000, 1))
    sx, sy, weights = x[some], y[some], np.ones(len(x[some]))
    last = np.zeros(3)
    for _ in range(_ITERATIONS):
        mean = np.average(np.hstack([sx, sy]), axis=0, weights=weights)
        cov = np.cov(np.hstack([sx, sy]).T, aweights=weights) + 1e-6 * np.eye(6)
        xx, yy, xy = cov[:3, :3], cov[3:, 3:], cov[:3, 3:]
        values, vectors = np.linalg.eig(np.linalg.solve(xx, xy) @ np.linalg.solve(yy, xy.T))
        order = np.argsort(values.real)
        a = vectors.real[:, order]
        a = a / np.sqrt(np.einsum("ik,ij,jk->k", a, xx, a))
        b = np.linalg.solve(yy, xy.T @ a)
        b = b / np.sqrt(np.einsum("ik,ij,jk->k", b, yy, b))
        rho = np.sqrt(np.clip(values.real[order], 0.0, 1.0 - 1e-9))
        spread = 2.0 * (1.0 - rho)
        chi2 = ((((sx - mean[:3]) @ a) - ((sy - mean[3:]) @ b)) ** 2 / spread).sum(-1)
        weights = np.asarray(distribution.sf(chi2, 3))
        if np.abs(rho - last).max() < 1e-3:
            break
        last = rho
    out = np.zeros(seen.shape, bool)
    chi2 = ((((x - mean[:3]) @ a) - ((y - mean[3:]) @ b)) ** 2 / spread).sum(-1)
    out[seen] = chi2 > _CHI2_999
    return out


def farq(before: np.ndarray, after: np.ndarray, _seen: np.ndarray) -> np.ndarray:
    """farq's rule without a model, of any band."""
    return (np.abs(after / 255.0 - before / 255.0) > _FARQ_THRESHOLD).any(-1)


PEERS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "plain difference": plain_difference,
    "SSIM": ssim,
    "IR-MAD": ir_mad,
    "farq": farq,
}


def peer_candidates(name: str, pair: ViewPair) -> list[Found]:
    """What a peer makes of a pair; its scores are 1."""
    shape = pair.window.shape
    scale = min(pair.window.cell_m / _WORK_M, 1.0)
    size = (round(shape[1] * scale), round(shape[0] * scale))
    seen = cv2.resize(
        (pair.before.seen & pair.after.seen).astype(np.uint8), size, interpolation=cv2.INTER_AREA
    )
    seen = seen > 0
    before, after = (
        cv2.resize(view.rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        for view in (pair.before, pair.after)
    )
    after = (after - after[seen].mean(0)) / after[seen].std(0) * before[seen].std(0) + before[seen].mean(0)
    changed = PEERS[name](before, after, seen) & seen
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    tidy = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, around)
    tidy = cv2.morphologyEx(tidy, cv2.MORPH_CLOSE, around)
    tidy = cv2.resize(tidy, shape[::-1], interpolation=cv2.INTER_NEAREST)
    heights = cv2.GaussianBlur(pair.heights_m, (0, 0), 5.0 / pair.window.cell_m)
    slope = np.hypot(*np.gradient(heights, pair.window.cell_m))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(tidy, connectivity=8)
    found = []
    for k in range(1, count):
        if stats[k, cv2.CC_STAT_AREA] * pair.window.cell_m**2 < LEAST_M2:
            continue
        left, top, width, height = stats[k, :4]
        place = (slice(top, top + height), slice(left, left + width))
        mask = labels[place] == k
        kind = "landslide" if slope[place][mask].mean() > _STEEP else "flood"
        found.append(Found(kind=kind, score=1.0, rows=place[0], cols=place[1], mask=mask))
    return found


def _over_otsu(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    top = max(float(np.percentile(values[seen], 99.9)), 1e-9)
    levels = np.clip(values / top * 255.0, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[seen].reshape(1, -1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return levels > threshold
