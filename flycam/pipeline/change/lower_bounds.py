"""Figures of a change that are lower bounds, as part of it could not be seen."""

from __future__ import annotations

import shapely

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.comparisons import Comparison
from flycam.frame.specialist_layer import LayerKind
from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.pipeline.change.impact import ChangeImpact

AREA = "area"
# a cell of the change detection
_RIM_M = 2.0


def list_lower_bounds(line: ChangeVersion, comparison: Comparison | None, impact: ChangeImpact) -> list[str]:
    """Return the figures of a change that are lower bounds.

    AREA where the change reaches the rim of the compared ground (an image's edge, a cloud, the area asked
    for), beyond which nothing was compared; a hand-drawn change has no such rim. Then the kinds of features
    whose layers cover only a part of it.
    """
    counts = {kind: impact.count(kind) for kind in LayerKind}
    partly = [kind.value for kind, count in counts.items() if count is not None and not count.is_complete]
    return [*([AREA] if comparison is not None and _is_cut(line, comparison) else []), *partly]


def _is_cut(line: ChangeVersion, found_by: Comparison) -> bool:
    west, south, east, north = line.bounds_lonlat_deg
    to_work = make_point_transform(WGS84, choose_work_crs((west + east) / 2.0, (south + north) / 2.0))
    shape = shapely.transform(shapely.from_wkb(line.wkb), to_work)
    rim = shapely.transform(shapely.from_wkb(found_by.wkb).boundary, to_work)
    return bool(shape.distance(rim) <= _RIM_M)
