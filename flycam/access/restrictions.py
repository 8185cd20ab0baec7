"""Restricted areas in the catalogue, and the classification of flights and layers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import shapely

from flycam.catalog.access import RestrictedArea
from flycam.errors import OptionUnusable
from flycam.geodata.communes import read_area_of_interest
from flycam.messages import _
from flycam.model.access import ACCOUNT_ROLES, Role
from flycam.model.flight import Classification, Flight
from flycam.model.records import AuditEntry, LayerRecord
from flycam.model.text import to_visible, validate_name
from flycam.originals import store_original
from flycam.workspace import Workspace

_MAX_NAME_LENGTH = 100


def add_restricted_area(
    workspace: Workspace, path: Path, roles: str, name: str | None, who: str
) -> RestrictedArea:
    """Withhold the polygons of a file from all but some roles ("analyst,admin").

    An area of the same name is replaced. Raises OptionUnusable, and what `read_area_of_interest` raises.
    """
    called = validate_name(name or to_visible(path.stem), _MAX_NAME_LENGTH, option="--name")
    seen_by = _roles(roles)
    ground = read_area_of_interest(path)
    west, south, east, north = ground.bounds
    area = RestrictedArea(
        area_id=f"area-{hashlib.sha256(called.encode()).hexdigest()[:12]}",
        name=called,
        roles=seen_by,
        sha256=store_original(workspace, path),
        added_ns=workspace.clock_ns(),
        wkb=shapely.to_wkb(ground),
        bounds_lonlat_deg=(west, south, east, north),
    )
    detail = f"{area.name}: for {', '.join(sorted(area.roles))} only, sha256 {area.sha256}"
    workspace.catalog.restrictions.put(
        area, _make_audit_entry(who, "restricted add", area.area_id, detail, area.added_ns)
    )
    return area


def remove_restricted_area(workspace: Workspace, ref: str, who: str) -> RestrictedArea:
    """Lift a restricted area; its file stays as an original. Raises NotFound."""
    now_ns = workspace.clock_ns()
    return workspace.catalog.restrictions.remove(
        ref, lambda area: _make_audit_entry(who, "restricted remove", area.area_id, area.name, now_ns)
    )


def set_flight_classification(workspace: Workspace, ref: str, level: Classification, who: str) -> Flight:
    """Set the classification of a flight (id or name). Raises NotFound."""
    flight = workspace.catalog.flights.flight(ref)
    _classify(workspace, flight.flight_id, flight.name, level, who)
    return flight


def set_layer_classification(workspace: Workspace, ref: str, level: Classification, who: str) -> LayerRecord:
    """Set the classification of a specialist layer. Raises NotFound."""
    layer = workspace.catalog.layers.get(ref)
    _classify(workspace, layer.layer_id, layer.name, level, who)
    return layer


def _classify(workspace: Workspace, subject: str, name: str, level: Classification, who: str) -> None:
    now_ns = workspace.clock_ns()
    entry = _make_audit_entry(who, "classify", subject, f"{name}: {level}", now_ns)
    workspace.catalog.restrictions.classify(subject, level, now_ns, entry)


def _make_audit_entry(who: str, what: str, subject: str, detail: str, at_ns: int) -> AuditEntry:
    return AuditEntry(who=who, what=what, subject=subject, detail=detail, at_ns=at_ns)


def _roles(text: str) -> frozenset[Role]:
    """Parse roles from "analyst,admin".

    A guest cannot be one of them: what guests see is not restricted here.
    """
    names = {one.strip().lower() for one in text.split(",") if one.strip()}
    known = {role.value: role for role in ACCOUNT_ROLES}
    if not names or names - set(known):
        listed = ", ".join(known)
        raise OptionUnusable(
            _("--roles {text}: give some of {listed}, with commas between", text=text[:60], listed=listed)
        )
    return frozenset(known[one] for one in names)
