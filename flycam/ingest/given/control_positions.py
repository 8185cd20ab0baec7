"""Positions of photos that have none, from ground control points and the block's own geometry.

Looking down, every photo is a map of the ground up to a similarity: scale is its height, turn its heading,
shift its position. Pairs that share ground chain all photos into one such map; three control points or more
bring it to the ground. This is a beginning, good to a few per cent of the block: `finish --gcp` makes it
exact.

Sources: Umeyama, PAMI 13(4), 1991 (similarity between points); Kraus, Photogrammetry, 2007, 5.1 (block of
independent models, in the plane).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from flycam.errors import CalibrationMissing, InputUnusable
from flycam.geodata.crs import describe_crs, to_lonlat, to_work, work_crs_for
from flycam.geometry.camera import undistorted_directions
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.matching import mutual_best_of_all
from flycam.geometry.rotation import rotation_from_gimbal
from flycam.ingest.doctor.altitude import RTK_SINGLE
from flycam.ingest.doctor.diagnosis import Problem, Severity
from flycam.ingest.doctor.flight_table import Floats, Index
from flycam.ingest.doctor.flying_height import GreyOf, Pictures, Poses, Sight, common_ground
from flycam.ingest.given.crs_accuracy import crs_accuracy_said
from flycam.ingest.given.gcp import GroundControl, read_gcp
from flycam.ingest.photo.metadata import PhotoMetadata

_LEAST_POINTS = 3
_WORST_SHARE = 0.15
"""Misfit of the control points, of their extent, beyond which the block is not the ground's."""
_LEAST_SIGMA_M = 2.0
_LOOKED_AT = 250
"""Strongest features by which pairs are chosen before all are matched."""
_ALIKE = 6
_NEIGHBOURS = 8
_THREADS = 2
_ROUNDS = 5
_LINK_TURN_RAD = 0.3
_LINK_SCALE = 0.2


@dataclass(frozen=True, slots=True)
class _Link:
    """Photo b on the map of photo a: p_a = scale · turn(angle) · p_b + shift (2, flying heights of a)."""

    a: int
    b: int
    angle: float
    scale: float
    shift: Floats


def with_control(
    photos: Sequence[PhotoMetadata],
    path: Path,
    interior_for: Callable[[PhotoMetadata], InteriorOrientation],
    grey_of: GreyOf,
) -> tuple[list[PhotoMetadata], list[Problem]]:
    """Photos with positions and headings by a list of ground control points; those that have some keep it.

    Raises InputUnusable where fewer than three points lie in photos that hang together, or where they do not
    fit them; CalibrationMissing where no lens is known; what `read_gcp` raises.
    """
    control = read_gcp(path)
    lenses = [_lens(photo, interior_for) for photo in photos]
    rows = [
        k
        for k, (photo, lens) in enumerate(zip(photos, lenses, strict=True))
        if lens and not _is_placed(photo)
    ]
    if not rows:
        return list(photos), []
    n = len(rows)
    poses = Poses(
        paths=[photos[k].path for k in rows],
        interiors=[lens for k in rows if (lens := lenses[k]) is not None],
        xy_m=np.zeros((n, 2)),
        rotations=np.repeat(rotation_from_gimbal(0.0, -np.pi / 2.0, 0.0)[None], n, axis=0),
        position_sigma_m=np.zeros((n, 2)),
        attitude_sigma_deg=np.full((n, 2), 180.0),
    )
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="control") as pool:
        sights = Pictures(poses, grey_of, pool).sights(range(n))
    links = [link for a, b in _candidates(sights) if (link := _link(a, b, sights[a], sights[b])) is not None]
    marks, crs = _marks([photos[k] for k in rows], poses, control)
    inside, placing = _placing(path, links, marks, n)
    lonlat = to_lonlat(placing.place_m, crs)
    sigma = max(_LEAST_SIGMA_M, placing.misfit_m)
    placed = list(photos)
    for row, (lon, lat), heading in zip(
        inside.tolist(), lonlat.tolist(), placing.heading_deg.tolist(), strict=True
    ):
        placed[rows[row]] = replace(
            photos[rows[row]],
            lon_deg=lon,
            lat_deg=lat,
            direction_deg=heading,
            direction_reference="T",
            rtk_flag=RTK_SINGLE,
            rtk_std_m=(sigma, sigma, 2.0 * sigma),
        )
    said = _said(path.name, len(inside), n, placing.points, placing.misfit_m)
    return placed, [said, *crs_accuracy_said(path, control.crs, lonlat)]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A control point on a photo's own map (2, flying heights), and where it lies (2, metres)."""

    row: int
    point: str
    seen: Floats
    place_m: Floats


@dataclass(frozen=True, slots=True)
class _Placing:
    """Places P×2 and headings P of photos, by so many points that miss by misfit_m."""

    place_m: Floats
    heading_deg: Floats
    points: int
    misfit_m: float


