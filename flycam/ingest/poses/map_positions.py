"""Positions of photos that have none, from a georeferenced map and the block's own geometry.

Features that photos and map share place the block (`planar_block`) on the ground, whatever its turn and
scale. This is an approximation: `finish --reference` makes it exact.

Sources: Fischler and Bolles, CACM 24(6), 1981 (consensus); a contrario bound: Moisan and Stival, IJCV 57(3),
2004 (a consensus counts where chance explains it nowhere among all that were tried).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from flycam.errors import InputUnusable
from flycam.geodata.crs import choose_work_crs, to_lonlat, to_work
from flycam.geodata.reference_raster import RASTER_SUFFIXES, ReferenceRaster
from flycam.geometry.features import Bytes, find_features
from flycam.geometry.matching import match_all_mutual_best
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.poses.crs_accuracy import check_crs_accuracy
from flycam.ingest.poses.planar_block import (
    THREADS,
    InteriorFor,
    PlanarBlock,
    PlanarPlacing,
    PlanarPoses,
    build_planar_block,
    chain_part,
    fit_placing,
    with_places,
)
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.flight_table import Bools, Floats
from flycam.ingest.preflight.flying_height import GreyOf
from flycam.messages import _, ngettext

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
    photos: Sequence[PhotoMetadata], path: Path, interior_for: InteriorFor, grey_of: GreyOf
) -> tuple[list[PhotoMetadata], list[Problem]]:
    """Add positions and headings from a map of the ground to photos that lack them.

    Raises InputUnusable where none of them is found on it; also what `ReferenceRaster` raises.
    """
    picture = ReferenceRaster(path)
    block = build_planar_block(photos, interior_for, grey_of)
    if not block.photos:
        return list(photos), []
    west, south, east, north = picture.bounds_lonlat
    crs = choose_work_crs((west + east) / 2.0, (south + north) / 2.0)
    shown = _map_features(picture, crs)
    placed, lonlats, count, misfit_m, tried = list(photos), [], 0, 0.0, 0
    for part in range(int(block.part.max()) + 1):
        placing, matches = _placing(block, part, shown)
        tried += matches
        if placing is not None:
            lonlats.append(to_lonlat(placing.place_m, crs))
            placed = with_places(placed, block, placing, lonlats[-1])
            count += len(placing.rows)
            misfit_m = max(misfit_m, placing.misfit_m)
    if not lonlats:
        raise _not_found(path, tried)
    said = _placement_problem(path.name, count, len(block.photos), misfit_m)
    return placed, [said, *check_crs_accuracy(path, picture.crs, np.concatenate(lonlats))]


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
    laid = picture.warp_to_bounds((*low.tolist(), *high.tolist()), (rows, columns), crs)
    grey = cv2.cvtColor(laid.rgb, cv2.COLOR_RGB2GRAY)

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
        inside &= laid.valid[at[:, 1], at[:, 0]]
        return uv[inside], features.descriptor[inside]

    tiles = product(range(0, rows, _TILE_PX), range(0, columns, _TILE_PX))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="map") as pool:
        uvs, descriptors = zip(*pool.map(found, tiles), strict=True)
    uv = np.concatenate(uvs)
    size = (high - low) / (columns, rows)
    place = np.column_stack([low[0] + (uv[:, 0] + 0.5) * size[0], high[1] - (uv[:, 1] + 0.5) * size[1]])
    return _MapFeatures(np.concatenate(descriptors), place)


def _placing(block: PlanarBlock, part: int, shown: _MapFeatures) -> tuple[PlanarPlacing | None, int]:
    """Place the photos of a part on the map, or None; also return the match count."""
    poses = chain_part(block, part)
    model, ground = _alike(block, poses, shown)
    agreed = _agreeing(model, ground)
    if agreed is None:
        return None, len(model)
    return fit_placing(poses, model[agreed], ground[agreed]), len(model)


def _alike(block: PlanarBlock, poses: PlanarPoses, shown: _MapFeatures) -> tuple[Floats, Floats]:
    """Return positions of matching features on the part's map M×2 and the ground M×2."""
    asked = np.linspace(0, len(poses.rows) - 1, min(len(poses.rows), _MAX_TRIED_PHOTOS)).astype(np.intp)
    model, ground = [np.empty((0, 2))], [np.empty((0, 2))]
    for row in poses.rows[asked].tolist():
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
            "{name}: does not show the ground of these photos ({tried} places look alike, and they do not "
            "agree on where the photos lie): give a map of the same ground, cut to about the area flown, or "
            "positions with --telemetry",
            name=path.name,
            tried=tried,
        )
    )


def _placement_problem(name: str, placed: int, total: int, misfit: float) -> Problem:
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
