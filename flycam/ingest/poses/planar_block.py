"""Photos without a position, chained into one planar map of the ground up to a similarity.

Looking down, every photo is a map of the ground up to a similarity: scale is its height, turn its heading,
shift its position. Pairs that share ground chain all photos into one such map; ground control points or a map
place it on the ground. This is an approximation, good to a few per cent of the block: an adjustment makes it
exact.

Sources: Umeyama, PAMI 13(4), 1991 (similarity between points); Kraus, Photogrammetry, 2007, 5.1 (block of
independent models, in the plane).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from flycam.errors import CalibrationMissing
from flycam.geometry.connected_components import label_components
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.matching import match_all_mutual_best
from flycam.geometry.rotation import rotation_from_gimbal
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.preflight.altitude import RTK_SINGLE
from flycam.ingest.preflight.flight_table import Floats, Index
from flycam.ingest.preflight.flying_height import (
    GreyOf,
    GroundFeatures,
    ImageMatcher,
    PoseEstimates,
    match_ground,
)

InteriorFor = Callable[[PhotoMetadata], InteriorOrientation]

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
    photos: Sequence[PhotoMetadata], interior_for: InteriorFor, grey_of: GreyOf
) -> PlanarBlock:
    """Link the photos with an interior and without a position that share ground."""
    lenses = [_lens(photo, interior_for) for photo in photos]
    chosen = [
        (photo, lens) for photo, lens in zip(photos, lenses, strict=True) if lens and not _is_placed(photo)
    ]
    n = len(chosen)
    poses = PoseEstimates(
        paths=[photo.path for photo, _ in chosen],
        interiors=[lens for _, lens in chosen],
        xy_m=np.zeros((n, 2)),
        rotations=np.repeat(rotation_from_gimbal(0.0, -np.pi / 2.0, 0.0)[None], n, axis=0),
        position_sigma_m=np.zeros((n, 2)),
        attitude_sigma_deg=np.full((n, 2), 180.0),
    )
    with ThreadPoolExecutor(THREADS, thread_name_prefix="block") as pool:
        sights = ImageMatcher(poses, grey_of, pool).detect_features(range(n))
    links = [link for a, b in _candidates(sights) if (link := _link(a, b, sights[a], sights[b])) is not None]
    return PlanarBlock(
        photos=[photo for photo, _ in chosen],
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


def _lens(photo: PhotoMetadata, interior_for: InteriorFor) -> InteriorOrientation | None:
    try:
        return interior_for(photo)
    except CalibrationMissing:
        return None


def _candidates(sights: dict[int, GroundFeatures | None]) -> list[tuple[int, int]]:
    """Return successive photos, and for each photo the few most similar others.

    Similar by their strongest features.
    """
    short = {
        row: one.features.descriptor[:_MAX_MATCHED_PHOTOS] for row, one in sights.items() if one is not None
    }
    alike: dict[tuple[int, int], int] = {}
    for a, b in combinations(sorted(short), 2):
        count = len(match_all_mutual_best(short[a], short[b], ratio=0.8)[0])
        if count >= _ALIKE or b == a + 1:
            alike[a, b] = count
    chosen = {pair for pair in alike if pair[1] == pair[0] + 1}
    for row in short:
        own = sorted((pair for pair in alike if row in pair), key=lambda pair: -alike[pair])
        chosen.update(own[:_NEIGHBOURS])
    return sorted(chosen)


def _link(a: int, b: int, one: GroundFeatures | None, other: GroundFeatures | None) -> _Link | None:
    if (common := match_ground(one, other)) is None:
        return None
    angle, scale, shift, _ = fit_similarity(common[1], common[0])
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
    for _ in range(_ROUNDS):
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