def _placing(path: Path, links: Sequence[_Link], marks: Sequence[_Mark], n: int) -> tuple[Index, _Placing]:
    """The photos that hang together with most control points, and where they are."""
    part = _parts(links, n)
    points_of = {one: {mark.point for mark in marks if part[mark.row] == one} for one in set(part.tolist())}
    best = max(points_of, key=lambda one: len(points_of[one]))
    if len(points_of[best]) < _LEAST_POINTS:
        raise _too_few(path, len(points_of[best]))
    inside = np.flatnonzero(part == best)
    angle, scale, shift = _joined(links, inside, n)
    here: dict[str, list[Floats]] = {}
    for mark in marks:
        if part[mark.row] == best:
            at = scale[mark.row] * mark.seen @ _turn(angle[mark.row]) + shift[mark.row]
            here.setdefault(mark.point, []).append(at)
    there = {mark.point: mark.place_m for mark in marks}
    model = np.array([np.mean(places, axis=0) for places in here.values()])
    ground = np.array([there[point] for point in here])
    turn, size, move, misfit = _similarity(model, ground)
    if not misfit < _WORST_SHARE * float(np.hypot(*np.ptp(ground, axis=0))):
        raise _unlike(path, misfit)
    return inside, _Placing(
        place_m=size * shift[inside] @ _turn(turn) + move,
        heading_deg=np.degrees(-(angle[inside] + turn)) % 360.0,
        points=len(here),
        misfit_m=misfit,
    )


def _is_placed(photo: PhotoMetadata) -> bool:
    return photo.lat_deg is not None or photo.xmp_lat_deg is not None


def _lens(
    photo: PhotoMetadata, interior_for: Callable[[PhotoMetadata], InteriorOrientation]
) -> InteriorOrientation | None:
    try:
        return interior_for(photo)
    except CalibrationMissing:
        return None


def _candidates(sights: dict[int, Sight | None]) -> list[tuple[int, int]]:
    """Neighbours in order, and for each photo the few others whose strongest features it shares most."""
    short = {row: one.features.descriptor[:_LOOKED_AT] for row, one in sights.items() if one is not None}
    alike: dict[tuple[int, int], int] = {}
    for a, b in combinations(sorted(short), 2):
        count = len(mutual_best_of_all(short[a], short[b], ratio=0.8)[0])
        if count >= _ALIKE or b == a + 1:
            alike[a, b] = count
    chosen = {pair for pair in alike if pair[1] == pair[0] + 1}
    for row in short:
        own = sorted((pair for pair in alike if row in pair), key=lambda pair: -alike[pair])
        chosen.update(own[:_NEIGHBOURS])
    return sorted(chosen)


def _link(a: int, b: int, one: Sight | None, other: Sight | None) -> _Link | None:
    if (common := common_ground(one, other)) is None:
        return None
    angle, scale, shift, _ = _similarity(common[1], common[0])
    return _Link(a, b, angle, scale, shift) if 0.5 < scale < 2.0 else None


