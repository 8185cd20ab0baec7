"""Answers about comparisons: what changed between two dates, and how well they are coregistered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output, describe_area
from flycam.errors import ComparisonUnsuitable
from flycam.frame.change import DETECTED_KINDS, ChangeKind
from flycam.messages import Message, _, join, ngettext, pgettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.analysis.coregistration import Registration
    from flycam.pipeline.change.candidate_queue import EnqueueReport
    from flycam.pipeline.change.change_polygons import CommuneChanges
    from flycam.pipeline.change.comparison import ComparisonReport

_KINDS: Mapping[str, Message] = {
    ChangeKind.LANDSLIDE: pgettext("change", "landslide"),
    ChangeKind.FLOOD: pgettext("change", "flood"),
    ChangeKind.OTHER: pgettext("change", "other"),
}


def format_comparison(found: ComparisonReport) -> Output:
    """Return registration{shift_m, rmse_m, ok}, looked_for, changes, and more.

    by_commune[]  numbers of candidates by commune
    review        null if nothing was put up for review; else the event, how many are new, how many replaced
                  waiting ones of an older revision, and how many are known, and of these how many have
                  another outline now but were decided on (of the same two mosaics, kind and ground)
    """
    answer = {
        "path": str(found.path),
        "crs": found.crs,
        "gsd_m": found.gsd_m,
        "common_m2": round(found.common_m2, 1),
        "registration": _registration(found.registration),
        "looked_for": found.is_detected,
        "changes": len(found.changes),
        "looked_for_kinds": [kind.value for kind in DETECTED_KINDS] if found.is_detected else [],
        "by_kind": dict(Counter(one.kind for one in found.changes)),
        "by_commune": [
            {
                "code": row.code or None,
                "name": row.name or None,
                "changes": row.changes,
                "others": row.others,
                "area_m2_by_kind": {kind: round(area, 1) for kind, area in row.area_m2_by_kind.items()},
                "compared_m2": round(row.compared_m2, 1),
                "compared_pct": None if row.compared_pct is None else round(row.compared_pct, 2),
            }
            for row in found.by_commune
        ],
        "review": _review(found),
        "warnings": [str(remark) for remark in found.remarks],
        "warnings_vi": [remark.in_language("vi") for remark in found.remarks],
        "seconds": round(found.seconds, 2),
    }
    return answer, _lines(found)


def build_not_searched_error(name: str) -> ComparisonUnsuitable:
    """Build the error that tells a script "not searched" from "none found".

    name  of the file that was written
    """
    return ComparisonUnsuitable(
        _(
            "{name}: holds no change because none was looked for, which does not mean that "
            "nothing changed; the lines marked ! say why: give two colour pictures by "
            "daylight, of two dates",
            name=name,
        )
    )


def _review(found: ComparisonReport) -> dict[str, Any] | None:
    if found.enqueued is None:
        return None
    return {
        "event_id": found.enqueued.event.event_id,
        "begun": found.enqueued.is_new_event,
        "new": found.enqueued.new,
        "renewed": found.enqueued.renewed,
        "known": found.enqueued.known,
        "decided": found.enqueued.decided,
    }


def _registration(registration: Registration) -> dict[str, Any]:
    """Return the JSON of a registration.

    shift_m is the offset (east, north) of AFTER from BEFORE; rmse_m and p95_m are of the windows that agree,
    each left out of the fit it judges; found_p95_m of all windows found; agreed_share is a share of those
    found.
    """
    return {
        "shift_m": [round(value, 3) for value in registration.shift_m],
        "rmse_m": round(registration.rmse_m, 3),
        "ok": True,
        "p95_m": round(registration.p95_m, 3),
        "found_p95_m": round(registration.found_p95_m, 3),
        "windows": len(registration.windows),
        "found": registration.found,
        "agreed": int(registration.agreed.sum()),
        "agreed_share": round(registration.agreed_share, 3),
        "warp": "smooth" if registration.is_smooth else "affine",
    }


def _lines(found: ComparisonReport) -> list[Message]:
    registration, (east_m, north_m) = found.registration, found.registration.shift_m
    lines = [
        _(
            "{path}: {found} on {area} imaged on both dates",
            path=found.path,
            found=_count_kinds(found),
            area=describe_area(found.common_m2),
        ),
        _(
            "  AFTER lay {east_m:+.2f} m east, {north_m:+.2f} m north of BEFORE; now ± {rmse_m:.2f} m on "
            "stable ground ({agreed} of {windows} windows found agree; 95 % of all found within "
            "{found_p95_m:.2f} m)",
            east_m=east_m,
            north_m=north_m,
            rmse_m=registration.rmse_m,
            agreed=int(registration.agreed.sum()),
            windows=registration.found,
            found_p95_m=registration.found_p95_m,
        ),
    ]
    if found.is_detected:
        lines.append(
            _(
                "  looked for: landslides and floods alone; wrecked houses and other damage are not, and "
                "'other' is no measure of them"
            )
        )
    for row in found.by_commune:
        name = f"{row.name} ({row.code})" if row.code else _("outside of known boundaries")
        lines.append(join(("  ", name, ": ", _row(row)), ""))
    if (counted := _count_candidates(found)) > len(found.changes):
        lines.append(
            _(
                "  these add up to {counted}, not {candidates}: a candidate across a boundary counts in each "
                "commune, with the ground that is its own",
                counted=counted,
                candidates=len(found.changes),
            )
        )
    if found.enqueued is not None:
        lines.append(_describe_enqueued(found.enqueued))
    elif found.changes and not found.for_review:
        lines.append(_("  not up for review on the map: --no-review was asked for"))
    elif found.changes and not found.is_unfit:
        lines.append(_("  not up for review on the map: --event names whose analyst is to decide"))
    return [*lines, *(join(("  !", remark)) for remark in found.remarks)]


def _describe_enqueued(kept: EnqueueReport) -> Message:
    event: Message | str = kept.event.name
    if kept.is_new_event:
        event = _("{event}, which this began", event=event)
    counts = [_("{count} new", count=kept.new)]
    if kept.renewed:
        counts.append(_("{count} in the place of what waited", count=kept.renewed))
    counts.append(_("{count} known already", count=kept.known))
    if kept.decided:
        counts.append(_("of which {count} decided on before, in other outlines", count=kept.decided))
    return _("  for review in {event}: {counts}", event=event, counts=join(counts, ", "))


def _count_candidates(found: ComparisonReport) -> int:
    """Count the candidates of all communes together."""
    return sum(row.changes for row in found.by_commune)


def _count_kinds(found: ComparisonReport) -> Message:
    if not found.is_detected:
        return _("changes were NOT looked for")
    kinds = Counter(one.kind for one in found.changes)
    counted = ngettext("{count} candidate", "{count} candidates", len(found.changes))
    named = [join((str(count), _KINDS[kind])) for kind, count in kinds.most_common()]
    return join((counted, " (", join(named, ", "), ")"), "") if named else counted


def _row(row: CommuneChanges) -> Message:
    if not row.changes and not row.compared_m2:
        return _("not compared")
    parts = [join((_KINDS[kind], describe_area(m2))) for kind, m2 in row.area_m2_by_kind.items()]
    parts += [join((str(row.others), _KINDS[ChangeKind.OTHER]))] if row.others else []
    said = join((" (", join(parts, ", "), ")"), "") if parts else ""
    compared = describe_area(row.compared_m2)
    if row.compared_pct is None:
        return _("{count}{parts}; compared {area}", count=row.changes, parts=said, area=compared)
    return _(
        "{count}{parts}; compared {area}, {percent:.1f} % of it",
        count=row.changes,
        parts=said,
        area=compared,
        percent=row.compared_pct,
    )
