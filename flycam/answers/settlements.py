"""Answers about settlements: their access, what was reported, what was exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.pluralization import correct_singular
from flycam.frame.settlement import Access, RoadStatus
from flycam.report.settlement_names import ACCESS_NAMES, ROADS_SAY_NAMES

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.settlements import SettlementVersion


def format_settlements(found: Sequence[Mapping[str, Any]], reach_m: float, language: str = "en") -> Output:
    """Return reach_m and settlements[] (as `/api/settlements`)."""
    which = 0 if language == "vi" else 1
    lines = [_line(one, which) for one in found]
    none = (
        "chưa có lớp thôn, bản; thêm bằng 'flycam layers add TỆP --kind settlement'",
        "no settlements yet; add a layer with 'flycam layers add FILE --kind settlement'",
    )[which]
    return {"reach_m": reach_m, "settlements": list(found)}, lines or [none]


def format_settlement_access(line: SettlementVersion, language: str = "en") -> Output:
    """Return settlement_id, version, access and roads_said."""
    which = 0 if language == "vi" else 1
    answer = {
        "settlement_id": line.settlement_id,
        "version": line.version,
        "access": line.access.value,
        "roads_said": line.roads_said.value,
    }
    return answer, [f"{line.name}: {ACCESS_NAMES[line.access][which]} ({line.author})"]


def format_exported_settlements(out: Path, count: int, language: str = "en") -> Output:
    """Return path and settlements, their number."""
    said = (
        f"{out}: {count} thôn, bản" if language == "vi" else correct_singular(f"{out}: {count} settlements")
    )
    return {"path": str(out), "settlements": count}, [said]


def _line(one: Mapping[str, Any], which: int) -> str:
    place = f" ({one['commune_name']})" if one["commune_name"] else ""
    said = f", {one['said_by']}, {one['said']}" if one["said_by"] else ""
    roads = ROADS_SAY_NAMES[RoadStatus(one["roads_say"])][which]
    return f"{one['name']}{place}: {ACCESS_NAMES[Access(one['access'])][which]}{said}; {roads}"
