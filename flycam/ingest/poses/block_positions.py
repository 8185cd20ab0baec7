"""Positions for photos that have none: a planar block, placed on the ground.

Looking down, every photo is a map of
the ground up to a similarity: scale is its height, turn its heading, shift its position. Pairs that share
ground chain all photos into one such map; ground control points or a map place it on the ground. This is an
approximation, good to a few per cent of the block: an adjustment makes it exact.

Sources: Umeyama, PAMI 13(4), 1991 (similarity between points); Kraus, Photogrammetry, 2007, 5.1 (block of
independent models, in the plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path

import cv2
import numpy as np

from flycam.errors import CalibrationMissing, InputUnusable
from flycam.geodata.control_points import GroundControl, format_crs_accuracy, read_ground_control
from flycam.geodata.crs import choose_work_crs, describe_crs, estimate_accuracy_m, to_lonlat, to_work
from flycam.geodata.raster import RASTER_SUFFIXES, ReferenceRaster
from flycam.geometry.camera import InteriorOrientation, compute_ray_directions
from flycam.geometry.features import Bytes, find_features, label_components, match_all_mutual_best
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.photos.calibration import resolve_interior
from flycam.ingest.photos.photo_reader import PhotoMetadata
from flycam.ingest.preflight.altitude import RTK_SINGLE
from flycam.ingest.preflight.flight_table import Bools, Floats, Index
from flycam.ingest.preflight.flying_height import (
    GreyOf,
    GroundFeatures,
    ImageMatcher,
    PoseEstimates,
    match_ground,
)
from flycam.messages import _, ngettext
from flycam.model.diagnosis import Problem, Severity

# -- Warnings about coordinate systems that can be converted to WGS 84 only to metres --------------


def check_crs_accuracy(path: Path, crs: str | None, lonlat_deg: Floats) -> list[Problem]:
    """Return a warning if a file's coordinate system is only accurate to metres.

    lonlat_deg  the file's coordinates, N×2 degrees once transformed

    None for `crs` None (WGS 84).
    """
    accuracy = 0.0 if crs is None else estimate_accuracy_m(crs, np.median(lonlat_deg, axis=0))
    if not accuracy:
        return []
    return [
        Problem(
            code="crs_accuracy",
            severity=Severity.WARNING,
            sentence=format_crs_accuracy(path.name, accuracy),
        )
    ]


# -- Planar block of photos without a position -----------------------------------------------------


THREADS = 2
_MIN_SIGMA_M = 2.0
_MAX_MATCHED_PHOTOS = 250
"""Number of strongest features by which pairs are chosen before all are matched."""
_ALIKE = 6
_NEIGHBOURS = 8
_ROUNDS = 5
_LINK_TURN_RAD = 0.3
_LINK_SCALE = 0.2


@dataclass(frozen=True, slots=True)
class PlanarBlock:
    """Photos with an interior and without a position, and their links.

    photos, interiors, features  N each; features are None where the pixels cannot be read
    part   index of the connected part of each, N
    """

    photos: Sequence[PhotoMetadata]
    interiors: Sequence[InteriorOrientation]
    features: Sequence[GroundFeatures | None]
    part: Index
    links: Sequence[_Link]


@dataclass(frozen=True, slots=True)
class PlanarPoses:
    """Poses of one part's photos on the map of its first photo.

    rows   of the block, those of the part
    angle  N, anticlockwise, radians; scale N
    shift  N×2, flying heights of the first
    """

    rows: Index
    angle: Floats
    scale: Floats
    shift: Floats

    def to_map(self, row: int, seen: Floats) -> Floats:
        """Map positions M×2 in photo `row`'s flying heights to the part's map."""
        placed: Floats = self.scale[row] * seen @ make_rotation_2d(self.angle[row]) + self.shift[row]
        return placed


@dataclass(frozen=True, slots=True)
class PlanarPlacing:
    """Positions of some rows' photos: P×2 (metres), headings P, and the misfit.

    The misfit is that of the points by which they were placed.
    """

    rows: Index
    place_m: Floats
    heading_deg: Floats
    misfit_m: float


@dataclass(frozen=True, slots=True)
class _Link:
    """Photo b on the map of photo a.

    p_a = scale · turn(angle) · p_b + shift (2, flying heights of a).
    """

    a: int
    b: int
    angle: float
    scale: float
    shift: Floats


def build_planar_block(
    photos: Sequence[PhotoMetadata], camera: InteriorOrientation | None, grey_of: GreyOf
) -> PlanarBlock:
    """Link the photos with an interior and without a position that share ground."""
    lenses = [_lens(photo, camera) for photo in photos]
    chosen = [
        (photo, lens) for photo, lens in zip(photos, lenses, strict=True) if lens and not _is_placed(photo)
    ]
    n = len(chosen)
    poses = PoseEstimates(
        paths=[photo.path for photo, __ in chosen],
        interiors=[lens for __, lens in chosen],
        xy_m=np.zeros((n, 2)),
        rotations=np.repeat(rotation_from_gimbal(0.0, -np.pi / 2.0, 0.0)[None], n, axis=0),
        position_sigma_m=np.zeros((n, 2)),
        attitude_sigma_deg=np.full((n, 2), 180.0),
    )
    with ThreadPoolExecutor(THREADS, thread_name_prefix="block") as pool:
        sights = ImageMatcher(poses, grey_of, pool).detect_features(range(n))
    links = [link for a, b in _candidates(sights) if (link := _link(a, b, sights[a], sights[b])) is not None]
    return PlanarBlock(
        photos=[photo for photo, __ in chosen],
        interiors=poses.interiors,
        features=[sights[row] for row in range(n)],
        part=label_components(n, [one.a for one in links], [one.b for one in links]),
        links=links,
    )


def chain_part(block: PlanarBlock, part: int) -> PlanarPoses:
    """Chain the photos of one part."""
    rows = np.flatnonzero(block.part == part)
    return PlanarPoses(rows, *_joined(block.links, rows, len(block.photos)))


def fit_placing(poses: PlanarPoses, model: Floats, ground: Floats) -> PlanarPlacing:
    """Place a part by points on its map M×2 and on the ground M×2 (metres)."""
    turn, size, move, misfit = fit_similarity(model, ground)
    return PlanarPlacing(
        rows=poses.rows,
        place_m=size * poses.shift[poses.rows] @ make_rotation_2d(turn) + move,
        heading_deg=np.degrees(-(poses.angle[poses.rows] + turn)) % 360.0,
        misfit_m=misfit,
    )


def with_places(
    photos: Sequence[PhotoMetadata], block: PlanarBlock, placing: PlanarPlacing, lonlat_deg: Floats
) -> list[PhotoMetadata]:
    """Return all photos, placed ones with lon/lat P×2, heading and sigma."""
    sigma = max(_MIN_SIGMA_M, placing.misfit_m)
    of_path = {
        block.photos[row].path: (lon, lat, heading)
        for row, (lon, lat), heading in zip(
            placing.rows.tolist(), lonlat_deg.tolist(), placing.heading_deg.tolist(), strict=True
        )
    }
    placed = list(photos)
    for k, photo in enumerate(photos):
        if photo.path in of_path:
            lon, lat, heading = of_path[photo.path]
            placed[k] = replace(
                photo,
                lon_deg=lon,
                lat_deg=lat,
                direction_deg=heading,
                direction_reference="T",
                # the flag from which stated sigmas are used
                rtk_flag=RTK_SINGLE,
                rtk_std_m=(sigma, sigma, 2.0 * sigma),
            )
    return placed


def _is_placed(photo: PhotoMetadata) -> bool:
    return photo.lat_deg is not None or photo.xmp_lat_deg is not None


def _lens(photo: PhotoMetadata, camera: InteriorOrientation | None) -> InteriorOrientation | None:
    try:
        return resolve_interior(photo, camera)
    except CalibrationMissing:
        return None


def _candidates(sights: dict[int, GroundFeatures | None]) -> list[tuple[int, int]]:
    """Return successive photos, and for each photo the few most similar others.

    Similar by their strongest features.
    """
    short = {
        row: one.features.descriptor[:_MAX_MATCHED_PHOTOS] for row, one in sights.items() if one is not None
    }
    match_counts: dict[tuple[int, int], int] = {}
    for a, b in combinations(sorted(short), 2):
        count = len(match_all_mutual_best(short[a], short[b], ratio=0.8)[0])
        if count >= _ALIKE or b == a + 1:
            match_counts[a, b] = count
    chosen = {pair for pair in match_counts if pair[1] == pair[0] + 1}
    for row in short:
        own = sorted((pair for pair in match_counts if row in pair), key=lambda pair: -match_counts[pair])
        chosen.update(own[:_NEIGHBOURS])
    return sorted(chosen)


def _link(a: int, b: int, one: GroundFeatures | None, other: GroundFeatures | None) -> _Link | None:
    if (common := match_ground(one, other)) is None:
        return None
    angle, scale, shift, __ = fit_similarity(common[1], common[0])
    return _Link(a, b, angle, scale, shift) if 0.5 < scale < 2.0 else None


def make_rotation_2d(angle: float) -> Floats:
    """Return the 2×2 matrix that turns row vectors anticlockwise."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]])


