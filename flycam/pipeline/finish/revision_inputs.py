"""Results of a run's stages, and those stored beside the tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flycam.adjust.ties import TieReport
from flycam.catalog.records import MosaicInfo
from flycam.frame.terrain_codec import assign_content_id
from flycam.geometry.grid import TileId
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.radiometry import Radiometry
from flycam.mosaic.seamline import SeamPlan
from flycam.mosaic.tile_repair import repair_parents
from flycam.pipeline.finish.controlled_adjustment import ControlledAdjustment
from flycam.pipeline.finish.placement import PlacementResult
from flycam.pipeline.finish.stages import FinishRun
from flycam.pipeline.finish.tile_blending import blend_tiles
from flycam.pipeline.workspace import Workspace
from flycam.surface.surface import Surface


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionInputs:
    """All inputs of a revision's tiles.

    surface  None: not requested, or not available
    terrain  that the frames are orthorectified on: the DSM, else the one they were recorded on
    """

    ties: TieReport
    controlled: ControlledAdjustment
    surface: Surface | None
    terrain: TerrainGrid
    placing: PlacementResult
    radiometry: Radiometry
    seams: SeamPlan


def write_revision_tiles(
    workspace: Workspace,
    run: FinishRun,
    mosaic: MosaicInfo,
    inputs: RevisionInputs,
    damaged: Sequence[TileId] = (),
) -> int:
    """Write tiles that the revision's log lacks, and damaged base tiles again.

    Returns log lines.
    """
    return blend_tiles(
        workspace,
        run,
        mosaic,
        inputs.seams,
        inputs.radiometry,
        inputs.placing.frames,
        inputs.terrain,
        inputs.surface,
        again=damaged,
    )


def repair_overview_tiles(workspace: Workspace, mosaic: MosaicInfo, damaged: Sequence[TileId]) -> None:
    """Rebuild the overview tiles among these, once the base tiles below are intact."""
    repair_parents(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        damaged,
        origin=workspace.box,
        now_ns=workspace.clock_ns(),
    )


def build_support_grid(surface: Surface) -> TerrainGrid:
    """Return the sigmas of a DSM as a grid; NaN where it is not the flight's own."""
    sigma = np.where(surface.support, surface.sigma_m, np.float32(np.nan))
    return assign_content_id(replace(surface.terrain, heights_m=sigma, dem_id="support"))
