"""Statistics of a finished revision: JSON values for catalogue, API and command."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flycam import __version__
from flycam.adjust.block import Adjustment, BlockFrame, Floats
from flycam.adjust.resection import compute_corrections
from flycam.adjust.ties import TieReport
from flycam.catalog.records import Coverage, RevisionRecord
from flycam.frame.flight import Flight
from flycam.geometry.exterior import ExteriorOrientation
from flycam.messages import Message, _, encode_message
from flycam.mosaic.radiometry import Radiometry
from flycam.mosaic.seamline import SeamPlan
from flycam.pipeline.finish.adjustment_block import RECIPE_VERSION
from flycam.pipeline.finish.placement import PlacedFrame, PlacementResult
from flycam.report.report_figures import RESIDUAL_STEP_PX, RESIDUAL_STEPS, ReportFigures
from flycam.surface.surface import Surface

_MASKED_PCT = 50.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerReport:
    """One layer's finished revision; `new` if this run made it.

    record      None: skipped, for the reason in `why`
    repaired    tiles of an existing revision that were lost or damaged, and were made again
    instead_of  the revision that was published before an existing one was published again; None: the same
    """

    layer: str
    record: RevisionRecord | None
    new: bool = False
    repaired: int = 0
    instead_of: int | None = None
    why: Message | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishReport:
    """Result of finishing a flight, the main layer first.

    notes  what was done besides, as encoded by `flycam.frame.warning`
    """

    flight: Flight
    layers: tuple[LayerReport, ...]
    communes: tuple[Coverage, ...] = field(default=())
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> RevisionRecord | None:
        """The revision the flight is shown by."""
        return self.layers[0].record if self.layers else None


def compile_statistics(
    *,
    ties: TieReport,
    frames: Sequence[BlockFrame],
    adjustment: Adjustment,
    control: Mapping[str, Any],
    surface: Surface | None,
    surface_id: str | None,
    own_pct: float | None,
    placing: PlacementResult,
    rolling_shutter: bool,
    radiometry: Radiometry,
    plan: SeamPlan,
    seconds: Mapping[str, tuple[float, float]],
) -> dict[str, Any]:
    """Compile accuracy, counts and versions of a revision; unknown figures are None.

    None, never NaN.

    frames                 of the block as they were recorded, as `ties` counts them
    why, notes, frames.untied.why, frames.left_out.sentence  messages as `encode_message` encodes them
    frames.untied          why a photo has no tie point
    frames.resected        whose recorded pose its neighbours contradict, and how far off it was (m, degrees)
    frames.carried_names   placed though not tied, for nothing else shows their ground
    sigma_xy_m, sigma_z_m  medians over the frames, relative to the block: of one horizontal coordinate, and
         of the height; shift_sigma_m is what is unknown of the whole block's place
    surface.supported_pct  share of the ground shown that is the flight's own DSM (`compute_dsm_pct`)
    surface.terrain_id     recorded terrain that holds the DSM as it was measured (the revision's own
         `dem_id` is that with roofs drawn straight)
    rolling_shutter        None where every shutter was global; else whether it was requested, how many
         frames had row-wise poses, how many an unknown readout, the longest readout, and by how much the
         outermost rows would be off without it
    residuals              how many residuals (one coordinate) lie in each RESIDUAL_STEP_PX, the last count
         all beyond: of observations used, and held out
    seconds                by stage: wall, processor; of the run that completed the revision
    """
    accuracy = adjustment.accuracy
    sigmas = np.array([frame.exterior.sigma_position_m for frame in adjustment.frames], dtype=np.float64)
    horizontal = np.sqrt(np.square(sigmas[:, :2]).mean(axis=1))
    names = [frame.source_name for frame in frames]
    states = Counter(one.kept.state for one in placing.frames)
    return {
        "accepted": adjustment.accepted,
        "why": encode_message(adjustment.reason) if adjustment.reason else "",
        "notes": [encode_message(one) for one in adjustment.notes],
        "frames": {
            "used": len(placing.frames),
            **{state: states[state] for state in sorted(states)},
            "carried_names": sorted(_name(one) for one in placing.frames if one.kept.state == "carried"),
            "untied": [{"name": names[number], "why": encode_message(why)} for number, why in _untied(ties)],
            "resected": [_resected(frames[number], pose) for number, pose in ties.resected.items()],
            "left_out": [{"name": name, "sentence": encode_message(why)} for name, why in placing.rejected],
        },
        "tie_points": accuracy.tracks,
        "observations": accuracy.observations,
        "pairs": {"tried": ties.pairs_tried, "tied": ties.pairs_tied},
        "residuals": _residuals(adjustment),
        "cells_pct": _number(float(np.median(ties.cells_pct)) if len(ties.cells_pct) else math.nan),
        "reprojection_px": _number(accuracy.reprojection_px),
        "held_out_px": _number(accuracy.held_out_px),
        "sigma0": _number(accuracy.sigma0),
        "iterations": accuracy.iterations,
        "sigma_xy_m": _number(float(np.median(horizontal))),
        "sigma_z_m": _number(float(np.median(sigmas[:, 2]))),
        "shift_m": _numbers(accuracy.shift_m),
        "shift_sigma_m": _numbers(accuracy.shift_sigma_m),
        "check_m": _numbers(accuracy.check_m),
        "control": dict(control),
        "surface": None
        if surface is None
        else {
            "spacing_m": surface.terrain.post_spacing_m[0],
            "supported_pct": None if own_pct is None else _number(own_pct),
            "terrain_id": surface_id,
        },
        "rolling_shutter": _rolling_shutter(placing.frames, requested=rolling_shutter),
        "radiometry": {"scale": _number(radiometry.scale), "compared": radiometry.compared},
        "seams": {"energy_start": plan.energy_start, "energy": plan.energy},
        "seconds": _seconds(seconds),
        "versions": {"flycam": __version__, "recipe": RECIPE_VERSION},
    }


def _rolling_shutter(frames: Sequence[PlacedFrame], *, requested: bool) -> dict[str, Any] | None:
    readouts = [one.header.interior.readout_s for one in frames]
    if all(one == 0.0 for one in readouts):
        return None
    known = [abs(one) for one in readouts if one]
    return {
        "asked": requested,
        "frames": sum(one.exterior.motion is not None for one in frames),
        "unknown": readouts.count(None),
        "readout_ms": round(1000.0 * max(known), 3) if known else None,
        "most_px": round(max(one.rows_px for one in frames), 2),
    }


def _untied(ties: TieReport) -> list[tuple[int, Message]]:
    """Return frames without a tie, and why; a mostly masked image is its own reason."""
    masked = _("mostly water, things that move, or plain ground")
    return [
        (number, masked if ties.masked_pct[number] > _MASKED_PCT else why)
        for number, why in ties.reasons.items()
    ]


def _resected(frame: BlockFrame, found: ExteriorOrientation) -> dict[str, Any]:
    moved_m, turned_rad = compute_corrections(frame.exterior, found)
    turned_deg = math.degrees(turned_rad)
    return {"name": frame.source_name, "moved_m": round(moved_m, 1), "turned_deg": round(turned_deg, 1)}


def _name(frame: PlacedFrame) -> str:
    return frame.header.provenance.source_name


def add_report_statistics(
    stats: Mapping[str, Any], figures: ReportFigures, seconds: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Add what the report's maps found, and the seconds of all stages.

    map_error_m  median and 95th percentile of the expected error over the map (radial, 1 sigma, within the
       block)
    windows      shares of the map: whose windows of 64 pixels are intact; that lies on smooth heights instead
       of measured ones; and of that the share that is intact; None: not known
    """
    error, windows = figures.error, figures.windows
    found = {"median": _number(error.median_m), "p95": _number(error.p95_m)}
    shares = windows and {
        "whole_pct": windows.intact_pct,
        "smooth_pct": windows.smooth_pct,
        "smooth_whole_pct": windows.smooth_intact_pct,
    }
    return {**stats, "map_error_m": found, "windows": shares, "seconds": _seconds(seconds)}


def _seconds(seconds: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {stage: [round(wall, 2), round(cpu, 2)] for stage, (wall, cpu) in seconds.items()}


def _residuals(adjustment: Adjustment) -> dict[str, list[int]]:
    known = np.isfinite(adjustment.residual_px).all(axis=1)
    sizes = {"used": known & adjustment.used, "held_out": known & ~adjustment.used}
    return {name: _counted(adjustment.residual_px[rows]) for name, rows in sizes.items()}


def _counted(residual_px: Floats) -> list[int]:
    steps = np.minimum((np.abs(residual_px).ravel() / RESIDUAL_STEP_PX).astype(np.int64), RESIDUAL_STEPS)
    return [int(count) for count in np.bincount(steps, minlength=RESIDUAL_STEPS + 1)]


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
