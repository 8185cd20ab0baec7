"""A half-copied card: file numbers that are missing between others of the same series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flycam.ingest.diagnosis import Problem, Severity

_COUNTER = re.compile(r"^(?P<head>.*?)(?P<number>\d{3,5})(?P<tail>(?:_[A-Za-z]+)?\.\w+)$")
_DATED = re.compile(r"\d{8,14}[_-]?")
_LONGEST_GAP = 200
_ROLL_OVER = (999, 9999)


def counters(names: Sequence[str]) -> NDArray[np.int64]:
    """The camera's counter in each file name (N int64), -1 where there is none."""
    matches = [_COUNTER.match(name) for name in names]
    return np.array([-1 if m is None else int(m["number"]) for m in matches], dtype=np.int64)


def missing_numbers(names: Sequence[str]) -> tuple[tuple[str, ...], list[Problem]]:
    """Names of files that the numbering says should exist, and the sentence.

    Series are told apart by what stands before the counter (a date in it is a pattern, not a name) and after
    it; a jump of over 200, or the counter's roll-over after 999 or 9999, begins a new series.
    """
    series: dict[tuple[str, str, int], list[tuple[str, int]]] = {}
    for name in sorted(set(names)):
        match = _COUNTER.match(name)
        if match is None:
            continue
        head, number, tail = match["head"], match["number"], match["tail"]
        key = (_DATED.sub("#", head), tail, len(number))
        series.setdefault(key, []).append((head, int(number)))
    missing: list[str] = []
    ranges: list[str] = []
    for (pattern, tail, width), members in series.items():
        for before, after in _jumps(members):
            head = pattern.replace("#", "*")
            gone = [f"{head}{n:0{width}d}{tail}" for n in range(before + 1, after)]
            missing += gone
            ranges.append(gone[0] if len(gone) == 1 else f"{gone[0]} to {gone[-1]}")
    if not missing:
        return (), []
    shown = ", ".join(ranges[:8]) + (f" and {len(ranges) - 8} more" if len(ranges) > 8 else "")
    shown_vi = shown.replace(" to ", " đến ").replace(" and ", " và ").replace(" more", " chỗ khác")
    return tuple(missing), [
        Problem(
            code="numbers_missing",
            severity=Severity.WARNING,
            sentence_en=f"{len(missing)} file numbers are missing in {len(ranges)} places ({shown}): if "
            "the card was copied in part, copy the rest and ingest again; what is there is used.",
            sentence_vi=f"Thiếu {len(missing)} số tệp ở {len(ranges)} chỗ ({shown_vi}): nếu mới chép một "
            "phần thẻ nhớ, hãy chép nốt rồi nhập lại; phần đã có vẫn được dùng.",
        )
    ]


def _jumps(members: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """(number before, number after) of each hole, in the order in which the camera counted.

    Sorted by name: with a date in the name that is the order of time, so that a counter which rolls over or
    starts again does not make a hole.
    """
    numbers = [n for _, n in members]
    return [(a, b) for a, b in pairwise(numbers) if 1 < b - a <= _LONGEST_GAP and a not in _ROLL_OVER]
