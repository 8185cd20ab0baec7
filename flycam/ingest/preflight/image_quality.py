"""Unreadable and blurred photos and covered lenses, judged against the rest of the flight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flycam.errors import FrameRejected, FrameUnreadable, LensCovered, TooBlurred
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.pixel_checks import SMOOTH, Checks, PixelChecks
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.messages import _, ngettext

BLURRED_SHARE = 0.25
"""Share of the camera's median sharpness below which a photo is rejected; below twice that it is reported."""
_MIN_COMPARED = 5
# A flight that is blurred throughout offers no comparison.
_MIN_USUAL_SHARPNESS = 0.02


def reject_bad_images(
    photos: Sequence[PhotoMetadata], names: Sequence[str], checks: Checks
) -> tuple[dict[int, FrameRejected], list[Problem]]:
    """Return rows without usable pixels, each with its error, and findings.

    Photos that were not checked are kept.

    names  display names of the photos (`make_display_names`)
    """
    if not checks:
        return {}, []
    looks = [checks.get(photo.path) for photo in photos]
    unread = {row: look for row, look in enumerate(looks) if isinstance(look, FrameUnreadable)}
    seen = [look if isinstance(look, PixelChecks) else None for look in looks]
    covered = np.array([look is not None and look.lens_covered for look in seen], dtype=bool)
    ratio = _sharpness_ratio(photos, seen)
    blurred = ~covered & (ratio < BLURRED_SHARE)
    soft = ~covered & ~blurred & (ratio < 2.0 * BLURRED_SHARE)
    refused: dict[int, FrameRejected] = {
        **unread,
        **{
            i: LensCovered(_("{names}: holds no picture: take off the lens cap", names=names[i]))
            for i in np.flatnonzero(covered).tolist()
        },
    }
    for i in np.flatnonzero(blurred).tolist():
        percent = ratio[i] * 100
        refused[i] = TooBlurred(
            _(
                "{names}: has {percent:.0f} % of the flight's usual sharpness: fly slower there",
                names=names[i],
                percent=percent,
            )
        )
    is_unread = np.zeros(len(photos), dtype=bool)
    is_unread[list(unread)] = True
    cases = (
        (
            is_unread,
            "unreadable",
            ngettext(
                "{count} photo cannot be read, so left out; the reason stands with it.",
                "{count} photos cannot be read, so left out; the reason stands with each.",
                int(is_unread.sum()),
            ),
        ),
        (
            covered,
            "lens_covered",
            ngettext(
                "{count} photo holds no picture (lens cap, or black) and is left out.",
                "{count} photos hold no picture (lens cap, or black) and are left out.",
                int(covered.sum()),
            ),
        ),
        (
            blurred,
            "blurred",
            ngettext(
                "{count} photo is far less sharp than the rest and is left out.",
                "{count} photos are far less sharp than the rest and are left out.",
                int(blurred.sum()),
            ),
        ),
        (
            soft,
            "soft",
            ngettext(
                "{count} photo is clearly less sharp than the rest but is used.",
                "{count} photos are clearly less sharp than the rest but are used.",
                int(soft.sum()),
            ),
        ),
    )
    problems = [
        Problem(
            code=code,
            severity=Severity.INFO if code == "soft" else Severity.WARNING,
            sentence=sentence,
            frames=tuple(names[i] for i in np.flatnonzero(mask).tolist()),
        )
        for mask, code, sentence in cases
        if mask.any()
    ]
    return refused, problems


def _sharpness_ratio(photos: Sequence[PhotoMetadata], seen: Sequence[PixelChecks | None]) -> np.ndarray:
    """Return sharpness above that of a smear, over the median of camera and layer.

    NaN where not comparable. An image smeared over many pixels still has the sharpness `SMOOTH`. Smears of 25
    pixels came to 0.1 to 0.3 of the usual on brighton_beach, seneca_fixed_wing and exercises; no sharp photo
    there was below 0.7.
    """
    ratio = np.full(len(photos), np.nan)
    groups: dict[tuple[str, str, str, tuple[int, int]], list[tuple[int, float]]] = {}
    for row, (photo, look) in enumerate(zip(photos, seen, strict=True)):
        if look is not None and not look.lens_covered:
            group = (photo.maker, photo.model, photo.band, photo.image_size_px)
            groups.setdefault(group, []).append((row, look.sharpness))
    for members in groups.values():
        rows = [row for row, __ in members]
        if len(rows) < _MIN_COMPARED:
            continue
        sharpness = np.array([value for _, value in members])
        usual = float(np.median(sharpness)) - SMOOTH
        if usual > _MIN_USUAL_SHARPNESS:
            ratio[rows] = np.maximum(sharpness - SMOOTH, 0.0) / usual
    return ratio
