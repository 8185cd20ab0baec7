"""Plausibility of absolute control against the flight's own positions and marks.

Control is trusted to centimetres, so a list in another zone, a point under another's name or a map of another
year would move a whole block unnoticed. The receiver's stated accuracy, and the marks themselves, reveal it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Accuracy, Adjustment, BlockFrame, ControlPoint
from flycam.messages import Message, _, join
from flycam.pipeline.finish.ground_control import ResolvedControl, format_names
from flycam.pipeline.finish.reference_tie import ReferenceTie

_WARNING_SIGMAS = 3.0
# No receiver errs by so much while it states so little.
_IMPOSSIBLE_M, _IMPOSSIBLE_SIGMAS = 30.0, 20.0
_OFF_M, _OFF_PIXELS = 0.3, 4.0


def select_tied_points(points: Sequence[ControlPoint], tied: Sequence[bool]) -> tuple[ControlPoint, ...]:
    """Return points with their marks on tied frames; without those left unmarked."""
    kept = []
    for point in points:
        rows = [row for row, number in enumerate(point.frames) if tied[number]]
        if rows:
            held = tuple(point.frames[row] for row in rows)
            kept.append(replace(point, frames=held, uv_px=np.asarray(point.uv_px)[rows]))
    return tuple(kept)


def restrict_to_tied(
    name: str, settled: ResolvedControl, frames: Sequence[BlockFrame], tied: Sequence[bool]
) -> ResolvedControl:
    """Restrict control to its marks on tied frames; the same object if all are.

    An untied photo carries no information on a point. Notes name points that lose all marks.
    """
    loose = {number for point in settled.points for number in point.frames if not tied[number]}
    if not loose:
        return settled
    points = select_tied_points(settled.points, tied)
    lost = {point.name for point in settled.points} - {point.name for point in points}
    photos = format_names({frames[number].source_name for number in loose})
    said = _(
        "{name}: marks on photos that could not be tied to others were left out ({photos}).",
        name=name,
        photos=photos,
    )
    doubt = _(
        "{name}: control points marked only on photos that could not be tied to others hold nothing "
        "({count}: {points}): mark them on tied photos too.",
        name=name,
        count=len(lost),
        points=format_names(lost),
    )
    doubts = [doubt] if lost else []
    return replace(
        settled,
        points=points,
        notes=(*settled.notes, said, *doubts),
        doubts=(*settled.doubts, *doubts),
    )


def validate_control(
    name: str,
    settled: ResolvedControl,
    frames: Sequence[BlockFrame],
    adjustment: Adjustment,
    gsd_m: float,
) -> ResolvedControl:
    """Return control points as the adjusted block supports them, with doubts.

    None where their shift exceeds any receiver's error. name: of their list; frames: with their priors.
    """
    stated_m = np.median([frame.exterior.sigma_position_m[:2] for frame in frames], axis=0)
    usable, far = check_control_shift(name, np.array(adjustment.accuracy.shift_m[:2]), stated_m)
    off = describe_unfollowed_points(name, settled.points, adjustment, gsd_m) if usable else None
    doubts = [doubt for doubt in (far, off) if doubt]
    return replace(
        settled,
        points=settled.points if usable else (),
        notes=(*settled.notes, *doubts),
        doubts=(*settled.doubts, *doubts),
    )


def check_control_shift(
    name: str, shift_m: NDArray[np.float64], stated_m: NDArray[np.float64]
) -> tuple[bool, Message | None]:
    """Check whether control that moved the block is plausible; with a note, if there is one.

    shift_m: east, north from where receivers put it, stated ± stated_m.
    """
    distance, times = float(np.hypot(*shift_m)), float(np.hypot(*(shift_m / np.maximum(stated_m, 1e-3))))
    if times <= _WARNING_SIGMAS:
        return True, None
    values = {"name": name, "distance_m": distance, "times": times, "sigma_m": stated_m.max()}
    if distance > _IMPOSSIBLE_M and times > _IMPOSSIBLE_SIGMAS:
        return False, _(
            "{name}: the control points stand {distance_m:.1f} m from where this flight's own positions put "
            "the block, {times:.1f} times what those are uncertain by (± {sigma_m:.1f} m): they are not "
            "used; check their coordinate system, its zone, and which point is which.",
            **values,
        )
    return True, _(
        "{name}: the control points stand {distance_m:.1f} m from where this flight's own positions put the "
        "block, {times:.1f} times what those are uncertain by (± {sigma_m:.1f} m): the block was moved onto "
        "them; check the map at a place you know.",
        **values,
    )


def describe_unfollowed_points(
    name: str, points: Sequence[ControlPoint], adjustment: Adjustment, gsd_m: float
) -> Message | None:
    """Describe points whose marks disagree with their coordinates, if there are any.

    In plan alone for points without a height.
    """
    if adjustment.control_residual_m is None:
        return None
    off_m = np.where(np.isfinite([point.sigma_m for point in points]), adjustment.control_residual_m, 0.0)
    far_m = np.nan_to_num(np.linalg.norm(off_m, axis=1))
    chosen = [k for k in np.argsort(-far_m, kind="stable") if far_m[k] > max(_OFF_M, _OFF_PIXELS * gsd_m)]
    if not chosen:
        return None
    named = join(
        (_("{point}: {off_m:.1f} m", point=points[k].name, off_m=far_m[k]) for k in chosen[:3]), ", "
    )
    return _(
        "{name}: control points that lie elsewhere than their marks show them: {count} of {all} ({points}); "
        "correct or remove them.",
        name=name,
        count=len(chosen),
        all=len(points),
        points=join([named, "…"]) if len(chosen) > 3 else named,
    )


def describe_refused_reference(name: str, tie: ReferenceTie) -> Message:
    """Describe a self-consistent reference with which the adjustment was refused."""
    return _(
        "{name}: windows in agreement: {agreed} of {found}, but this flight's ties, heights and cameras "
        "contradict a block that lies on it: the block was not moved onto it; check the reference's place "
        "and its date.",
        name=name,
        agreed=tie.agreed,
        found=tie.found,
    )


def describe_reference_shift(name: str, shift_m: tuple[float, float], accuracy: Accuracy) -> Message | None:
    """Describe a reference farther off the block than its sigmas explain.

    Farther than either axis's sigma explains (the distance counts in sigmas of both axes).
    """
    sigma = np.array(accuracy.shift_sigma_m[:2])
    if not (np.isfinite(sigma).all() and (sigma > 0.0).all()):
        return None
    times = float(np.hypot(*(np.array(shift_m) / sigma)))
    if times <= _WARNING_SIGMAS:
        return None
    return _(
        "{name}: it stands {distance_m:.1f} m from where this flight's own positions put the block, "
        "{times:.1f} times what those are uncertain by (± {sigma_m:.1f} m): the block was moved onto it; "
        "check the map at a place you know.",
        name=name,
        distance_m=np.hypot(*shift_m),
        times=times,
        sigma_m=sigma.max(),
    )
