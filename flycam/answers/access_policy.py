"""Answers about access: restricted areas, redactions, classifications, guest links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.classification import Classification, format_classification
from flycam.frame.redaction import RedactionReason, RedactionStep
from flycam.frame.timestamp import format_minute

_STEPS = {
    RedactionStep.MADE: ("covered", "che"),
    RedactionStep.REVOKED: ("taken back", "đã bỏ che"),
    RedactionStep.REVOCATION_REQUESTED: ("another box asks to take it back", "máy khác đề nghị bỏ che"),
}
_REASONS = {
    RedactionReason.HOME: ("home", "nhà dân"),
    RedactionReason.VICTIM: ("victim", "nạn nhân"),
    RedactionReason.OTHER: ("other", "khác"),
}

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.sharing_records import Guest, RedactionRecord, RestrictedArea
    from flycam.pipeline.event_reassignment import FlightReassignment
    from flycam.pipeline.flight_rename import FlightRename


def format_area_record(area: RestrictedArea, language: str = "en") -> Output:
    """Return area_id, name, roles, sha256 and bounds of a restricted area."""
    return _area(area), [_line(area, language)]


def format_areas(areas: Sequence[RestrictedArea], language: str = "en") -> Output:
    """Return areas[], by name."""
    none = "chưa có vùng hạn chế nào" if language == "vi" else "no restricted areas"
    lines = [f"{one.area_id}  {_line(one, language)}" for one in areas]
    return {"areas": [_area(one) for one in areas]}, lines or [none]


def format_removed_area(area: RestrictedArea, language: str = "en") -> Output:
    """Return area_id and name of a removed area."""
    en, vi = f"{area.name} is withheld no longer", f"đã bỏ vùng hạn chế {area.name}"
    return {"area_id": area.area_id, "name": area.name}, [vi if language == "vi" else en]


def format_redaction(line: RedactionRecord, language: str = "en") -> Output:
    """Return mask_id, step, frame_id, reason, author and at_ns of a redaction."""
    return _mask(line), [_mask_line(line, language)]


def format_redactions(lines: Sequence[RedactionRecord], language: str = "en") -> Output:
    """Return masks[]: every redaction record, oldest first."""
    none = "chưa có vùng che nào" if language == "vi" else "no masks"
    return {"masks": [_mask(one) for one in lines]}, [_mask_line(one, language) for one in lines] or [none]


def format_classified(subject: str, name: str, level: Classification, language: str = "en") -> Output:
    """Return id, name and classification of a flight or layer."""
    said = format_classification(level, language)
    line = f"{name}: mức phổ biến là {said}" if language == "vi" else f"{name}: classified as {said}"
    return {"id": subject, "name": name, "classification": level.value}, [line]


def format_guest_link(guest: Guest, secret: str, language: str = "en") -> Output:
    """Return a guest link, with its path behind the server's address."""
    path = f"/guest/{secret}"
    said = "liên kết khách, chỉ hiện lần này" if language == "vi" else "guest link, shown this once"
    line = _guest_line(guest, guest.made_ns, language)
    return {**_guest(guest, guest.made_ns), "path": path}, [line, f"{said}: {path}"]


def format_guest_links(guests: Sequence[Guest], now_ns: int, language: str = "en") -> Output:
    """Return guests[], newest first."""
    none = "chưa có liên kết khách nào" if language == "vi" else "no guest links"
    lines = [_guest_line(one, now_ns, language) for one in guests]
    return {"guests": [_guest(one, now_ns) for one in guests]}, lines or [none]


def format_revoked_guest(guest: Guest, now_ns: int, language: str = "en") -> Output:
    """Return a revoked guest link."""
    return _guest(guest, now_ns), [_guest_line(guest, now_ns, language)]


def format_moved_flight(moved: FlightReassignment, language: str = "en") -> Output:
    """Return flight_id, event and former, with what still names the former event.

    Both events are given by id and name.
    """
    vi = language == "vi"
    flight, former, event = moved.flight, moved.former, moved.event
    answer = {
        "flight_id": flight.flight_id,
        "event": {"event_id": event.event_id, "name": event.name},
        "former": {"event_id": former.event_id, "name": former.name},
    }
    if former == event:
        here = f"{flight.name}: đã thuộc sự kiện {event.name}"
        return answer, [here if vi else f"{flight.name}: belongs to the event {event.name} already"]
    return answer, [
        f"{flight.name}: chuyển từ sự kiện {former.name} sang {event.name}"
        if vi
        else f"{flight.name}: moved from the event {former.name} to {event.name}",
        "  báo cáo, ảnh cắt theo xã và tài liệu họp đã lập vẫn ghi sự kiện cũ cho tới khi lập lại; máy khác "
        "đã nhận chuyến bay vẫn giữ sự kiện cũ, hãy chuyển cả ở đó"
        if vi
        else "  reports, commune pictures and packs made before name the former event until they are made "
        "again; boxes that have the flight already keep its former event: move it there too",
    ]


def format_renamed_flight(renamed: FlightRename, language: str = "en") -> Output:
    """Return flight_id, name and former name, with what still names the former."""
    vi = language == "vi"
    flight, former = renamed.flight, renamed.former
    answer = {"flight_id": flight.flight_id, "name": flight.name, "former": former}
    if former == flight.name:
        return answer, [f"{former}: đã mang tên này" if vi else f"{former}: is called so already"]
    return answer, [
        f"{former}: nay tên là {flight.name}" if vi else f"{former}: is called {flight.name} now",
        "  báo cáo và tài liệu họp đã lập vẫn ghi tên cũ cho tới khi lập lại; máy khác đã nhận chuyến bay "
        "vẫn giữ tên cũ, hãy đổi cả ở đó"
        if vi
        else "  reports and packs made before keep the former name until they are made again; so do boxes "
        "that have the flight already: rename it there too",
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


def _guest_line(guest: Guest, now_ns: int, language: str) -> str:
    vi = language == "vi"
    until = format_minute(guest.expires_ns)
    if guest.revoked_ns is not None:
        how = "đã thu hồi" if vi else "revoked"
    elif not guest.is_valid(now_ns):
        how = f"hết hạn {until}" if vi else f"expired {until}"
    else:
        how = f"đến {until}" if vi else f"until {until}"
    event = guest.event_id or ("mọi sự kiện" if vi else "all events")
    return f"{guest.guest_id}  {event}, {how} ({guest.made_by})"


def _mask(line: RedactionRecord) -> dict[str, Any]:
    return {
        "mask_id": line.mask_id,
        "step": line.step.value,
        "frame_id": line.frame_id,
        "reason": line.reason.value,
        "author": line.author,
        "at_ns": line.at_ns,
    }


def _mask_line(line: RedactionRecord, language: str) -> str:
    step, reason = (names[language == "vi"] for names in (_STEPS[line.step], _REASONS[line.reason]))
    return f"{line.mask_id}  {step}: {reason} ({line.author})"


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
