"""Answers about retention: terms, holds, originals due and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.retention import HoldStep, RetainedKind
from flycam.frame.timestamp import format_day

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.retention_records import HoldRecord, PurgeRecord, RetentionTerm
    from flycam.pipeline.operations.retention import DueList, DueOriginal, PurgeConfirmation

_KINDS = {
    RetainedKind.PHOTO: ("photos", "ảnh gốc"),
    RetainedKind.VIDEO: ("recorded video", "video đã ghi"),
    RetainedKind.MARK_PHOTO: ("photos of marks", "ảnh của dấu thực địa"),
    RetainedKind.UPLOAD: ("films and photos of uploads", "video và ảnh tải lên"),
}
_STEPS = {HoldStep.HELD: ("held", "giữ lại"), HoldStep.RELEASED: ("released", "thôi giữ")}


def format_terms(
    terms: Sequence[RetentionTerm],
    holds: Sequence[HoldRecord],
    names: Mapping[str, str],
    language: str = "en",
) -> Output:
    """Return terms[], and holds[] in force.

    names  of flights and events, by id
    """
    vi = language == "vi"
    none = (
        "chưa đặt thời hạn: mọi bản gốc được giữ mãi" if vi else "no terms: all originals are kept for ever"
    )
    lines = [_term_line(one, names, vi=vi) for one in terms] or [none]
    lines += [_hold_line(one, names, vi=vi) for one in holds]
    return {"terms": [_term(one) for one in terms], "holds": [_hold(one) for one in holds]}, lines


def format_hold(line: HoldRecord, names: Mapping[str, str], language: str = "en") -> Output:
    """Return hold_id, step, subject, reason, author and at_ns of a hold."""
    return _hold(line), [_hold_line(line, names, vi=language == "vi")]


def format_due(due: DueList, names: Mapping[str, str], language: str = "en") -> Output:
    """Return digest, originals, begun and groups[] of the due list."""
    vi, groups = language == "vi", due.groups
    answer = {
        "digest": due.digest,
        "originals": len(due.originals),
        "begun": due.begun,
        "groups": [_group(some) for some in groups],
    }
    lines = [_group_line(some, names, vi=vi) for some in groups]
    if due.begun:
        begun = due.begun
        lines.append(
            f"{begun} bản gốc đã xác nhận mà chưa xoá xong" if vi else f"{begun} confirmed and not let go yet"
        )
    if lines:
        how = f"flycam retention confirm {due.digest} --authority"
        lines.append(f"xác nhận danh sách này: {how} TÊN" if vi else f"to confirm this list: {how} NAME")
    return answer, lines or ["chưa có gì đến hạn" if vi else "nothing is due"]


def format_confirmed(done: PurgeConfirmation, language: str = "en") -> Output:
    """Return digest, confirmed, let_go, bytes and waiting[]."""
    let_go, size = done.purge.originals, f"{done.purge.size_bytes / 1e6:.1f} MB"
    answer = {
        "digest": done.digest,
        "confirmed": done.confirmed,
        "let_go": let_go,
        "bytes": done.purge.size_bytes,
        "waiting": list(done.purge.waiting),
    }
    vi = language == "vi"
    lines = [f"đã xoá {let_go} bản gốc, {size}" if vi else f"{let_go} originals let go, {size}"]
    waits = "còn chờ, hãy chạy lại sau" if vi else "waits: run the same again later"
    return answer, [*lines, *(f"  ! {name}: {waits}" for name in done.purge.waiting)]


def format_lifted(lines: Sequence[PurgeRecord], language: str = "en") -> Output:
    """Return originals, and sha256[] of each."""
    hashes = sorted({one.sha256 for one in lines})
    count = len(hashes)
    if language == "vi":
        said = f"{count} bản gốc được phép lưu lại: flycam verify --from THẺ_NHỚ"
    else:
        said = f"{count} originals may come back: flycam verify --from CARD"
    return {"originals": count, "sha256": hashes}, [said]


def _term(term: RetentionTerm) -> dict[str, Any]:
    return {
        "kind": term.kind.value,
        "days": term.days,
        "event_id": term.subject or None,
        "author": term.author,
        "at_ns": term.at_ns,
    }


def _term_line(term: RetentionTerm, names: Mapping[str, str], *, vi: bool) -> str:
    kind = _KINDS[term.kind][vi]
    if vi:
        days = "giữ mãi" if term.days is None else f"{term.days} ngày"
    else:
        days = "for ever" if term.days is None else f"{term.days} days"
    event = f" ({names.get(term.subject, term.subject)})" if term.subject else ""
    return f"{kind}{event}: {days} ({term.author}, {format_day(term.at_ns, 'vi' if vi else 'en')})"


def _hold(line: HoldRecord) -> dict[str, Any]:
    return {
        "hold_id": line.hold_id,
        "step": line.step.value,
        "subject": line.subject,
        "reason": line.reason,
        "author": line.author,
        "at_ns": line.at_ns,
    }


def _hold_line(line: HoldRecord, names: Mapping[str, str], *, vi: bool) -> str:
    step = _STEPS[line.step][vi]
    name = names.get(line.subject, line.subject)
    day = format_day(line.at_ns, "vi" if vi else "en")
    return f"{line.hold_id}  {name}: {step}: {line.reason} ({line.author}, {day})"


def _group(some: Sequence[DueOriginal]) -> dict[str, Any]:
    first = some[0]
    return {
        "kind": first.claim.kind.value,
        "flight_id": first.claim.flight_id or None,
        "event_id": first.claim.event_id or None,
        "originals": len(some),
        "days": first.days,
        "told_by": first.ordered_by or None,
        "since_ns": min(one.since_ns for one in some),
        "sha256": [one.claim.sha256 for one in some],
    }


def _group_line(some: Sequence[DueOriginal], names: Mapping[str, str], *, vi: bool) -> str:
    first, count = some[0], len(some)
    kind = _KINDS[first.claim.kind][vi]
    whose = names.get(first.claim.flight_id) or names.get(first.claim.event_id) or first.claim.name
    since = format_day(min(one.since_ns for one in some), "vi" if vi else "en")
    if first.ordered_by:
        why = f"máy {first.ordered_by} đã xoá" if vi else f"let go on {first.ordered_by}"
    else:
        why = f"quá {first.days} ngày" if vi else f"past {first.days} days"
    return f"{whose}: {count} {kind}, {why}, " + (f"đến hạn {since}" if vi else f"due since {since}")
