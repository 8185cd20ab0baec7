"""Lines of changes that come of others: of another kind, on other ground, of several; what of a line still
holds then, and what was only true of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from scipy.spatial import cKDTree

from flycam.analysis.place_error import error_among
from flycam.catalog.change_line import ChangeLine
from flycam.catalog.comparisons import ComparedWindow
from flycam.catalog.pictures_shown import together_of
from flycam.errors import InputUnusable
from flycam.frame.change import ChangeKind, ChangeStatus
from flycam.geodata.crs import WGS84, point_transform, work_crs_for
from flycam.pipeline.change.shapes import Ground

MOST_MERGED_KM = 20.0
"""From one end of a change to the other: what is farther apart is no one place, and one zone's metres and one
commune do not tell of it."""


def of_kind(line: ChangeLine, kind: ChangeKind) -> ChangeLine:
    """The line as of a kind; the detector's score stays that of the kind that it took it for."""
    if line.score is None or kind is line.kind:
        return replace(line, kind=kind)
    scored_as = line.scored_as or line.kind.value
    return replace(line, kind=kind, scored_as="" if scored_as == kind.value else scored_as)


def unscored(line: ChangeLine) -> ChangeLine:
    """The line with an outline of which the detector said nothing."""
    return replace(line, score=None, scored_as="")


def on_ground(line: ChangeLine, ground: Ground) -> ChangeLine:
    """The line on other ground. Where terrain is not registered there, what keeps its score keeps the slope
    it was judged by (of the flight's own terrain, or a file's). A score that was none of a probability, for
    want of terrain, does not become one where the new outline's slope is known."""
    slope = ground.slope_deg if line.score is None or line.slope_deg is not None else None
    if slope is None and line.score is not None:
        slope = line.slope_deg
    west, south, east, north = (float(side) for side in ground.shape.bounds)
    return replace(
        line,
        area_m2=ground.area_m2,
        length_m=ground.length_m,
        slope_deg=slope,
        commune=ground.commune,
        wkb=shapely.to_wkb(ground.shape),
        bounds_lonlat_deg=(west, south, east, north),
    )


def tied(line: ChangeLine, windows: Sequence[ComparedWindow]) -> ChangeLine:
    """The line with how surely it lies where it lies now, by the windows of the comparison that it was found
    by; without any (it came from another box, or is of several pairs of pictures) nobody knows."""
    agreed = [one for one in windows if one.state == "agreed" and one.residual_m is not None]
    if not agreed or len(line.pairs) > 1:
        return replace(line, tie_m=None, error_m=None)
    middle = shapely.from_wkb(line.wkb).representative_point()
    onto = point_transform(WGS84, work_crs_for(middle.x, middle.y))
    place = onto(np.array([(middle.x, middle.y)]))
    everywhere = onto(np.array([one.lonlat_deg for one in windows]))
    there = onto(np.array([one.lonlat_deg for one in agreed]))
    squared = np.array([one.residual_m or 0.0 for one in agreed]) ** 2
    error = error_among(there, squared, _side_m(everywhere), place)
    return replace(line, tie_m=float(cKDTree(there).query(place)[0][0]), error_m=float(error[0]))


def _side_m(places: np.ndarray) -> float:
    """Of a window, metres: they lie side by side (places N×2, the middles of all that were looked for)."""
    if len(places) < 2:
        return 0.0
    return float(np.median(cKDTree(places).query(places, k=2)[0][:, 1]))


def merged_of(several: Sequence[ChangeLine]) -> ChangeLine:
    """What the largest was taken for, and accepted only where all parts were; it lies as surely as the least
    sure of them, and was found on the pictures of all. A person's outline in it makes it a person's, without
    a score; a detector's makes it one that was found."""
    largest = max(several, key=lambda seen: (seen.area_m2, seen.change_id))
    statuses = {seen.status for seen in several}
    if any(seen.score is None for seen in several):
        largest = unscored(largest)
    return replace(
        largest,
        status=statuses.pop() if len(statuses) == 1 else ChangeStatus.PROPOSED,
        before_shown=together_of(*(seen.before_shown for seen in several)),
        after_shown=together_of(*(seen.after_shown for seen in several)),
        tie_m=_worst([seen.tie_m for seen in several]),
        rmse_m=max((seen.rmse_m for seen in several if seen.rmse_m is not None), default=None),
        error_m=_worst([seen.error_m for seen in several]),
    )


def require_one_place(ground: Ground) -> None:
    """Raise InputUnusable for what is merged of places far from each other."""
    if ground.length_m > MOST_MERGED_KM * 1e3:
        raise InputUnusable(
            f"these changes lie {ground.length_m / 1e3:.0f} km apart; merge those within "
            f"{MOST_MERGED_KM:.0f} km",
            vi=f"các thay đổi này nằm cách nhau {ground.length_m / 1e3:.0f} km; chỉ gộp trong phạm vi "
            f"{MOST_MERGED_KM:.0f} km",
        )


def _worst(errors: Sequence[float | None]) -> float | None:
    """The largest; None where that of any part is not known."""
    known = [one for one in errors if one is not None]
    return max(known) if len(known) == len(errors) else None
