"""Lists of a report's photos: those not used, those held weakly, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.log_translation import translate_log_sentence
from flycam.report.number_format import format_number, format_percent
from flycam.report.report_figures import FrameResult, ReportFigures
from flycam.report.texts import REPORT_TEXTS, format_text

UNUSED_STATES = ("rejected", "left_out", "withdrawn")
"""States of photos that the revision does not hold."""
_MAX_ROWS = 60


def format_rejection_reason(frame: FrameResult, language: str) -> str:
    """Format why a photo is not used, in a few words."""
    key = f"reason_{frame.reason or frame.state}"
    return format_text(key if key in REPORT_TEXTS else "reason_other", language)


def list_unused_photos(figures: ReportFigures, language: str) -> Iterator[Block]:
    """Yield photos that the revision does not hold, each with the reason."""
    out = figures.select_frames(*UNUSED_STATES)
    if not out:
        yield Paragraph(text=format_text("left_out_none", language))
        return
    rows = []
    for frame in out:
        reason = format_rejection_reason(frame, language)
        # the sentence is English only; the table's words are the same in short
        if language == "en" and frame.sentence:
            reason = f"{reason}: {frame.sentence.removeprefix(f'{frame.name}: ')}"
        rows.append((frame.name, format_text(f"state_{frame.state}", language), reason))
    head = tuple(format_text(key, language) for key in ("photo", "state", "reason"))
    yield from _table(head, rows, (), language)


def list_weak_photos(figures: ReportFigures, language: str) -> Iterator[Block]:
    """Yield photos held by few ties or none, each with the reason."""
    yield Heading(text=format_text("weak_list", language))
    rows = [
        (
            frame.name,
            format_text(f"state_{frame.state}", language),
            _why_weak(frame, language),
            format_number(frame.ties, 0, language),
            format_number(frame.rms_px, 2, language) if frame.rms_px is not None else "–",
            format_percent(frame.cells_pct, language),
        )
        for frame in figures.select_frames("weak", "carried", "prior")
    ]
    if not rows:
        yield Paragraph(text=format_text("weak_none", language))
        return
    head = tuple(
        format_text(key, language) for key in ("photo", "state", "reason", "tie_count", "rms", "cells")
    )
    yield from _table(head, rows, (3, 4, 5), language)


def _why_weak(frame: FrameResult, language: str) -> str:
    """Format the state's reason, and why the photo has no tie point if known."""
    said = format_text(f"{frame.state}_why", language)
    why = translate_log_sentence(frame.sentence, language) if frame.sentence else ""
    if language == "vi" and why == frame.sentence:
        # no translation into Vietnamese
        return said
    return f"{why}: {said}" if why else said


def _table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], numeric: tuple[int, ...], language: str
) -> Iterator[Block]:
    yield Table(head=head, rows=tuple(rows[:_MAX_ROWS]), numeric=numeric)
    if len(rows) > _MAX_ROWS:
        yield Paragraph(text=format_text("and_more", language, count=len(rows) - _MAX_ROWS), kind="small")
