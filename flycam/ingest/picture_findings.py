"""Blurred photos and covered lenses, judged against the rest of the flight."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flycam.ingest.diagnosis import Problem, Rejection, Severity
from flycam.ingest.flight_table import FlightTable
from flycam.ingest.judging import PixelChecks

BLURRED_SHARE = 0.25
"""A photo this far below the median sharpness of its camera is rejected; below twice that it is mentioned."""
_MIN_COMPARED = 5


def settle_pictures(
    table: FlightTable, checks: Mapping[str, PixelChecks]
) -> tuple[FlightTable, list[Rejection], list[Problem]]:
    """Rows with a usable picture; rejections; sentences. Photos that were not checked are kept."""
    if not checks:
        return table, [], []
    names = table.names
    covered = np.array([n in checks and checks[n].lens_covered for n in names], dtype=bool)
    ratio = _sharpness_ratio(table, checks)
    blurred = ~covered & (ratio < BLURRED_SHARE)
    soft = ~covered & ~blurred & (ratio < 2.0 * BLURRED_SHARE)
    rejected = [
        Rejection(name=n, reason="lens_covered", message=f"{n}: holds no picture: take off the lens cap")
        for n in table.names_of(covered)
    ] + [
        Rejection(
            name=names[i],
            reason="too_blurred",
            message=f"{names[i]}: has {ratio[i] * 100:.0f} % of the flight's usual sharpness: fly slower "
            "there",
        )
        for i in np.flatnonzero(blurred).tolist()
    ]
    cases = (
        (
            covered,
            "lens_covered",
            "hold no picture (lens cap, or black) and are left out",
            "không có hình (nắp ống kính hoặc đen), bị loại",
        ),
        (
            blurred,
            "blurred",
            "are far less sharp than the rest and are left out",
            "mờ hơn hẳn các ảnh khác, bị loại",
        ),
        (
            soft,
            "soft",
            "are clearly less sharp than the rest but are used",
            "kém nét hơn rõ rệt nhưng vẫn dùng",
        ),
    )
    problems = [
        Problem(
            code=code,
            severity=Severity.INFO if code == "soft" else Severity.WARNING,
            sentence_en=f"{int(mask.sum())} photos {en}.",
            sentence_vi=f"{int(mask.sum())} ảnh {vi}.",
            frames=table.names_of(mask),
        )
        for mask, code, en, vi in cases
        if mask.any()
    ]
    return table.take(~(covered | blurred)), rejected, problems


def _sharpness_ratio(table: FlightTable, checks: Mapping[str, PixelChecks]) -> np.ndarray:
    """Sharpness over the median of photos of the same camera and layer; NaN where it cannot be compared."""
    ratio = np.full(len(table), np.nan)
    groups: dict[tuple[str, str, str, tuple[int, int]], list[int]] = {}
    for row, photo in enumerate(table.photos):
        check = checks.get(photo.name)
        if check is not None and not check.lens_covered:
            groups.setdefault((photo.maker, photo.model, photo.band, photo.image_size_px), []).append(row)
    for rows in groups.values():
        if len(rows) < _MIN_COMPARED:
            continue
        sharpness = np.array([checks[table.photos[r].name].sharpness for r in rows])
        ratio[rows] = sharpness / max(float(np.median(sharpness)), 1e-12)
    return ratio
