"""Which frames of an adjusted block are laid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flycam.geometry.terrain import make_flat_terrain
from flycam.mosaic.adjustment.block import Accuracy, AdjustedFrame, Adjustment, FrameState
from flycam.mosaic.finish.adjustment_block import build_block_frames
from flycam.mosaic.finish.placement import place_frames

from .test_parts import records

DOWN = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
NOTHING = (float("nan"),) * 3


def placing(untied: set[int], *, accepted: bool = True, step_m: float = 20.0):
    """A strip of six photos, some of which could not be tied."""
    made = [
        replace(r, exterior=replace(r.exterior, rotation=DOWN)) for r in records(step_m=step_m) if r.exterior
    ]
    block = build_block_frames(made)
    ground = make_flat_terrain(700.0, "EPSG:32648", "EGM96", (498_000.0, 2_398_000.0, 502_000.0, 2_402_000.0))
    states = [FrameState.CARRIED if k in untied else FrameState.TIED for k in range(len(block))]
    adjustment = Adjustment(
        accepted=accepted,
        reason=None,
        frames=[
            AdjustedFrame(
                frame_id=one.frame_id, state=state, exterior=one.exterior, ties=9, rms_px=0.3, cells_pct=9.0
            )
            for one, state in zip(block, states, strict=True)
        ],
        interiors={one.camera: one.interior for one in block},
        accuracy=Accuracy(
            reprojection_px=0.3,
            held_out_px=0.3,
            tracks=9,
            observations=9,
            shift_m=NOTHING,
            shift_sigma_m=NOTHING,
            check_m=NOTHING,
            sigma0=1.0,
            iterations=1,
        ),
        points_m=np.empty((0, 3)),
        point_sigma_m=np.empty((0, 3)),
        residual_px=np.empty((0, 2)),
        used=np.empty(0, dtype=bool),
    )
    return made, place_frames(made, block, adjustment, ground, 20)


def test_an_untied_photo_is_left_out_by_name_where_tied_ones_see_its_ground() -> None:
    made, found = placing({2})
    assert [name for name, _ in found.rejected] == [made[2].header.provenance.source_name]
    assert len(found.frames) == 5 and not any(one.is_untied for one in found.frames)


def test_an_untied_photo_is_laid_and_marked_where_it_alone_sees_the_ground() -> None:
    made, found = placing({5}, step_m=60.0)
    assert not found.rejected and len(found.frames) == 6
    assert [one.frame_id for one in found.frames if one.is_untied] == [made[5].frame_id]
    assert found.frames[5].kept.state == FrameState.CARRIED
