"""Answers about settlements: their access, what was reported, what was exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.settlement import Access, RoadStatus
from flycam.messages import Message, _, join, ngettext
from flycam.report.settlement_names import ACCESS_NAMES, ROADS_SAY_NAMES

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.settlements import SettlementVersion


def format_settlements(found: Sequence[Mapping[str, Any]], reach_m: float) -> Output:
    """Return reach_m and settlements[] (as `/api/settlements`)."""
    lines = [_line(one) for one in found]
    none = _("no settlements yet; add a layer with 'flycam layers add FILE --kind settlement'")
    return {"reach_m": reach_m, "settlements": list(found)}, lines or [none]


def format_settlement_access(line: SettlementVersion) -> Output:
    """Return settlement_id, version, access and roads_said."""
    answer = {
        "settlement_id": line.settlement_id,
        "version": line.version,
        "access": line.access.value,
        "roads_said": line.roads_said.value,
    }
    access = join([ACCESS_NAMES[line.access], f"({line.author})"])
    return answer, [join([line.name, access], ": ")]


def format_exported_settlements(out: Path, count: int) -> Output:
    """Return path and settlements, their number."""
    line = ngettext("{path}: {count} settlement", "{path}: {count} settlements", count, path=out)
    return {"path": str(out), "settlements": count}, [line]


def _line(one: Mapping[str, Any]) -> Message:
    place = f" ({one['commune_name']})" if one["commune_name"] else ""
    said = f", {one['said_by']}, {one['said']}" if one["said_by"] else ""
    roads = ROADS_SAY_NAMES[RoadStatus(one["roads_say"])]
    return join([f"{one['name']}{place}: ", ACCESS_NAMES[Access(one["access"])], f"{said}; ", roads], "")
