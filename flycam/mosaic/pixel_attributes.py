"""Attributes of each pixel of a tile: expected error, age, ground sample distance.

The map shows them as classes (`serve.tiles.data_layers`), an export as numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord
from flycam.frame.tile import NO_SOURCE, MosaicTile
from flycam.geometry.expected_error import UNKNOWN_ERROR_M
from flycam.mosaic.finished_tiles import decode_error_m
from flycam.mosaic.live_error import estimate_live_error_m

Singles = NDArray[np.float32]

HOUR_NS = 3_600_000_000_000


def compute_error_m(tile: MosaicTile, frames: Mapping[str, FrameRecord] | None) -> Singles:
    """Compute the expected error of the pixels (1 sigma, horizontal), in metres.

    256×256 float32; NaN where not known.

    frames  records of the frames of a live tile, whose pixels err as their poses do; None: a finished tile,
            which holds its own errors
    """
    if frames is None:
        error = decode_error_m(tile.quality)
        return np.where(error < np.float32(UNKNOWN_ERROR_M), error, np.float32(np.nan))
    error = np.full(tile.source.shape, np.nan, dtype=np.float32)
    for number, name in enumerate(tile.frames, start=1):
        own = estimate_live_error_m(frames[name], tile.tile_id)
        if own is not None:
            np.copyto(error, own, where=tile.source == number)
    return error


def compute_age_h(tile: MosaicTile, frames: Mapping[str, FrameRecord], now_ns: int) -> Singles:
    """Compute hours since the pixels were taken, 256×256 float32; NaN without data."""
    hours = compute_hours_since([frames[name].header.captured_ns for name in tile.frames], now_ns)
    known = np.array([np.nan, *hours], dtype=np.float32)[tile.source]
    known[tile.source == NO_SOURCE] = np.nan
    return known


def compute_hours_since(moments_ns: Sequence[int], now_ns: int) -> Singles:
    """Compute hours from moments until now: N float32."""
    return np.array([(now_ns - moment) / HOUR_NS for moment in moments_ns], dtype=np.float32)


def compute_gsd_m(tile: MosaicTile, frames: Mapping[str, FrameRecord]) -> Singles:
    """Compute the GSD of the photo behind each pixel, 256×256 float32 metres.

    As recorded for the middle of that photo (as a pixel's evidence states it too); NaN where there is no data
    or none is recorded.
    """
    recorded = [frames[name].gsd_m for name in tile.frames]
    of_frame = [np.nan if one is None else one for one in recorded]
    known: Singles = np.array([np.nan, *of_frame], dtype=np.float32)[tile.source]
    known[tile.source == NO_SOURCE] = np.nan
    return known


def compute_pixel_attributes(
    tile: MosaicTile, frame_of: Callable[[str], FrameRecord], *, finished: bool, now_ns: int
) -> Singles:
    """Compute `error_m` and `age_h` of a tile, 256×256×2.

    finished  whether the tile is of a finished revision or of the live one
    """
    frames = {name: frame_of(name) for name in tile.frames}
    return np.stack(
        [compute_error_m(tile, None if finished else frames), compute_age_h(tile, frames, now_ns)], axis=-1
    )
