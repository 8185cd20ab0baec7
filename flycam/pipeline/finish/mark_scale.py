"""Whether marks of control points were made on pictures of the size that the flight has.

Seen from the recorded poses a point should show within some percent of the picture of where it was marked.
Marks made on shrunk or enlarged copies lie at one common share of where they should: counted from the top
left corner, where all of them begin.
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
_FITS, _OFF = 0.06, 0.12  # of the picture's width: marks that fit, and that do not
_SCALE_TOLERANCE = 0.1  # a share this near to 1 is no other size


def estimate_mark_scale(
    points: Sequence[ControlPoint], frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> float | None:
    """By how much the pictures that marks were made on are larger (over 1) or smaller than the photos; None
    where they fit as they are, or no one size explains them. Points without a height stand on the terrain."""
    marked, seen, width = _marked_and_seen(points, frames, terrain)
    if len(marked) < _MIN_MARKS:
        return None
    share = float(np.median((marked + 0.5).sum(axis=1) / np.maximum((seen + 0.5).sum(axis=1), 1.0)))
    as_made = float(np.median(np.linalg.norm(marked - seen, axis=1) / width))
    scaled = float(np.median(np.linalg.norm((marked + 0.5) / max(share, 1e-3) - 0.5 - seen, axis=1) / width))
    if as_made > _OFF and scaled < _FITS and abs(share - 1.0) > _SCALE_TOLERANCE:
        return share
    return None


def _marked_and_seen(
    points: Sequence[ControlPoint], frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> tuple[Floats, Floats, Floats]:
    """Marks N×2, where the recorded poses show their points N×2, and the widths of their photos N."""
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
