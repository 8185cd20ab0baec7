"""The peer: orthority's `oty frame`, in its own virtual environment, as its own process. Never imported.

FLYCAM_BENCH_ORTHORITY names an `oty` that is installed already.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bench.flights import BenchFlight, exact_poses
from bench.peers import installed
from flycam.drill.photo_drill import DrillTruth

_VARIABLE = "FLYCAM_BENCH_ORTHORITY"


def program() -> Path:
    """Path of `oty`; installed on first use."""
    told = os.environ.get(_VARIABLE)
    return Path(told) if told else installed("orthority", "orthority", "oty", _VARIABLE)


def version_of(oty: Path) -> str:
    """What it calls itself."""
    done = subprocess.run([str(oty), "--version"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write_parameters(folder: Path, flight: BenchFlight, truth: DrillTruth) -> tuple[Path, Path]:
    """Camera (OpenDroneMap's cameras.json) and exact exterior orientations (CSV, x y z omega phi kappa)."""
    camera = truth.camera
    width, height = camera.image_size_px
    longest = max(width, height)
    k1, k2, p1, p2, k3 = camera.distortion
    interior = folder / "cameras.json"
    interior.write_text(
        json.dumps(
            {
                "drill": {
                    "projection_type": "brown",
                    "width": width,
                    "height": height,
                    "focal_x": camera.focal_length_px[0] / longest,
                    "focal_y": camera.focal_length_px[1] / longest,
                    "c_x": (camera.principal_point_px[0] - (width - 1) / 2) / longest,
                    "c_y": (camera.principal_point_px[1] - (height - 1) / 2) / longest,
                    "k1": k1,
                    "k2": k2,
                    "p1": p1,
                    "p2": p2,
                    "k3": k3,
                }
            }
        )
    )
    exterior = folder / "exterior.csv"
    exact_poses(flight.folder, exterior)
    return interior, exterior


def command(
    oty: Path, photos: Path, dem: Path, parameters: tuple[Path, Path], out: Path, crs: str, gsd_m: float
) -> list[str]:
    """`oty frame` over a folder of photos: bilinear, the given pixel size, everything else as it comes."""
    return [
        str(oty),
        "frame",
        *("--dem", str(dem)),
        *("--int-param", str(parameters[0])),
        *("--ext-param", str(parameters[1])),
        *("--crs", crs),
        *("--res", f"{gsd_m:.6f}"),
        *("--interp", "bilinear"),
        *("--dem-interp", "bilinear"),
        *("--out-dir", str(out)),
        "--overwrite",
        *(str(path) for path in sorted(photos.iterdir())),
    ]
