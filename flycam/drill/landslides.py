"""Separate landslides of many sizes on all steep slopes, to evaluate detectors.

The plain storm (`storm.with_scars`) fails a slope nearly everywhere; its scars overlap and tell little
about how well single slides are found.
"""

from __future__ import annotations

import numpy as np

from flycam.drill.spatial_noise import Floats, hash_unit
from flycam.drill.storm import trace_flow_path, widen_path
from flycam.drill.valley import ValleyFields

_SQUARE_M = 85.0
_STEEP = 0.5
_MIN_LENGTH_M, _MAX_LENGTH_M = 14.0, 260.0
_MIN_STEPS = 5
# `scar` of nodes without a slide near
_FAR_M = -20.0


def with_drawn_slides(
    fields: ValleyFields, seed: int, grown_m: float = 0.0, slim: float = 1.0, failing: float = 0.36
) -> ValleyFields:
    """Add `scar` and `moved`, as `storm.with_scars` does, for slides drawn by `seed`.

    grown_m  by which each reaches farther on every side
    slim     factor of their width
    failing  share of steep places that fail
    """
    calm = with_intact_slopes(fields)
    scar, moved = calm.values["scar"], calm.values["moved"]
    easts, norths = fields.node_coordinates
    for east, north, length, slimness in zip(*_heads(fields, seed, failing), strict=True):
        path = trace_flow_path(fields, float(east), float(north), float(length))
        if len(path) < _MIN_STEPS:
            continue
        share = np.linspace(0.0, 1.0, len(path))
        # half a width: 4 to 5 m for the shortest, about 16 m for the longest
        half = (2.3 + 0.82 * np.sqrt(length)) * slimness * slim
        head, foot = np.minimum(share * 4.0, 1.0), np.clip(share * 4.0 - 3.0, 0.0, 1.0)
        width = half * (0.45 + 0.55 * head + 0.4 * foot)
        widen_path(scar, moved, easts, norths, path, width, share)
    return calm.with_values(scar=scar + np.float32(grown_m)) if grown_m else calm


def with_intact_slopes(fields: ValleyFields) -> ValleyFields:
    """Add `scar` and `moved` of slopes that did not fail."""
    height = fields.values["height"]
    return fields.with_values(scar=np.full_like(height, _FAR_M), moved=np.zeros_like(height))


def _heads(fields: ValleyFields, seed: int, failing: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (east, north, maximum length in metres, width factor) of slides' heads."""
    easts, norths = fields.node_coordinates
    i, j = (
        x.ravel()
        for x in np.meshgrid(
            np.arange(int(easts[0] // _SQUARE_M) + 1, int(easts[-1] // _SQUARE_M)),
            np.arange(int(norths[0] // _SQUARE_M) + 1, int(norths[-1] // _SQUARE_M)),
        )
    )
    east = (i + 0.15 + 0.7 * hash_unit(i, j, seed, "head east")) * _SQUARE_M
    north = (j + 0.15 + 0.7 * hash_unit(i, j, seed, "head north")) * _SQUARE_M
    fails = (fields.sample("slope", east, north) > _STEEP) & (hash_unit(i, j, seed, "gives way") < failing)
    i, j, east, north = i[fails], j[fails], east[fails], north[fails]
    length = _MIN_LENGTH_M * (_MAX_LENGTH_M / _MIN_LENGTH_M) ** hash_unit(i, j, seed, "runs")
    return east, north, length, 0.75 + 0.5 * hash_unit(i, j, seed, "slim")
