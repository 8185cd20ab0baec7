"""The peer: pycolmap, in its own virtual environment, over the ties that flycam found. Never imported.

FLYCAM_BENCH_PYCOLMAP names a Python that has it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.peers import installed
from bench.processes import run_process
from bench.tie_blocks import TieBlock

_VARIABLE = "FLYCAM_BENCH_PYCOLMAP"
VERSION = "4.2.1"
_SCRIPT = Path(__file__).with_name("colmap_adjust.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class ColmapRun:
    """centres_m n×3, heights as recorded; error_px mean reprojection; points kept; cpu_s of all variants."""

    centres_m: np.ndarray
    error_px: float
    points: int
    cpu_s: float


def python() -> Path:
    """Python of the environment; installed on first use."""
    told = os.environ.get(_VARIABLE)
    return Path(told) if told else installed("pycolmap", f"pycolmap=={VERSION}", "python", _VARIABLE)


def adjusted(block: TieBlock, folder: Path) -> dict[str, ColmapRun]:
    """Pose-prior bundle adjustment of the same ties, position priors and camera, by variant: the lens free or
    held, heights trusted as recorded or as much as places in plan.

    COLMAP knows no prior on a lens and none on attitudes: the recorded ones are where it starts.
    """
    frames = block.frames
    lens = frames[0].interior
    k1, k2, p1, p2, k3 = (*lens.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    scale = np.array([1.0, 1.0, frames[0].exterior.grid_scale])
    origin = block.centres_m.mean(axis=0)
    told, came = folder / "colmap-block.npz", folder / "colmap-result.npz"
    order = np.argsort(block.ties.track, kind="stable")
    np.savez(
        told,
        size_px=np.array(lens.image_size_px),
        lens=np.array([*lens.focal_length_px, *lens.principal_point_px, k1, k2, p1, p2, k3]),
        centre=(block.centres_m - origin) * scale,
        rotation=np.array([f.exterior.rotation for f in frames]),
        sigma_m=np.array(frames[0].exterior.sigma_position_m),
        frame=block.ties.frame[order].astype(np.int64),
        track=block.ties.track[order].astype(np.int64),
        uv=block.ties.uv_px[order],
    )
    run = run_process([python(), _SCRIPT, told, came])
    with np.load(came) as found:
        return {
            name: ColmapRun(
                centres_m=found[f"{name}/centre"] / scale + origin,
                error_px=float(found[f"{name}/error_px"]),
                points=int(found[f"{name}/points"]),
                cpu_s=run.cpu_s,
            )
            for name in dict.fromkeys(key.split("/")[0] for key in found)
        }
