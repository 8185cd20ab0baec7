"""Ground control points for the block: axes, datum and marks resolved.

A field list has errors: latitude before longitude, ellipsoidal heights where the flight uses geoid heights,
marks on photos that are not in the flight. The terrain and the camera positions decide where they can; what
is left out is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame, ControlPoint
from flycam.errors import InputUnusable
from flycam.frame.flight import is_flat_datum
from flycam.geodata.crs import describe_crs, estimate_accuracy_m, to_lonlat, to_work, transform_points
from flycam.geodata.geoid import convert_height
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.ingest.poses.crs_accuracy import format_crs_accuracy
from flycam.ingest.poses.gcp import GroundControl, GroundMark, read_ground_control
from flycam.messages import Message, _
from flycam.pipeline.finish.mark_scale import estimate_mark_scale

Floats = NDArray[np.float64]

_MAX_DISTANCE_M = 3000.0
_SIGMA_XY_M, _SIGMA_Z_M, _SIGMA_PX = 0.03, 0.05, 1.0
_SAME_DATUM_M = 8.0
_EVERY_CHECK = 5
_MIN_FOR_CHECKS = 10
_MIN_POINTS = 3
_WORTH_SAYING_M, _CLEARLY_NEARER = 1.0, 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedControl:
    """Control for the block, and notes on what was decided or left out.

    notes: sentences for the report; doubts: those of them to be looked into; crs_sigma_m: of all points
    together, by the transformation of their CRS (radial).
    """

    points: Sequence[ControlPoint]
    notes: Sequence[Message]
    doubts: Sequence[Message] = ()
    crs_sigma_m: float = 0.0


def resolve_ground_control(
    path: Path, frames: Sequence[BlockFrame], terrain: TerrainGrid | None
) -> ResolvedControl:
    """Read an OpenDroneMap list and resolve it against a flight.

    Of ten points and more every fifth is kept as check point. Raises SourceUnreadable, CrsMissing;
    InputUnusable where no mark lies on a photo of the flight, no point near it, or the marks were made on
    images of another size.
    """
    control = read_ground_control(path)
    said: list[Message] = []
    doubts: list[Message] = []
    marks = _on_photos(control, frames, doubts)
    if not marks:
        raise InputUnusable(
            _(
                "{name}: none of its photos is in this flight ({value}); check the photo names in the list",
                name=path.name,
                value=format_names({m.photo for m in control.marks}),
            )
        )
    names = sorted({mark.point for mark, __ in marks})
    first = {name: next(mark for mark, __ in marks if mark.point == name) for name in names}
    listed = np.array([(first[name].x, first[name].y, first[name].z) for name in names])
    exterior = frames[0].exterior
    centres = np.array([frame.exterior.projection_centre_m[:2] for frame in frames])
    xy = _near(path, control.crs, listed[:, :2], exterior.work_crs, centres, said)
    crs_sigma_m = estimate_accuracy_m(control.crs, to_lonlat(centres[:1], exterior.work_crs)[0])
    if crs_sigma_m:
        doubts.append(format_crs_accuracy(path.name, crs_sigma_m))
    heights, sigma_z = _heights(
        listed[:, 2], xy, exterior.work_crs, exterior.vertical_datum, terrain, said, doubts
    )
    points = []
    for row, name in enumerate(names):
        if not np.isfinite(xy[row]).all():
            continue
        seen = {frame: mark.uv_px for mark, frame in marks if mark.point == name}
        known = bool(np.isfinite(heights[row]))
        points.append(
            ControlPoint(
                name=name,
                position_m=(
                    float(xy[row, 0]),
                    float(xy[row, 1]),
                    float(heights[row]) if known else 0.0,
                ),
                sigma_m=(_SIGMA_XY_M, _SIGMA_XY_M, sigma_z if known else float("inf")),
                frames=tuple(sorted(seen)),
                uv_px=np.array([seen[frame] for frame in sorted(seen)]),
                sigma_px=_SIGMA_PX,
                check=len(names) >= _MIN_FOR_CHECKS and row % _EVERY_CHECK == _EVERY_CHECK - 1,
            )
        )
    _refuse_scaled(path, estimate_mark_scale(points, frames, terrain))
    if len(points) < _MIN_POINTS:
        doubts.append(
            _(
                "{name}: only {count} control points can be used: they hold the place of the block and "
                "hardly its turn and scale, and nothing checks them; {least} and more, far apart, do.",
                name=path.name,
                count=len(points),
                least=_MIN_POINTS,
            )
        )
    return ResolvedControl(
        points=tuple(points), notes=(*said, *doubts), doubts=tuple(doubts), crs_sigma_m=crs_sigma_m
    )


def _refuse_scaled(path: Path, scale: float | None) -> None:
    if scale is not None:
        raise InputUnusable(
            _(
                "{name}: its marks were made on pictures {scale:.2f} times as large as this "
                "flight's photos; mark the points on the photos themselves, or give the "
                "positions in their pixels",
                name=path.name,
                scale=scale,
            )
        )


def _on_photos(
    control: GroundControl, frames: Sequence[BlockFrame], notes: list[Message]
) -> list[tuple[GroundMark, int]]:
    """Return marks with the index of their frame; notes name marks elsewhere.

    Matched by file name, else without suffix.
    """
    by_name = {PurePath(frame.source_name).name.lower(): k for k, frame in enumerate(frames)}
    by_stem = {PurePath(name).stem: k for name, k in by_name.items()}
    found, absent, outside = [], set(), set()
    for mark in control.marks:
        name = PurePath(mark.photo.replace("\\", "/")).name.lower()
        frame = by_name.get(name, by_stem.get(PurePath(name).stem))
        if frame is None:
            absent.add(mark.photo)
            continue
        width, height = frames[frame].interior.image_size_px
        if not (-0.5 <= mark.uv_px[0] <= width - 0.5 and -0.5 <= mark.uv_px[1] <= height - 0.5):
            outside.add(f"{mark.point} in {mark.photo}")
            continue
        found.append((mark, frame))
    if absent:
        notes.append(
            _(
                "{name}: marks on photos that are not in this flight were left out ({count}: {photos}).",
                name=control.path.name,
                count=len(absent),
                photos=format_names(absent),
            )
        )
    if outside:
        notes.append(
            _(
                "{name}: marks that lie outside their picture were left out ({count}: {marks}); were they "
                "made on photos of another size?",
                name=control.path.name,
                count=len(outside),
                marks=format_names(outside),
            )
        )
    return found


def _near(
    path: Path, crs: str, listed: Floats, work_crs: str, centres: Floats, notes: list[Message]
) -> Floats:
    """Return points in the work CRS, N×2; NaN for those far from the flight.

    Axes are swapped if only so the points lie near it.
    """
    as_written, swapped = (_to_work(points, crs, work_crs) for points in (listed, listed[:, ::-1]))
    near = [_distances(points, centres) <= _MAX_DISTANCE_M for points in (as_written, swapped)]
    xy, here = as_written, near[0]
    if near[1].sum() > near[0].sum():
        xy, here = swapped, near[1]
        notes.append(
            _(
                "{name}: its axes are the other way round (north before east); they were read that way, "
                "because only then do the points lie under this flight.",
                name=path.name,
            )
        )
    if not here.any():
        raise InputUnusable(
            _(
                "{name}: no point lies within {reach_m:.0f} km of this flight, in either "
                "order of axes; check the coordinate system in its first line ({crs})",
                name=path.name,
                reach_m=_MAX_DISTANCE_M / 1000,
                crs=crs[:60],
            )
        )
    if not here.all():
        said = _(
            "{name}: points far from this flight were left out ({count}).",
            name=path.name,
            count=int((~here).sum()),
        )
        notes.append(said)
    return np.where(here[:, None], xy, np.nan)


def _to_work(points: Floats, crs: str, work_crs: str) -> Floats:
    if describe_crs(crs).is_geographic:
        on_globe = (np.abs(points[:, 0]) <= 180.0) & (np.abs(points[:, 1]) <= 90.0)
        points = np.where(on_globe[:, None], points, np.nan)
    out = np.full(points.shape, np.nan)
    usable = np.isfinite(points).all(axis=1)
    if usable.any():
        lonlat = transform_points(points[usable], crs, "EPSG:4326")
        # UTM is not defined beyond 84° latitude.
        sane = np.isfinite(lonlat).all(axis=1) & (np.abs(lonlat[:, 1]) < 84.0)
        moved = np.full(lonlat.shape, np.nan)
        moved[sane] = to_work(lonlat[sane], work_crs)
        out[usable] = moved
    return out


def _distances(points: Floats, centres: Floats) -> Floats:
    distance = np.hypot(*np.moveaxis(points[:, None] - centres[None], -1, 0)).min(axis=1)
    return np.where(np.isfinite(distance), distance, np.inf)


def _heights(
    listed: Floats,
    xy: Floats,
    work_crs: str,
    datum: str,
    terrain: TerrainGrid | None,
    notes: list[Message],
    doubts: list[Message],
) -> tuple[Floats, float]:
    """Return heights in the flight's datum (NaN: not used) and their sigma.

    The datum is decided against the terrain.
    """
    usable = np.isfinite(listed) & np.isfinite(xy).all(axis=1)
    if not usable.any():
        notes.append(_("The control points have no heights; they fix the horizontal position only."))
        return np.full(listed.shape, np.nan), _SIGMA_Z_M
    if is_flat_datum(datum) or terrain is None or terrain.dem_id.startswith("flat:"):
        notes.append(
            _(
                "The heights of the control points are not used, because this flight has no terrain to "
                "compare their datum with; register one with 'flycam dem add'."
            )
        )
        return np.full(listed.shape, np.nan), _SIGMA_Z_M
    ground = interpolate_heights(terrain, xy)
    lonlat = to_lonlat(np.where(usable[:, None], xy, 0.0), work_crs)
    candidates = {}
    for name in (datum, *(d for d in ("ELLIPSOID", "EGM2008", "EGM96") if d != datum)):
        heights = np.full(listed.shape, np.nan)
        heights[usable] = convert_height(listed[usable], lonlat[usable], name, datum)
        off = float(np.nanmedian(heights - ground)) if np.isfinite(heights - ground).any() else np.nan
        candidates[name] = (heights, abs(off))
    # The flight's own datum unless another explains the heights clearly better.
    best = datum
    if not candidates[datum][1] <= _SAME_DATUM_M:
        best = min(candidates, key=lambda name: np.nan_to_num(candidates[name][1], nan=np.inf))
    heights, off = candidates[best]
    if not off <= _SAME_DATUM_M:
        doubts.append(
            _(
                "The heights of the control points are {off_m:.0f} m off the terrain in every datum tried "
                "and are not used; the points fix the horizontal position only.",
                off_m=off,
            )
        )
        return np.full(listed.shape, np.nan), _SIGMA_Z_M
    if best != datum:
        notes.append(
            _(
                "The heights of the control points fit the terrain as {fitting} heights, not as {stated}; "
                "they were converted.",
                fitting=best,
                stated=datum,
            )
        )
    above = float(np.nanmedian(heights - ground))
    if abs(above) > _WORTH_SAYING_M:
        doubts.append(_off_terrain(above, best, {name: off for name, (__, off) in candidates.items()}))
    return heights, _SIGMA_Z_M


def _off_terrain(above: float, datum: str, offs: Mapping[str, float]) -> Message:
    """Describe heights off the terrain, and whether another datum fits better.

    EGM96 and EGM2008 differ by a metre and more in these mountains.
    """
    values = {"off_m": abs(above), "datum": datum}
    nearest = min(offs, key=lambda name: np.nan_to_num(offs[name], nan=np.inf))
    if nearest != datum and offs[nearest] < _CLEARLY_NEARER * abs(above):
        values |= {"other": nearest, "other_off_m": offs[nearest]}
        if above > 0.0:
            return _(
                "The control points lie {off_m:.1f} m above the terrain model (median) and are taken as "
                "{datum} heights; as {other} heights they would lie {other_off_m:.1f} m from it: check the "
                "datum they were measured in.",
                **values,
            )
        return _(
            "The control points lie {off_m:.1f} m below the terrain model (median) and are taken as {datum} "
            "heights; as {other} heights they would lie {other_off_m:.1f} m from it: check the datum they "
            "were measured in.",
            **values,
        )
    if above > 0.0:
        return _(
            "The control points lie {off_m:.1f} m above the terrain model (median) and are taken as {datum} "
            "heights: check the datum they were measured in, unless the model is known to be off.",
            **values,
        )
    return _(
        "The control points lie {off_m:.1f} m below the terrain model (median) and are taken as {datum} "
        "heights: check the datum they were measured in, unless the model is known to be off.",
        **values,
    )


def format_names(names: set[str]) -> str:
    """Join the first three of some names."""
    listed = sorted(names)
    return ", ".join(listed[:3]) + (" …" if len(listed) > 3 else "")