def fit_similarity(source: Floats, target: Floats) -> tuple[float, float, Floats, float]:
    """Fit target = scale · source @ turn(angle) + shift by least squares.

    Returns (angle, scale, shift, rms).
    """
    ms, mt = source.mean(axis=0), target.mean(axis=0)
    s, t = source - ms, target - mt
    along, across = float((s * t).sum()), float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum())
    angle, scale = (
        float(np.arctan2(across, along)),
        float(np.hypot(along, across) / max(np.square(s).sum(), 1e-12)),
    )
    shift = mt - scale * ms @ make_rotation_2d(angle)
    rms = float(
        np.sqrt(np.square(scale * source @ make_rotation_2d(angle) + shift - target).sum(axis=1).mean())
    )
    return angle, scale, shift, rms


def _joined(links: Sequence[_Link], inside: Index, n: int) -> tuple[Floats, Floats, Floats]:
    """Return angle N, scale N and shift N×2 of a part's photos on its first's map.

    Angles along a tree first, then all links by least squares: angles, logarithms of scales, and with both
    known the shifts; links that contradict the rest lose their weight.
    """
    own = [one for one in links if one.a in set(inside.tolist())]
    if not own:
        return np.zeros(n), np.ones(n), np.zeros((n, 2))
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
    for __ in range(_ROUNDS):
        left = _folded(turned - (angle[b] - angle[a]))
        angle[free] += _solved(design, left, trust)
        log_scale[free] = _solved(design, sized, trust)
        scale: Floats = np.exp(log_scale)
        step = np.stack([scale[i] * d @ make_rotation_2d(angle[i]) for i, d in zip(a, moved, strict=True)])
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
    """Return angles N along a tree of links from one photo."""
    a, b = [one.a for one in links], [one.b for one in links]
    from scipy.sparse import coo_array  # noqa: PLC0415  few flights need it
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


