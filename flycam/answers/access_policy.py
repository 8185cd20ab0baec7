"""Answers about access: restricted areas, redactions, classifications, guest links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.classification import CLASSIFICATION_NAMES, Classification
from flycam.frame.redaction import RedactionReason, RedactionStep
from flycam.frame.timestamp import format_minute
from flycam.messages import Message, _, join, pgettext

_STEPS = {
    RedactionStep.MADE: pgettext("mask", "covered"),
    RedactionStep.REVOKED: pgettext("mask", "taken back"),
    RedactionStep.REVOCATION_REQUESTED: pgettext("mask", "another box asks to take it back"),
}
_REASONS = {
    RedactionReason.HOME: pgettext("mask", "home"),
    RedactionReason.VICTIM: pgettext("mask", "victim"),
    RedactionReason.OTHER: pgettext("mask", "other"),
}

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.sharing_records import Guest, RedactionRecord, RestrictedArea
    from flycam.pipeline.event_reassignment import FlightReassignment
    from flycam.pipeline.flight_rename import FlightRename


def format_area_record(area: RestrictedArea) -> Output:
    """Return area_id, name, roles, sha256 and bounds of a restricted area."""
    return _area(area), [_line(area)]


def format_areas(areas: Sequence[RestrictedArea]) -> Output:
    """Return areas[], by name."""
    lines = [join([one.area_id, _line(one)], "  ") for one in areas]
    return {"areas": [_area(one) for one in areas]}, lines or [_("no restricted areas")]


def format_removed_area(area: RestrictedArea) -> Output:
    """Return area_id and name of a removed area."""
    line = _("{name} is withheld no longer", name=area.name)
    return {"area_id": area.area_id, "name": area.name}, [line]


def format_redaction(line: RedactionRecord) -> Output:
    """Return mask_id, step, frame_id, reason, author and at_ns of a redaction."""
    return _mask(line), [_mask_line(line)]


def format_redactions(lines: Sequence[RedactionRecord]) -> Output:
    """Return masks[]: every redaction record, oldest first."""
    return {"masks": [_mask(one) for one in lines]}, [_mask_line(one) for one in lines] or [_("no masks")]


def format_classified(subject: str, name: str, level: Classification) -> Output:
    """Return id, name and classification of a flight or layer."""
    line = _("{name}: classified as {level}", name=name, level=CLASSIFICATION_NAMES[level])
    return {"id": subject, "name": name, "classification": level.value}, [line]


def format_guest_link(guest: Guest, secret: str) -> Output:
    """Return a guest link, with its path behind the server's address."""
    path = f"/guest/{secret}"
    shown = _("guest link, shown this once: {path}", path=path)
    return {**_guest(guest, guest.made_ns), "path": path}, [_guest_line(guest, guest.made_ns), shown]


def format_guest_links(guests: Sequence[Guest], now_ns: int) -> Output:
    """Return guests[], newest first."""
    lines = [_guest_line(one, now_ns) for one in guests]
    return {"guests": [_guest(one, now_ns) for one in guests]}, lines or [_("no guest links")]


def format_revoked_guest(guest: Guest, now_ns: int) -> Output:
    """Return a revoked guest link."""
    return _guest(guest, now_ns), [_guest_line(guest, now_ns)]


def format_moved_flight(moved: FlightReassignment) -> Output:
    """Return flight_id, event and former, with what still names the former event.

    Both events are given by id and name.
    """
    flight, former, event = moved.flight, moved.former, moved.event
    answer = {
        "flight_id": flight.flight_id,
        "event": {"event_id": event.event_id, "name": event.name},
        "former": {"event_id": former.event_id, "name": former.name},
    }
    if former == event:
        return answer, [
            _("{flight}: belongs to the event {event} already", flight=flight.name, event=event.name)
        ]
    return answer, [
        _(
            "{flight}: moved from the event {former} to {event}",
            flight=flight.name,
            former=former.name,
            event=event.name,
        ),
        _(
            "  reports, commune pictures and packs made before name the former event until they are made "
            "again; boxes that have the flight already keep its former event: move it there too"
        ),
    ]


def format_renamed_flight(renamed: FlightRename) -> Output:
    """Return flight_id, name and former name, with what still names the former."""
    flight, former = renamed.flight, renamed.former
    answer = {"flight_id": flight.flight_id, "name": flight.name, "former": former}
    if former == flight.name:
        return answer, [_("{former}: is called so already", former=former)]
    return answer, [
        _("{former}: is called {name} now", former=former, name=flight.name),
        _(
            "  reports and packs made before keep the former name until they are made again; so do boxes "
            "that have the flight already: rename it there too"
        ),
    ]


def _guest(guest: Guest, now_ns: int) -> dict[str, Any]:
    return {
        "guest_id": guest.guest_id,
        "event_id": guest.event_id or None,
        "communes": list(guest.communes),
        "made_by": guest.made_by,
        "made_ns": guest.made_ns,
        "expires_ns": guest.expires_ns,
        "revoked_ns": guest.revoked_ns,
        "holds": guest.is_valid(now_ns),
    }


def _guest_line(guest: Guest, now_ns: int) -> Message:
    expiry = format_minute(guest.expires_ns)
    if guest.revoked_ns is not None:
        state = pgettext("guest link", "revoked")
    elif not guest.is_valid(now_ns):
        state = _("expired {time}", time=expiry)
    else:
        state = _("until {time}", time=expiry)
    event = guest.event_id or _("all events")
    return join([f"{guest.guest_id}  ", event, ", ", state, f" ({guest.made_by})"], "")


def _mask(line: RedactionRecord) -> dict[str, Any]:
    return {
        "mask_id": line.mask_id,
        "step": line.step.value,
        "frame_id": line.frame_id,
        "reason": line.reason.value,
        "author": line.author,
        "at_ns": line.at_ns,
    }


def _mask_line(line: RedactionRecord) -> Message:
    reason = join([_REASONS[line.reason], f"({line.author})"])
    return join([f"{line.mask_id}  ", _STEPS[line.step], ": ", reason], "")


def _area(area: RestrictedArea) -> dict[str, Any]:
    return {
        "area_id": area.area_id,
        "name": area.name,
        "roles": sorted(area.roles),
        "sha256": area.sha256,
        "added_ns": area.added_ns,
        "bounds": list(area.bounds_lonlat_deg),
    }


def _line(area: RestrictedArea) -> Message:
    roles = ", ".join(sorted(area.roles)) or "–"
    return _("{name}: seen by {roles} only", name=area.name, roles=roles)
