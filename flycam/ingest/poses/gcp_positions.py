"""Positions of photos that have none, from ground control points and the block's own geometry.

Three points or more place the block (`planar_block`) on the ground. This is an approximation: `finish --gcp`
makes it exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flycam.errors import InputUnusable
from flycam.geodata.crs import choose_work_crs, describe_crs, to_lonlat, to_work
from flycam.geometry.camera import compute_ray_directions
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.poses.crs_accuracy import check_crs_accuracy
from flycam.ingest.poses.gcp import GroundControl, read_ground_control
from flycam.ingest.poses.planar_block import (
    InteriorFor,
    PlanarBlock,
    PlanarPlacing,
    build_planar_block,
    chain_part,
    fit_placing,
    with_places,
)
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.flight_table import Floats
from flycam.ingest.preflight.flying_height import GreyOf
from flycam.messages import _, ngettext

_MIN_POINTS = 3
_MAX_MISFIT_SHARE = 0.15
"""Largest misfit of the control points, as a share of their extent."""


def with_gcp_positions(
    photos: Sequence[PhotoMetadata], path: Path, interior_for: InteriorFor, grey_of: GreyOf
) -> tuple[list[PhotoMetadata], list[Problem]]:
    """Add positions and headings from ground control points to photos that lack them.

    Raises InputUnusable where fewer than three points lie in connected photos, or where they do not fit them;
    also what `read_ground_control` raises.
    """
    control = read_ground_control(path)
    block = build_planar_block(photos, interior_for, grey_of)
    if not block.photos:
        return list(photos), []
    marks, crs = _marks(block, control)
    placing, points = _placing(path, block, marks)
    lonlat = to_lonlat(placing.place_m, crs)
    said = _placement_problem(path.name, len(placing.rows), len(block.photos), points, placing.misfit_m)
    return with_places(photos, block, placing, lonlat), [said, *check_crs_accuracy(path, control.crs, lonlat)]


@dataclass(frozen=True, slots=True)
class _Mark:
    """Control point in a photo's own plane (2, flying heights) and on the ground.

    `place_m` is its ground position (2, metres).
    """

    row: int
    point: str
    seen: Floats
    place_m: Floats


def _placing(path: Path, block: PlanarBlock, marks: Sequence[_Mark]) -> tuple[PlanarPlacing, int]:
    """Place the connected part with most control points; return also their number."""
    points_of = {
        one: {mark.point for mark in marks if block.part[mark.row] == one} for one in set(block.part.tolist())
    }
    best = max(points_of, key=lambda one: len(points_of[one]))
    if len(points_of[best]) < _MIN_POINTS:
        raise _too_few(path, len(points_of[best]))
    poses = chain_part(block, best)
    here: dict[str, list[Floats]] = {}
    for mark in marks:
        if block.part[mark.row] == best:
            here.setdefault(mark.point, []).append(poses.to_map(mark.row, mark.seen))
    there = {mark.point: mark.place_m for mark in marks}
    model = np.array([np.mean(places, axis=0) for places in here.values()])
    ground = np.array([there[point] for point in here])
    placing = fit_placing(poses, model, ground)
    if not placing.misfit_m < _MAX_MISFIT_SHARE * float(np.hypot(*np.ptp(ground, axis=0))):
        raise _unlike(path, placing.misfit_m)
    return placing, len(here)


def _marks(block: PlanarBlock, control: GroundControl) -> tuple[list[_Mark], str]:
    """Return a list's marks in these photos, and the projected CRS they are in."""
    xy, crs = np.array([(mark.x, mark.y) for mark in control.marks]), control.crs
    if describe_crs(crs).is_geographic:
        centre = np.median(xy, axis=0)
        crs = choose_work_crs(float(centre[0]), float(centre[1]))
        xy = to_work(xy, crs)
    row_of = {photo.path.name.lower(): row for row, photo in enumerate(block.photos)}
    found: list[_Mark] = []
    for mark, place in zip(control.marks, xy, strict=True):
        row = row_of.get(Path(mark.photo).name.lower())
        if row is not None:
            x, y, z = compute_ray_directions(block.interiors[row], *np.array([mark.uv_px]).T)
            found.append(_Mark(row, mark.point, np.array([x[0] / z[0], -y[0] / z[0]]), place))
    return found, crs


def _too_few(path: Path, count: int) -> InputUnusable:
    return InputUnusable(
        _(
            "{name}: {count} of its points lie in photos that hang together, and three are needed to place "
            "photos without positions: mark more points, or give positions with --telemetry",
            name=path.name,
            count=count,
        )
    )


def _unlike(path: Path, misfit: float) -> InputUnusable:
    return InputUnusable(
        _(
            "{name}: its points miss the places of their marks by {misfit:.0f} m, so the photos cannot be "
            "placed by them: check marks and coordinates",
            name=path.name,
            misfit=misfit,
        )
    )


def _placement_problem(name: str, placed: int, total: int, points: int, misfit: float) -> Problem:
    return Problem(
        code="placed_by_control",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{name}: {placed} of {count} photo without a position are placed by {points} control points and "
            "what the photos share, roughly (the points fit to {misfit_m:.1f} m): finish with --gcp.",
            "{name}: {placed} of {count} photos without a position are placed by {points} control points and "
            "what the photos share, roughly (the points fit to {misfit_m:.1f} m): finish with --gcp.",
            total,
            name=name,
            placed=placed,
            points=points,
            misfit_m=misfit,
        ),
    )