# -- Positions from ground control points and the block's geometry ---------------------------------
#
# Three points or more place the block (`PlanarBlock`) on the ground. This is an approximation: `flycam finish
# --gcp` makes it exact.


_MIN_POINTS = 3
_MAX_MISFIT_SHARE = 0.15
"""Largest misfit of the control points, as a share of their extent."""


def with_gcp_positions(
    photos: Sequence[PhotoMetadata], path: Path, camera: InteriorOrientation | None, grey_of: GreyOf
) -> tuple[list[PhotoMetadata], list[Problem]]:
    """Add positions and headings from ground control points to photos that lack them.

    Raises InputUnusable where fewer than three points lie in connected photos, or where they do not fit them;
    also what `read_ground_control` raises.
    """
    control = read_ground_control(path)
    block = build_planar_block(photos, camera, grey_of)
    if not block.photos:
        return list(photos), []
    marks, crs = _marks(block, control)
    placing, points = _place_by_marks(path, block, marks)
    lonlat = to_lonlat(placing.place_m, crs)
    note = _make_marks_problem(path.name, len(placing.rows), len(block.photos), points, placing.misfit_m)
    return with_places(photos, block, placing, lonlat), [note, *check_crs_accuracy(path, control.crs, lonlat)]


@dataclass(frozen=True, slots=True)
class _Mark:
    """Control point in a photo's own plane (2, flying heights) and on the ground.

    `place_m` is its ground position (2, metres).
    """

    row: int
    point: str
    seen: Floats
    place_m: Floats


