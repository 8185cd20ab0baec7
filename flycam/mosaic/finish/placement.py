"""Placement of adjusted frames, and their reduced orthopatches.

A placed frame has its adjusted pose, camera and tiles, and is ready to be orthorectified. Overviews are
orthorectified the same way, from a reduced image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.errors import FrameRejected
from flycam.geometry.camera import estimate_motion_px
from flycam.geometry.grid import TileRange, get_parent_range
from flycam.geometry.pose import ExteriorOrientation
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _
from flycam.model.frame import FrameHeader
from flycam.model.records import FrameRecord, RevisionFrame
from flycam.mosaic.adjustment.block import Adjustment, BlockFrame, FrameState
from flycam.mosaic.finish.frame_overview import FrameOverview, make_frame_overview, make_place_image
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    find_frame_tiles,
    orthorectify_frame,
    project_frame,
)

Floats = NDArray[np.float64]

PRIOR_STATE = "prior"
"""State of a frame whose pose is the recorded one, because nothing better was found."""

_ALONE_SHARE = 0.1
"""An untied photo is placed if this share of its ground is seen by no tied one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedFrame:
    """One frame ready to be orthorectified.

    header      with the adjusted interior and exterior orientation
    camera      key of the interior orientation it shares with others
    tiles       base-zoom tiles its orthopatch may touch
    covariance  6×6 of its pose relative to the block, None: only its sigmas are known
    rows_px     by how much its first or last row would be off with a single pose; 0: it has one
    kept        its record in the catalogue
    """

    header: FrameHeader
    camera: str
    tiles: TileRange
    covariance: Floats | None
    rows_px: float
    kept: RevisionFrame

    @property
    def frame_id(self) -> str:
        return self.header.frame_id

    @property
    def exterior(self) -> ExteriorOrientation:
        return self.header.exterior_prior

    @property
    def is_untied(self) -> bool:
        """True if no tie supports its pose, as ties do that of others."""
        return self.kept.state == FrameState.CARRIED


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementResult:
    """All frames to be orthorectified, and those left out.

    rejected: (name, why) of those that see no known ground, or that are untied while tied ones see theirs.
    """

    frames: tuple[PlacedFrame, ...]
    rejected: tuple[tuple[str, Message], ...]


def _rows_px(frame: FrameFootprint) -> float:
    header = frame.header
    range_m = frame.footprint.gsd_m * 0.5 * sum(header.interior.focal_length_px)
    return estimate_motion_px(header.interior, header.exterior_prior, range_m)


def place_frames(
    records: Sequence[FrameRecord],
    block: Sequence[BlockFrame],
    adjustment: Adjustment,
    terrain: TerrainGrid,
    base_zoom: int,
) -> PlacementResult:
    """Place every frame with its adjusted pose and camera.

    A frame that sees no known ground is left out, and so is an untied one where tied ones see its ground:
    nothing confirms that it shows that place.
    """
    placed: list[PlacedFrame] = []
    outlines: list[shapely.Polygon] = []
    left_out: list[tuple[str, Message]] = []
    covariances = adjustment.frame_covariance
    for number, (record, before, after) in enumerate(zip(records, block, adjustment.frames, strict=True)):
        interior = adjustment.interiors[before.camera]
        header = replace(record.header, interior=interior, exterior_prior=after.exterior)
        try:
            seen = project_frame(header, terrain)
        except FrameRejected as error:
            left_out.append((record.header.provenance.source_name, error.message))
            continue
        outlines.append(seen.outline_lonlat)
        placed.append(
            PlacedFrame(
                header=header,
                camera=before.camera,
                tiles=find_frame_tiles(seen, base_zoom),
                covariance=None if covariances is None else covariances[number],
                rows_px=_rows_px(seen),
                kept=RevisionFrame(
                    frame_id=record.frame_id,
                    exterior=after.exterior,
                    interior=interior,
                    state=after.state.value if adjustment.accepted else PRIOR_STATE,
                    ties=after.ties,
                    rms_px=after.rms_px,
                    cells_pct=after.cells_pct,
                ),
            )
        )
    known = shapely.union_all(
        [outline for one, outline in zip(placed, outlines, strict=True) if not one.is_untied]
    )
    needed = [
        not one.is_untied or outline.difference(known).area > _ALONE_SHARE * outline.area
        for one, outline in zip(placed, outlines, strict=True)
    ]
    left_out += [
        (one.header.provenance.source_name, _SHOWN_BY_OTHERS)
        for one, is_needed in zip(placed, needed, strict=True)
        if not is_needed
    ]
    frames = tuple(one for one, is_needed in zip(placed, needed, strict=True) if is_needed)
    return PlacementResult(frames=frames, rejected=tuple(left_out))


_SHOWN_BY_OTHERS = _(
    "could not be tied to the photos around it, which show the same ground: where it was really taken is not "
    "known"
)


# -- Overviews: reduced orthopatches for radiometric balance and seamlines -------------------------


OVERVIEW_SIDE_PX = 400
"""Approximate longer side of the reduced image."""


def choose_overview_shrink(image_size_px: tuple[int, int]) -> int:
    """Return how many zooms above the base the overviews lie.

    2 for 1.3 megapixels, 3 for 12, 4 for 20.
    """
    return int(np.clip(round(np.log2(max(image_size_px) / OVERVIEW_SIDE_PX)), 1, 5))


def make_overview(
    header: FrameHeader,
    exterior: ExteriorOrientation,
    pixels: NDArray[np.uint8],
    terrain: TerrainGrid,
    base_tiles: TileRange,
    shrink: int,
    camera: str,
) -> FrameOverview:
    """Make the overview `shrink` zooms above `base_tiles`, the frame's base tiles.

    pixels H×W×3 uint8 RGB, full size or reduced already. Raises what `orthorectify_frame` raises.
    """
    width, height = header.interior.image_size_px
    size = (max(-(-width >> shrink), 1), max(-(-height >> shrink), 1))
    if (pixels.shape[1], pixels.shape[0]) != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    tiles = base_tiles
    for __ in range(shrink):
        tiles = get_parent_range(tiles)
    patch = orthorectify_frame(header, exterior, pixels, terrain, tiles)
    place = orthorectify_frame(header, exterior, make_place_image(size), terrain, tiles)
    return make_frame_overview(patch, place.rgb[..., :2], camera)
