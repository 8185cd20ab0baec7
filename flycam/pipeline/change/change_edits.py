"""Versions of a change with another kind or outline.

Keeps the fields that still hold, and clears those that were only true of the version before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from scipy.spatial import cKDTree

from flycam.analysis.position_error import interpolate_error
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.comparisons import ComparedWindow
from flycam.frame.change import ChangeKind
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.pipeline.change.change_outlines import MeasuredOutline


def change_kind(line: ChangeVersion, kind: ChangeKind) -> ChangeVersion:
    """Return the change with another kind; the score stays the detected kind's."""
    if line.score is None or kind is line.kind:
        return replace(line, kind=kind)
    scored_as = line.scored_as or line.kind.value
    return replace(line, kind=kind, scored_as="" if scored_as == kind.value else scored_as)


def change_outline(line: ChangeVersion, ground: MeasuredOutline) -> ChangeVersion:
    """Return the change with a hand-drawn outline, for which there is no score."""
    west, south, east, north = (float(side) for side in ground.shape.bounds)
    return replace(
        line,
        score=None,
        scored_as="",
        area_m2=ground.area_m2,
        length_m=ground.length_m,
        slope_deg=ground.slope_deg,
        commune=ground.commune,
        wkb=shapely.to_wkb(ground.shape),
        bounds_lonlat_deg=(west, south, east, north),
    )


def estimate_position_error(line: ChangeVersion, windows: Sequence[ComparedWindow]) -> ChangeVersion:
    """Return the change with the position error at its outline.

    Interpolated from the windows of the comparison that found it; None without windows, as for a change that
    came from another node.
    """
    agreed = [one for one in windows if one.state == "agreed" and one.residual_m is not None]
    if not agreed:
        return replace(line, tie_m=None, error_m=None)
    middle = shapely.from_wkb(line.wkb).representative_point()
    onto = make_point_transform(WGS84, choose_work_crs(middle.x, middle.y))
    place = onto(np.array([(middle.x, middle.y)]))
    everywhere = onto(np.array([one.lonlat_deg for one in windows]))
    there = onto(np.array([one.lonlat_deg for one in agreed]))
    squared = np.array([one.residual_m or 0.0 for one in agreed]) ** 2
    error = interpolate_error(there, squared, _side_m(everywhere), place)
    return replace(line, tie_m=float(cKDTree(there).query(place)[0][0]), error_m=float(error[0]))


def _side_m(places: np.ndarray) -> float:
    """Estimate the side of a window, metres, from the spacing of adjacent windows.

    places: N×2, the centres of all windows.
    """
    if len(places) < 2:
        return 0.0
    return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))