def _place_by_marks(path: Path, block: PlanarBlock, marks: Sequence[_Mark]) -> tuple[PlanarPlacing, int]:
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
        ngettext(
            "{name}: {count} of its points is in photos that are tied together, and three are needed to "
            "place photos without positions: mark more points, or give positions with --telemetry",
            "{name}: {count} of its points are in photos that are tied together, and three are needed "
            "to place photos without positions: mark more points, or give positions with --telemetry",
            count,
            name=path.name,
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


def _make_marks_problem(name: str, placed: int, total: int, points: int, misfit: float) -> Problem:
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


# -- Positions from a georeferenced map and the block's geometry -----------------------------------
#
# Features that photos and map share place the block (`PlanarBlock`) on the ground, whatever its turn and
# scale. This is an approximation: `finish --reference` makes it exact.
#
# Sources: Fischler and Bolles, CACM 24(6), 1981 (consensus); a contrario bound: Moisan and Stival, IJCV
# 57(3), 2004 (a consensus counts where chance explains it nowhere among all that were tried).


_MAX_MAP_PX = 5e6
"""Pixels read of a map: as fine as photos of some 400 pixels over the same extent."""
_TILE_PX, _MARGIN_PX = 512, 32
_FEATURES_A_TILE = 1500
_MAX_TRIED_PHOTOS = 24
"""Number of photos of a part that are matched with the map: the others are linked to them."""
_AGREE = 0.1
"""Tolerance of the block's own map, as a share of the flying height."""
_DRAWS = 50_000
_RISK = 1e-6


def is_map_file(path: Path) -> bool:
    """Return True if a file is an image by its name, so a map and not a log."""
    return path.suffix.lower() in RASTER_SUFFIXES


def with_map_positions(
    photos: Sequence[PhotoMetadata], path: Path, camera: InteriorOrientation | None, grey_of: GreyOf
) -> tuple[list[PhotoMetadata], list[Problem]]:
    """Add positions and headings from a map of the ground to photos that lack them.

    Raises InputUnusable where none of them is found on it; also what `ReferenceRaster` raises.
    """
    picture = ReferenceRaster(path)
    block = build_planar_block(photos, camera, grey_of)
    if not block.photos:
        return list(photos), []
    west, south, east, north = picture.bounds_lonlat
    crs = choose_work_crs((west + east) / 2.0, (south + north) / 2.0)
    shown = _map_features(picture, crs)
    placed, lonlats, count, misfit_m, tried = list(photos), [], 0, 0.0, 0
    for part in range(int(block.part.max()) + 1):
        placing, matches = _place_on_map(block, part, shown)
        tried += matches
        if placing is not None:
            lonlats.append(to_lonlat(placing.place_m, crs))
            placed = with_places(placed, block, placing, lonlats[-1])
            count += len(placing.rows)
            misfit_m = max(misfit_m, placing.misfit_m)
    if not lonlats:
        raise _not_found(path, tried)
    problem = _make_map_problem(path.name, count, len(block.photos), misfit_m)
    return placed, [problem, *check_crs_accuracy(path, picture.crs, np.concatenate(lonlats))]


@dataclass(frozen=True, slots=True)
class _MapFeatures:
    """Features of a map: descriptors N×128 and positions N×2 (metres)."""

    descriptor: Bytes
    place_m: Floats


def _map_features(picture: ReferenceRaster, crs: str) -> _MapFeatures:
    """Return features all over a map, which is reduced to the pixels allowed."""
    west, south, east, north = picture.bounds_lonlat
    corners = to_work(np.array(list(product((west, east), (south, north)))), crs)
    low, high = corners.min(axis=0), corners.max(axis=0)
    pixel_m = max(picture.pixel_m(crs), float(np.sqrt(np.prod(high - low) / _MAX_MAP_PX)))
    columns, rows = (max(int(side), 1) for side in (high - low) / pixel_m)
    warped = picture.warp_to_bounds((*low.tolist(), *high.tolist()), (rows, columns), crs)
    grey = cv2.cvtColor(warped.rgb, cv2.COLOR_RGB2GRAY)

    def found(corner: tuple[int, int]) -> tuple[Floats, Bytes]:
        row, column = corner
        top, left = max(row - _MARGIN_PX, 0), max(column - _MARGIN_PX, 0)
        around = (
            slice(top, row + _TILE_PX + _MARGIN_PX),
            slice(left, column + _TILE_PX + _MARGIN_PX),
        )
        features = find_features(np.ascontiguousarray(grey[around]), max_features=_FEATURES_A_TILE)
        uv = features.uv_px + np.array([left, top])
        at = np.rint(uv).astype(np.intp)
        inside = ((uv >= (column, row)) & (uv < (column + _TILE_PX, row + _TILE_PX))).all(axis=1)
        inside &= warped.valid[at[:, 1], at[:, 0]]
        return uv[inside], features.descriptor[inside]

    tiles = product(range(0, rows, _TILE_PX), range(0, columns, _TILE_PX))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="map") as pool:
        uvs, descriptors = zip(*pool.map(found, tiles), strict=True)
    uv = np.concatenate(uvs)
    size = (high - low) / (columns, rows)
    place = np.column_stack([low[0] + (uv[:, 0] + 0.5) * size[0], high[1] - (uv[:, 1] + 0.5) * size[1]])
    return _MapFeatures(np.concatenate(descriptors), place)


