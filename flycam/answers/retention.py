"""Answers about retention: terms, holds, originals due and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.retention import HoldStep, RetainedKind
from flycam.frame.timestamp import format_day
from flycam.messages import Message, _, join, ngettext, pgettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.retention_records import HoldRecord, PurgeRecord, RetentionTerm
    from flycam.pipeline.operations.retention import DueList, DueOriginal, PurgeConfirmation

_KINDS = {
    RetainedKind.PHOTO: pgettext("retained originals", "photos"),
    RetainedKind.VIDEO: pgettext("retained originals", "recorded video"),
    RetainedKind.MARK_PHOTO: pgettext("retained originals", "photos of marks"),
    RetainedKind.UPLOAD: pgettext("retained originals", "films and photos of uploads"),
}
_STEPS = {
    HoldStep.HELD: pgettext("retained originals", "held"),
    HoldStep.RELEASED: pgettext("retained originals", "released"),
}


def format_terms(
    terms: Sequence[RetentionTerm],
    holds: Sequence[HoldRecord],
    names: Mapping[str, str],
) -> Output:
    """Return terms[], and holds[] in force.

    names  of flights and events, by id
    """
    lines = [_term_line(one, names) for one in terms]
    lines = lines or [_("no terms: all originals are kept for ever")]
    lines += [_hold_line(one, names) for one in holds]
    return {"terms": [_term(one) for one in terms], "holds": [_hold(one) for one in holds]}, lines


def format_hold(line: HoldRecord, names: Mapping[str, str]) -> Output:
    """Return hold_id, step, subject, reason, author and at_ns of a hold."""
    return _hold(line), [_hold_line(line, names)]


def format_due(due: DueList, names: Mapping[str, str]) -> Output:
    """Return digest, originals, begun and groups[] of the due list."""
    groups = due.groups
    answer = {
        "digest": due.digest,
        "originals": len(due.originals),
        "begun": due.begun,
        "groups": [_group(some) for some in groups],
    }
    lines = [_group_line(some, names) for some in groups]
    if due.begun:
        lines.append(_("{count} confirmed and not let go yet", count=due.begun))
    if lines:
        lines.append(
            _("to confirm this list: flycam retention confirm {digest} --authority NAME", digest=due.digest)
        )
    return answer, lines or [_("nothing is due")]


def format_confirmed(done: PurgeConfirmation) -> Output:
    """Return digest, confirmed, let_go, bytes and waiting[]."""
    answer = {
        "digest": done.digest,
        "confirmed": done.confirmed,
        "let_go": done.purge.originals,
        "bytes": done.purge.size_bytes,
        "waiting": list(done.purge.waiting),
    }
    first = ngettext(
        "{count} original let go, {size_mb:.1f} MB",
        "{count} originals let go, {size_mb:.1f} MB",
        done.purge.originals,
        size_mb=done.purge.size_bytes / 1e6,
    )
    waiting = [_("  ! {name}: waits: run the same again later", name=name) for name in done.purge.waiting]
    return answer, [first, *waiting]


def format_lifted(lines: Sequence[PurgeRecord]) -> Output:
    """Return originals, and sha256[] of each."""
    hashes = sorted({one.sha256 for one in lines})
    line = ngettext(
        "{count} original may come back: flycam verify --from CARD",
        "{count} originals may come back: flycam verify --from CARD",
        len(hashes),
    )
    return {"originals": len(hashes), "sha256": hashes}, [line]


def _term(term: RetentionTerm) -> dict[str, Any]:
    return {
        "kind": term.kind.value,
        "days": term.days,
        "event_id": term.subject or None,
        "author": term.author,
        "at_ns": term.at_ns,
    }


def _term_line(term: RetentionTerm, names: Mapping[str, str]) -> Message:
    days = _("for ever") if term.days is None else ngettext("{count} day", "{count} days", term.days)
    event = f" ({names.get(term.subject, term.subject)})" if term.subject else ""
    by = join([f"({term.author}, ", format_day(term.at_ns), ")"], "")
    return join([_KINDS[term.kind], f"{event}: ", days, " ", by], "")


def _hold(line: HoldRecord) -> dict[str, Any]:
    return {
        "hold_id": line.hold_id,
        "step": line.step.value,
        "subject": line.subject,
        "reason": line.reason,
        "author": line.author,
        "at_ns": line.at_ns,
    }


def _hold_line(line: HoldRecord, names: Mapping[str, str]) -> Message:
    name = names.get(line.subject, line.subject)
    by = join([f"({line.author}, ", format_day(line.at_ns), ")"], "")
    return join([f"{line.hold_id}  {name}: ", _STEPS[line.step], f": {line.reason} ", by], "")


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


def _group_line(some: Sequence[DueOriginal], names: Mapping[str, str]) -> Message:
    first = some[0]
    whose = names.get(first.claim.flight_id) or names.get(first.claim.event_id) or first.claim.name
    if first.ordered_by:
        reason = _("let go on {box}", box=first.ordered_by)
    else:
        reason = ngettext("past {count} day", "past {count} days", first.days or 0)
    return _(
        "{name}: {count} {kind}, {reason}, due since {day}",
        name=whose,
        count=len(some),
        kind=_KINDS[first.claim.kind],
        reason=reason,
        day=format_day(min(one.since_ns for one in some)),
    )
