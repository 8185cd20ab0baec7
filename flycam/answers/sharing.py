"""Who may see what: restricted areas, classifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.answered import Answered
from flycam.frame.classification import Classification, classification_name

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.catalog.sharing_records import RestrictedArea


def of_area(area: RestrictedArea, language: str = "en") -> Answered:
    """area_id, name, roles, sha256, bounds."""
    return _area(area), [_line(area, language)]


def of_areas(areas: Sequence[RestrictedArea], language: str = "en") -> Answered:
    """areas[]: by name."""
    none = "chưa có vùng hạn chế nào" if language == "vi" else "no restricted areas"
    lines = [f"{one.area_id}  {_line(one, language)}" for one in areas]
    return {"areas": [_area(one) for one in areas]}, lines or [none]


def of_removed_area(area: RestrictedArea, language: str = "en") -> Answered:
    """area_id, name."""
    en, vi = f"{area.name} is withheld no longer", f"đã bỏ vùng hạn chế {area.name}"
    return {"area_id": area.area_id, "name": area.name}, [vi if language == "vi" else en]


def of_classified(subject: str, name: str, level: Classification, language: str = "en") -> Answered:
    """id, name, classification."""
    said = classification_name(level, language)
    line = f"{name}: mức phổ biến là {said}" if language == "vi" else f"{name}: classified as {said}"
    return {"id": subject, "name": name, "classification": level.value}, [line]


def _area(area: RestrictedArea) -> dict[str, Any]:
    return {
        "area_id": area.area_id,
        "name": area.name,
        "roles": sorted(area.roles),
        "sha256": area.sha256,
        "added_ns": area.added_ns,
        "bounds": list(area.bounds_lonlat_deg),
    }


def _line(area: RestrictedArea, language: str) -> str:
    roles = ", ".join(sorted(area.roles)) or "–"
    return f"{area.name}: chỉ {roles} được xem" if language == "vi" else f"{area.name}: seen by {roles} only"
