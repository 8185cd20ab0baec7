"""Lists of a report's photos: those not used, those held weakly, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flycam.messages import Message, _, join, pgettext
from flycam.report.blocks import BlockOf, Heading, Paragraph, Table, Text
from flycam.report.number_format import format_number, format_percent
from flycam.report.report_figures import FrameResult, ReportFigures

UNUSED_STATES = ("rejected", "left_out", "withdrawn")
"""States of photos that the revision does not hold."""
STATE_NAMES: Mapping[str, Message] = {
    "tied": _("by tie points"),
    "weak": _("weak"),
    "carried": _("carried"),
    "prior": _("telemetry alone"),
    "left_out": _("cannot be laid"),
    "rejected": _("rejected"),
    "withdrawn": _("withdrawn"),
    "out": _("not used"),
}
"""States of photos; "out" are all that the revision does not hold."""
REJECTION_REASONS: Mapping[str, Message] = {
    "unreadable": _("the picture cannot be read"),
    "no_position": pgettext("photo", "no position"),
    "calibration_missing": _("lens not known"),
    "no_sight": _("which way it looks is not known"),
    "no_height": _("no usable height"),
    "telemetry_gap": _("telemetry has a gap there"),
    "pose_rejected": _("its pose makes no sense"),
    "horizon_in_view": _("it looks at the horizon"),
    "outside_terrain": _("outside the terrain that is known"),
    "too_blurred": _("too blurred"),
    "lens_covered": _("the lens was covered"),
    "duplicate": _("a copy of another photo"),
    "rejected": _("rejected"),
    "set_aside": _("it cannot be laid on the new terrain"),
    "withdrawn": _("withdrawn from every map"),
    "left_out": _("it sees no ground of known height"),
}
"""Reasons for rejecting a photo, by the keys of `errors`, and states without such a key."""
_WEAK_REASONS: Mapping[str, Message] = {
    "weak": _("too few tie points, or badly spread"),
    "carried": _("no usable tie points: its telemetry, corrected as its neighbours were"),
    "prior": _("its telemetry was kept"),
}
_MAX_ROWS = 60


def describe_rejection(frame: FrameResult) -> Message:
    """Describe why a photo is not used, in a few words."""
    return REJECTION_REASONS.get(frame.reason or frame.state) or _("another reason")


def list_unused_photos(figures: ReportFigures) -> Iterator[BlockOf[Text]]:
    """Yield photos that the revision does not hold, each with the reason."""
    out = figures.select_frames(*UNUSED_STATES)
    if not out:
        yield Paragraph(text=_("Every photo is used."))
        return
    rows = []
    for frame in out:
        reason = describe_rejection(frame)
        if frame.sentence:
            # the sentence may be English only: its translation leaves it out
            sentence = str(frame.sentence).removeprefix(f"{frame.name}: ")
            reason = pgettext("photo not used", "{reason}: {sentence}", reason=reason, sentence=sentence)
        rows.append((frame.name, STATE_NAMES[frame.state], reason))
    yield from _table((_("Photo"), _("State"), _("Reason")), rows, ())


def list_weak_photos(figures: ReportFigures) -> Iterator[BlockOf[Text]]:
    """Yield photos held by few ties or none, each with the reason."""
    yield Heading(text=_("Photos used but weakly held"))
    rows = [
        (
            frame.name,
            STATE_NAMES[frame.state],
            _describe_weakness(frame),
            format_number(frame.ties, 0),
            format_number(frame.rms_px, 2) if frame.rms_px is not None else "–",
            format_percent(frame.cells_pct),
        )
        for frame in figures.select_frames("weak", "carried", "prior")
    ]
    if not rows:
        yield Paragraph(text=_("Every photo used is held by its own tie points."))
        return
    head = (
        _("Photo"),
        _("State"),
        _("Reason"),
        _("Tie points"),
        _("RMS (px)"),
        _("Spread over the picture"),
    )
    yield from _table(head, rows, (3, 4, 5))


def _describe_weakness(frame: FrameResult) -> Message:
    """Describe the state's reason, and why the photo has no tie point if known."""
    reason = _WEAK_REASONS[frame.state]
    return join([frame.sentence, reason], ": ") if frame.sentence else reason


def _table(
    head: tuple[Text, ...], rows: Sequence[tuple[Text, ...]], numeric: tuple[int, ...]
) -> Iterator[BlockOf[Text]]:
    yield Table(head=head, rows=tuple(rows[:_MAX_ROWS]), numeric=numeric)
    if len(rows) > _MAX_ROWS:
        yield Paragraph(text=_("and {count} more", count=len(rows) - _MAX_ROWS), kind="small")