def _turn(angle: float) -> Floats:
    """2×2 that turns row vectors anticlockwise."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]])


def _similarity(source: Floats, target: Floats) -> tuple[float, float, Floats, float]:
    """(angle, scale, shift, rms): target = scale · source @ turn(angle) + shift in the least squares."""
    ms, mt = source.mean(axis=0), target.mean(axis=0)
    s, t = source - ms, target - mt
    along, across = float((s * t).sum()), float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum())
    angle, scale = (
        float(np.arctan2(across, along)),
        float(np.hypot(along, across) / max(np.square(s).sum(), 1e-12)),
    )
    shift = mt - scale * ms @ _turn(angle)
    rms = float(np.sqrt(np.square(scale * source @ _turn(angle) + shift - target).sum(axis=1).mean()))
    return angle, scale, shift, rms


def _parts(links: Sequence[_Link], n: int) -> Index:
    """Which connected part of the block each photo belongs to, N."""
    from scipy.sparse import coo_array  # noqa: PLC0415  few flights are placed so
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415  as above

    a, b = [one.a for one in links], [one.b for one in links]
    graph = coo_array((np.ones(len(links)), (a, b)), shape=(n, n))
    label: Index = connected_components(graph, directed=False)[1].astype(np.intp)
    return label


def _joined(links: Sequence[_Link], inside: Index, n: int) -> tuple[Floats, Floats, Floats]:
    """Angle N, scale N and shift N×2 of all photos of a connected part on the map of its first photo.

    Angles along a tree first, then all links by least squares: angles, logarithms of scales, and with both
    known the shifts; links that contradict the rest lose their weight.
    """
    own = [one for one in links if one.a in set(inside.tolist())]
    a, b = np.array([one.a for one in own], dtype=np.intp), np.array([one.b for one in own], dtype=np.intp)
    angle = _along_tree(own, int(inside[0]), n)
    log_scale: Floats = np.zeros(n)
    shift: Floats = np.zeros((n, 2))
    turned = np.array([one.angle for one in own])
    sized = np.log([one.scale for one in own])
    moved = np.array([one.shift for one in own]).reshape(-1, 2)
    free = inside[1:]
    design = np.zeros((len(own), n))
    design[np.arange(len(own)), b] += 1.0
    design[np.arange(len(own)), a] -= 1.0
    design = design[:, free]
    trust: Floats = np.ones(len(own))
    for _ in range(_ROUNDS):
        left = _folded(turned - (angle[b] - angle[a]))
        angle[free] += _solved(design, left, trust)
        log_scale[free] = _solved(design, sized, trust)
        scale: Floats = np.exp(log_scale)
        step = np.stack([scale[i] * d @ _turn(angle[i]) for i, d in zip(a, moved, strict=True)])
        shift[free] = _solved(design, step, trust)
        off_turn = _folded(turned - (angle[b] - angle[a])) / _LINK_TURN_RAD
        off_step = np.hypot(*(step - (shift[b] - shift[a])).T) / (_LINK_SCALE * scale[a])
        trust = 1.0 / (1.0 + off_turn**2 + off_step**2) ** 2
    return angle, scale, shift


def _solved(design: Floats, observed: Floats, weight: Floats) -> Floats:
    root = np.sqrt(weight)
    right = observed * (root if observed.ndim == 1 else root[:, None])
    return np.linalg.lstsq(design * root[:, None], right, rcond=None)[0].astype(np.float64)


def _along_tree(links: Sequence[_Link], first: int, n: int) -> Floats:
    """Angles N along a tree of links from one photo."""
    a, b = [one.a for one in links], [one.b for one in links]
    from scipy.sparse import coo_array  # noqa: PLC0415  as above
    from scipy.sparse.csgraph import breadth_first_order  # noqa: PLC0415  as above

    graph = coo_array((np.ones(len(links)), (a, b)), shape=(n, n)).tocsr()
    order, before = breadth_first_order(graph, first, directed=False)
    known = {(one.a, one.b): one.angle for one in links}
    angle = np.zeros(n)
    for row in order[1:].tolist():
        parent = int(before[row])
        angle[row] = angle[parent] + (known[parent, row] if (parent, row) in known else -known[row, parent])
    return angle


def _folded(angle: Floats) -> Floats:
    folded: Floats = (angle + np.pi) % (2.0 * np.pi) - np.pi
    return folded


def _marks(photos: Sequence[PhotoMetadata], poses: Poses, control: GroundControl) -> tuple[list[_Mark], str]:
    """Marks of a list in these photos, and the projected CRS that their places are in."""
    xy, crs = np.array([(mark.x, mark.y) for mark in control.marks]), control.crs
    if describe_crs(crs).is_geographic:
        centre = np.median(xy, axis=0)
        crs = work_crs_for(float(centre[0]), float(centre[1]))
        xy = to_work(xy, crs)
    row_of = {photo.path.name.lower(): row for row, photo in enumerate(photos)}
    found: list[_Mark] = []
    for mark, place in zip(control.marks, xy, strict=True):
        row = row_of.get(Path(mark.photo).name.lower())
        if row is not None:
            x, y, z = undistorted_directions(poses.interiors[row], *np.array([mark.uv_px]).T)
            found.append(_Mark(row, mark.point, np.array([x[0] / z[0], -y[0] / z[0]]), place))
    return found, crs


def _too_few(path: Path, count: int) -> InputUnusable:
    return InputUnusable(
        f"{path.name}: {count} of its points lie in photos that hang together, and three are needed to place "
        "photos without positions: mark more points, or give positions with --telemetry",
        vi=f"{path.name}: chỉ có {count} điểm nằm trong các ảnh ghép được với nhau, cần ít nhất ba điểm để "
        "đặt các ảnh không có vị trí; hãy đánh dấu thêm điểm, hoặc đưa vị trí bằng --telemetry",
    )


def _unlike(path: Path, misfit: float) -> InputUnusable:
    return InputUnusable(
        f"{path.name}: its points miss the places of their marks by {misfit:.0f} m, so the photos cannot be "
        "placed by them: check marks and coordinates",
        vi=f"{path.name}: các điểm lệch vị trí đánh dấu trên ảnh tới {misfit:.0f} m nên không đặt được ảnh; "
        "hãy kiểm tra dấu và toạ độ",
    )


def _said(name: str, placed: int, total: int, points: int, misfit: float) -> Problem:
    return Problem(
        code="placed_by_control",
        severity=Severity.WARNING,
        sentence_en=f"{name}: {placed} of {total} photos without a position are placed by {points} control "
        f"points and what the photos share, roughly (the points fit to {misfit:.1f} m): finish with --gcp.",
        sentence_vi=f"{name}: {placed} trong {total} ảnh không có vị trí được đặt gần đúng theo {points} "
        f"điểm khống chế và phần chung giữa các ảnh (khớp đến {misfit:.1f} m): hãy chạy finish với --gcp.",
    )
