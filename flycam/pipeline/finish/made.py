"""What the stages of a run made, and what of it is kept for good beside the tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.ties import TieReport
from flycam.catalog.records import MosaicInfo
from flycam.frame.terraincodec import with_content_id
from flycam.geometry.grid import TileId
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.mending import mend_parents
from flycam.mosaic.radiometry import Radiometry
from flycam.mosaic.seamline import SeamPlan
from flycam.pipeline.finish.controlled import Controlled
from flycam.pipeline.finish.placing import Placing
from flycam.pipeline.finish.stages import Run
from flycam.pipeline.finish.tiles import write_tiles
from flycam.pipeline.workspace import Workspace
from flycam.surface.surface import Surface


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """All that the tiles of a revision are made of.

    surface  None: not asked for, or not to be had
    terrain  that the frames are rectified on: the surface's, else the one they were recorded on
    """

    ties: TieReport
    controlled: Controlled
    surface: Surface | None
    terrain: TerrainGrid
    placing: Placing
    radiometry: Radiometry
    seams: SeamPlan


def tiles_made(
    workspace: Workspace, run: Run, mosaic: MosaicInfo, made: Made, damaged: Sequence[TileId] = ()
) -> int:
    """Write the tiles of a revision that its log does not name, and those base tiles again whose objects are
    damaged; log lines."""
    return write_tiles(
        workspace,
        run,
        mosaic,
        made.seams,
        made.radiometry,
        made.placing.frames,
        made.terrain,
        made.surface,
        again=damaged,
    )


def parents_mended(workspace: Workspace, mosaic: MosaicInfo, damaged: Sequence[TileId]) -> None:
    """Make the parents among these tiles again, once the base tiles below them are whole."""
    mend_parents(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        damaged,
        origin=workspace.box,
        now_ns=workspace.clock_ns(),
    )


def support_of(surface: Surface) -> TerrainGrid:
    """Where a surface is the flight's own, as a grid of its sigmas; NaN elsewhere."""
    sigma = np.where(surface.support, surface.sigma_m, np.float32(np.nan))
    return with_content_id(replace(surface.terrain, heights_m=sigma, dem_id="support"))