def _place_on_map(block: PlanarBlock, part: int, shown: _MapFeatures) -> tuple[PlanarPlacing | None, int]:
    """Place the photos of a part on the map, or None; also return the match count."""
    poses = chain_part(block, part)
    model, ground = _alike(block, poses, shown)
    agreed = _agreeing(model, ground)
    if agreed is None:
        return None, len(model)
    return fit_placing(poses, model[agreed], ground[agreed]), len(model)


def _alike(block: PlanarBlock, poses: PlanarPoses, shown: _MapFeatures) -> tuple[Floats, Floats]:
    """Return positions of matching features on the part's map M×2 and the ground M×2."""
    tried = np.linspace(0, len(poses.rows) - 1, min(len(poses.rows), _MAX_TRIED_PHOTOS)).astype(np.intp)
    model, ground = [np.empty((0, 2))], [np.empty((0, 2))]
    for row in poses.rows[tried].tolist():
        if (sight := block.features[row]) is not None:
            i, j = match_all_mutual_best(sight.features.descriptor, shown.descriptor, ratio=0.8)
            model.append(poses.to_map(row, sight.ground[i]))
            ground.append(shown.place_m[j])
    return np.concatenate(model), np.concatenate(ground)


def _agreeing(model: Floats, ground: Floats) -> Bools | None:
    """Return which matches agree on one similarity; None if chance would suffice.

    Two of them determine a similarity, and all pairs may be tried: the number of those that agree is judged
    by that many trials, each position falling anywhere on the part's map.
    """
    count = len(model)
    if count < 3:
        return None
    centred = ground - ground.mean(axis=0)
    cv2.setRNGSeed(0)
    __, agree = cv2.estimateAffinePartial2D(
        centred, model, method=cv2.RANSAC, ransacReprojThreshold=_AGREE, maxIters=_DRAWS, confidence=0.9999
    )
    if agree is None:
        return None
    from scipy.special import bdtrc  # noqa: PLC0415  few flights need it

    agreed = agree.reshape(-1) != 0
    extent = float(np.prod(np.ptp(model, axis=0)))
    share = min(np.pi * _AGREE**2 / max(extent, 1e-9), 1.0)
    by_chance = float(bdtrc(int(agreed.sum()) - 3, count - 2, share)) * count**2
    return agreed if by_chance < _RISK else None


def _not_found(path: Path, tried: int) -> InputUnusable:
    return InputUnusable(
        _(
            "{name}: does not show the ground of these photos ({tried} places look alike, and they do "
            "not agree on where the photos are): give a map of the same ground, cut to about the area "
            "flown, or positions with --telemetry",
            name=path.name,
            tried=tried,
        )
    )


def _make_map_problem(name: str, placed: int, total: int, misfit: float) -> Problem:
    return Problem(
        code="placed_by_map",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{name}: {placed} of {count} photo without a position are placed by what they and the map both "
            "show, roughly (it fits to {misfit_m:.1f} m): finish with --reference.",
            "{name}: {placed} of {count} photos without a position are placed by what they and the map both "
            "show, roughly (it fits to {misfit_m:.1f} m): finish with --reference.",
            total,
            name=name,
            placed=placed,
            misfit_m=misfit,
        ),
    )
