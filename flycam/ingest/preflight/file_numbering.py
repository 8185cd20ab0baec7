"""Gaps in file numbering, which show that a memory card was copied only in part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.messages import Message, _, join, ngettext, pgettext

_COUNTER = re.compile(r"^(?P<head>.*?)(?P<number>\d{3,5})(?P<tail>(?:_[A-Za-z]+)?\.\w+)$")
_DATED = re.compile(r"\d{8,14}[_-]?")
_MAX_GAP = 200
_ROLL_OVER = (999, 9999)


def parse_counters(names: Sequence[str]) -> NDArray[np.int64]:
    """Return the camera's counter in each file name (N int64), -1 without one."""
    matches = [_COUNTER.match(name) for name in names]
    return np.array([-1 if m is None else int(m["number"]) for m in matches], dtype=np.int64)


def find_missing_files(paths: Sequence[Path]) -> tuple[tuple[str, ...], list[Problem]]:
    """Return names of files that are missing by the numbering, and the finding.

    A series has one prefix before the counter (dates in it count as a pattern), one suffix and one folder;
    folders are joined if no number occurs in two: then the camera counted on, or a card was sorted into
    folders. A jump of over 200, or the roll-over after 999 or 9999, begins a new series.
    """
    missing: list[str] = []
    ranges: list[Message | str] = []
    for (folder, pattern, tail, width), members in _series(paths).items():
        for before, after in _jumps(members):
            head = folder + pattern.replace("#", "*")
            gone = [f"{head}{n:0{width}d}{tail}" for n in range(before + 1, after)]
            missing += gone
            ends = _("{first} to {last}", first=gone[0], last=gone[-1])
            ranges.append(gone[0] if len(gone) == 1 else ends)
    if not missing:
        return (), []
    shown = join(ranges[:8], ", ")
    if len(ranges) > 8:
        shown = pgettext("places", "{listed} and {count} more", listed=shown, count=len(ranges) - 8)
    return tuple(missing), [
        Problem(
            code="numbers_missing",
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} file number is missing in {places} ({shown}): if the card was copied in part, copy "
                "the rest and ingest again; what is there is used.",
                "{count} file numbers are missing in {places} ({shown}): if the card was copied in part, "
                "copy the rest and ingest again; what is there is used.",
                len(missing),
                places=ngettext("{count} place", "{count} places", len(ranges)),
                shown=shown,
            ),
        )
    ]


def _series(paths: Sequence[Path]) -> dict[tuple[str, str, str, int], list[tuple[str, int]]]:
    """Group (prefix, number) by (folder/ or "", pattern, suffix, digits)."""
    cards: dict[tuple[str, str, int], dict[Path, list[tuple[str, int]]]] = {}
    for path in sorted(set(paths), key=lambda path: (path.name, path)):
        match = _COUNTER.match(path.name)
        if match is None:
            continue
        head, number, tail = match["head"], match["number"], match["tail"]
        folders = cards.setdefault((_DATED.sub("#", head), tail, len(number)), {})
        folders.setdefault(path.parent, []).append((head, int(number)))
    series: dict[tuple[str, str, str, int], list[tuple[str, int]]] = {}
    for key, folders in cards.items():
        times = Counter(pair for members in folders.values() for pair in members)
        if max(times.values()) == 1:
            series["", *key] = sorted(times)
        else:
            series |= {(f"{folder.name}/", *key): members for folder, members in folders.items()}
    return series


def _jumps(members: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """Return (number before, number after) of each gap, in the camera's order.

    Sorted by name: with a date in the name that is the order of time, so that a counter which rolls over or
    starts again does not make a gap.
    """
    numbers = [n for _, n in members]
    return [(a, b) for a, b in pairwise(numbers) if 1 < b - a <= _MAX_GAP and a not in _ROLL_OVER]
