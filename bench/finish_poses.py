"""Where cameras come to stand, ours and COLMAP's, by the same ties, recorded positions and lens."""

from __future__ import annotations

import numpy as np

from bench import pycolmap_peer
from bench.finish_flights import FLIGHTS, FinishFlight, finished, prepared
from bench.table import Row
from bench.tie_blocks import tied
from flycam.mosaic.adjustment.block import Block, TerrainPrior
from flycam.mosaic.adjustment.bundle_adjustment import adjust_block


def poses() -> list[Row]:
    """Projection centres after one shift: ours and COLMAP's from the same ties and the same priors."""
    return [_poses_of(prepared(flight)) for flight in FLIGHTS[::2]]


def _poses_of(flight: FinishFlight) -> Row:
    data = finished(flight.name, flight.photos, flight.dem).data
    block = tied(data)
    true = np.array([flight.truth.exteriors[f.source_name].projection_centre_m for f in block.frames])
    adjustment = adjust_block(
        Block(frames=block.frames, ties=block.ties, terrain=TerrainPrior(terrain=block.terrain))
    )
    ours = np.array([f.exterior.projection_centre_m for f in adjustment.frames])
    peers = pycolmap_peer.adjusted(block, data)
    errors = {name: _off(run.centres_m, true) for name, run in peers.items()}
    best = min(errors, key=lambda name: errors[name][0])
    notes = (
        f"{len(block.frames)} photos, {block.ties.tracks:,} tracks, {len(block.ties.frame):,} observations; "
        f"rms in space after one shift, and after a similarity: ours {_words(_off(ours, true))}, as recorded "
        f"{_words(_off(block.centres_m, true))}",
        *(
            f"pycolmap {pycolmap_peer.VERSION}, position priors, camera {name}: {_words(errors[name])}, "
            f"{run.points:,} points, {run.error_px:.2f} px"
            for name, run in peers.items()
        ),
        "ours has the terrain model, priors of attitudes and of the lens too; COLMAP takes positions only",
    )
    return Row(
        what=f"projection centres of {flight.name} on the same ties, pycolmap over ours, rms",
        measured=f"{_off(ours, true)[0]:.3f} m",
        peer=f"{errors[best][0]:.3f} m, camera {best}",
        ratio=errors[best][0] / _off(ours, true)[0],
        required=1.0,
        sense="at least",
        notes=notes,
    )


def _off(centres_m: np.ndarray, true_m: np.ndarray) -> tuple[float, float]:
    """Root mean square distances of projection centres n×3: after one shift, and after one similarity."""
    here, there = centres_m - centres_m.mean(axis=0), true_m - true_m.mean(axis=0)
    u, size, vt = np.linalg.svd(here.T @ there)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turned = (here @ (u * mirror) @ vt) * ((size * mirror).sum() / np.square(here).sum())
    shift, similar = (float(np.sqrt(np.square(x - there).sum(axis=1).mean())) for x in (here, turned))
    return shift, similar


def _words(off: tuple[float, float]) -> str:
    return f"{off[0]:.3f} / {off[1]:.3f} m"
