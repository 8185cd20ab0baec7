"""Lists of a report's photos: those left out, those held weakly, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flycam.report.blocks import Block, Heading, Paragraph, Table
from flycam.report.figures import FrameLine, ReportFigures
from flycam.report.heard import translated
from flycam.report.numbers import number, percent
from flycam.report.words import WORDS, say

OUT = ("rejected", "left_out", "withdrawn")
"""States of photos that the revision does not hold."""
_MOST_ROWS = 60


def reason_of(frame: FrameLine, language: str) -> str:
    """Why a photo is not used, in a few words."""
    key = f"reason_{frame.reason or frame.state}"
    return say(key if key in WORDS else "reason_other", language)


def left_out(figures: ReportFigures, language: str) -> Iterator[Block]:
    """Photos that the revision does not hold, each with the reason."""
    out = figures.those(*OUT)
    if not out:
        yield Paragraph(text=say("left_out_none", language))
        return
    rows = []
    for frame in out:
        reason = reason_of(frame, language)
        # whoever found it said it in English; the words of the table are the same in short
        if language == "en" and frame.sentence:
            reason = f"{reason}: {frame.sentence.removeprefix(f'{frame.name}: ')}"
        rows.append((frame.name, say(f"state_{frame.state}", language), reason))
    head = tuple(say(key, language) for key in ("photo", "state", "reason"))
    yield from _table(head, rows, (), language)


def weak(figures: ReportFigures, language: str) -> Iterator[Block]:
    """Photos that it holds by few ties or none, each with the reason."""
    yield Heading(text=say("weak_list", language))
    rows = [
        (
            frame.name,
            say(f"state_{frame.state}", language),
            _why_weak(frame, language),
            number(frame.ties, 0, language),
            number(frame.rms_px, 2, language) if frame.rms_px is not None else "–",
            percent(frame.cells_pct, language),
        )
        for frame in figures.those("weak", "carried", "prior")
    ]
    if not rows:
        yield Paragraph(text=say("weak_none", language))
        return
    head = tuple(say(key, language) for key in ("photo", "state", "reason", "tie_count", "rms", "cells"))
    yield from _table(head, rows, (3, 4, 5), language)


def _why_weak(frame: FrameLine, language: str) -> str:
    """What the state says, and why the photo has no tie point where that is known."""
    said = say(f"{frame.state}_why", language)
    why = translated(frame.sentence, language) if frame.sentence else ""
    if language == "vi" and why == frame.sentence:
        return said  # nobody put it into Vietnamese
    return f"{why}: {said}" if why else said


def _table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], numeric: tuple[int, ...], language: str
) -> Iterator[Block]:
    yield Table(head=head, rows=tuple(rows[:_MOST_ROWS]), numeric=numeric)
    if len(rows) > _MOST_ROWS:
        yield Paragraph(text=say("and_more", language, count=len(rows) - _MOST_ROWS), kind="small")
