"""Detection of control marks made on images of another size than the flight's.

Projected with the recorded pose, a point should lie within some percent of the image width of its mark. Marks
made on reduced or enlarged copies lie at one common ratio, counted from the top left corner, where all of
them begin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame, ControlPoint
from flycam.geometry.camera import project
from flycam.geometry.terrain import TerrainGrid, interpolate_heights

Floats = NDArray[np.float64]

_MIN_MARKS = 4
# Of the image width: marks that fit, and that do not.
_FITS, _OFF = 0.06, 0.12
# A ratio this near to 1 is no other size.
_SCALE_TOLERANCE = 0.1


def estimate_mark_scale(
    points: Sequence[ControlPoint], frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> float | None:
    """Estimate how much larger (over 1) or smaller the marked images are.

    Compared with the photos.

    None where marks fit as they are, or no one size explains them. Points without a height are put on the
    terrain.
    """
    marked, seen, width = _marked_and_seen(points, frames, terrain)
    if len(marked) < _MIN_MARKS:
        return None
    # Pixel centres are at integers: + 0.5 counts from the top left corner, where copies of any size begin.
    share = float(np.median((marked + 0.5).sum(axis=1) / np.maximum((seen + 0.5).sum(axis=1), 1.0)))
    as_made = float(np.median(np.linalg.norm(marked - seen, axis=1) / width))
    scaled = float(np.median(np.linalg.norm((marked + 0.5) / max(share, 1e-3) - 0.5 - seen, axis=1) / width))
    if as_made > _OFF and scaled < _FITS and abs(share - 1.0) > _SCALE_TOLERANCE:
        return share
    return None


def _marked_and_seen(
    points: Sequence[ControlPoint], frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> tuple[Floats, Floats, Floats]:
    """Return marks N×2, projections of their points N×2, widths of their photos N."""
    marked: list[Floats] = []
    seen: list[Floats] = []
    width: list[float] = []
    for point in points:
        place = np.array([point.position_m])
        if not np.isfinite(point.sigma_m[2]):
            ground = np.nan if terrain is None else interpolate_heights(terrain, place[:, :2])[0]
            place[0, 2] = ground
        if not np.isfinite(place).all():
            continue
        for number, uv in zip(point.frames, np.asarray(point.uv_px), strict=True):
            frame = frames[number]
            shown, depth = project(frame.interior, frame.exterior, place)
            if depth[0] > 0.0 and np.isfinite(shown).all():
                marked.append(uv)
                seen.append(shown[0])
                width.append(float(frame.interior.image_size_px[0]))
    return np.array(marked).reshape(-1, 2), np.array(seen).reshape(-1, 2), np.array(width)
