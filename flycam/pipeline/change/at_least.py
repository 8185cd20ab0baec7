"""Which figures of a change are no more than what could be seen of it."""

from __future__ import annotations

import shapely

from flycam.catalog.change_line import ChangeLine
from flycam.catalog.comparisons import Comparison
from flycam.frame.specialist import LayerKind
from flycam.geodata.crs import WGS84, point_transform, work_crs_for
from flycam.pipeline.change.impact import ChangeImpact

AREA = "area"
_RIM_M = 2.0  # a cell of what changes are found by


def at_least(line: ChangeLine, found_by: Comparison | None, impact: ChangeImpact) -> list[str]:
    """AREA where the change reaches the rim of the ground that was compared (a picture's edge, a cloud, the
    area that was asked for): beyond it nobody looked. Of what was drawn by hand there is no such rim. Then
    the kinds of things whose layers cover only a part of it."""
    counts = {kind: impact.count(kind) for kind in LayerKind}
    partly = [kind.value for kind, count in counts.items() if count is not None and not count.is_whole]
    return [*([AREA] if found_by is not None and _is_cut(line, found_by) else []), *partly]


def _is_cut(line: ChangeLine, found_by: Comparison) -> bool:
    west, south, east, north = line.bounds_lonlat_deg
    to_work = point_transform(WGS84, work_crs_for((west + east) / 2.0, (south + north) / 2.0))
    shape = shapely.transform(shapely.from_wkb(line.wkb), to_work)
    rim = shapely.transform(shapely.from_wkb(found_by.wkb).boundary, to_work)
    return bool(shape.distance(rim) <= _RIM_M)
