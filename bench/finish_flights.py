"""The flights that `finish` is measured on, and their finished revisions: made once, kept under `.bench/`.

Three seeds with relief of 60, 180 and 400 m and the errors of a consumer drone. Photos are rendered once;
terrain models, each 3 m off in a direction of its own and wrong together over 200 m, are written beside them,
for no pixel depends on them. A finished flight is made anew when a line of flycam changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rasterio.crs import CRS

from bench.flights import ROOT, exact_poses
from bench.kept import code_of
from bench.processes import FLYCAM, run_process
from flycam.catalog.catalog import open_catalog
from flycam.drill.land import VERTICAL_DATUM, WORK_CRS, Valley
from flycam.drill.photo_drill import DrillTruth, make_drill, read_truth, write_drill
from flycam.drill.scene_objects import draw_typical_error, make_terrain_model
from flycam.geodata.raster import write_geotiff
from flycam.storage.stores import LocalStore
from flycam.workspace import Workspace

HOME = ROOT / "finish"
GSD_M, REFERENCE_GSD_M = 0.15, 0.3
STRIPS, PER_STRIP = 5, 19
DEM_SHIFT_M, _DEM_MARGIN_M = 3.0, 250.0
NAME = "flight"


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishFlight:
    """A drill on disk with one of its terrain models."""

    seed: int
    relief_m: float
    dem_post_m: float

    @property
    def name(self) -> str:
        return f"s{self.seed}r{self.relief_m:.0f}-dem{self.dem_post_m:.0f}"

    @property
    def folder(self) -> Path:
        return HOME / f"s{self.seed}r{self.relief_m:.0f}-{STRIPS}x{PER_STRIP}"

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    @property
    def dem(self) -> Path:
        return HOME / f"{self.folder.name}-dem{self.dem_post_m:.0f}.tif"

    @property
    def truth(self) -> DrillTruth:
        return read_truth(self.folder)


FLIGHTS = tuple(
    FinishFlight(seed=seed, relief_m=relief, dem_post_m=post)
    for seed, relief, post in (
        (1, 180.0, 10.0),
        (1, 180.0, 30.0),
        (2, 60.0, 10.0),
        (2, 60.0, 30.0),
        (3, 400.0, 30.0),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What `flycam finish` made of some photos.

    data    its data folder; answer: the command's JSON; final, live: the exported GeoTIFFs
    wall_s, cpu_s, peak_bytes  of the command, start-up and all
    made    when it ran, and the load average before
    """

    data: Path
    answer: dict[str, Any]
    wall_s: float
    cpu_s: float
    peak_bytes: int
    made: str

    @property
    def final(self) -> Path:
        return self.data / "final.tif"

    @property
    def live(self) -> Path:
        return self.data / "live.tif"


def prepared(flight: FinishFlight) -> FinishFlight:
    """The flight with photos, truth and terrain on disk."""
    if not (flight.folder / "truth" / "truth.json").is_file():
        print(f"rendering {STRIPS * PER_STRIP} photos into {flight.folder} …", flush=True)
        write_drill(
            flight.folder,
            seed=flight.seed,
            relief_m=flight.relief_m,
            gsd_m=GSD_M,
            photos=(STRIPS, PER_STRIP),
        )
    if not flight.dem.is_file():
        west, south, east, north = flight.truth.facts["world_bounds_m"]
        margin = _DEM_MARGIN_M
        posts, heights = make_terrain_model(
            Valley(seed=flight.seed, relief_m=flight.relief_m),
            (west - margin, south - margin, east + margin, north + margin),
            flight.dem_post_m,
            draw_typical_error(flight.seed, DEM_SHIFT_M),
        )
        tags = {"VERTICAL_DATUM": VERTICAL_DATUM}
        write_geotiff(flight.dem, heights, posts.transform, WORK_CRS, nodata=-9999.0, tags=tags)
    return flight


def finished(name: str, photos: Path, dem: Path | None, *options: str, fresh: bool = False) -> Finished:
    """Ingest and finish in a fresh data folder, or what is there already of the same code and options.

    fresh  run it even so: times are of this run, on the machine as it is now
    """
    asked = f"{name}-{hashlib.sha256(' '.join(options).encode()).hexdigest()[:6]}"
    data = HOME / "data" / f"{asked}-{_code()}"
    told = data / "bench.json"
    if told.is_file() and not fresh:
        return Finished(data=data, **json.loads(told.read_text()))
    for older in data.parent.glob(f"{asked}-*"):
        shutil.rmtree(older)
    data.mkdir(parents=True)
    load = os.getloadavg()[0]
    print(f"finishing {name} {' '.join(options)} …", flush=True)
    ingested(photos, dem, data)
    done = run_process([*FLYCAM, "finish", NAME, *options, "--data", data, "--json"], watch_memory=True)
    one = Finished(
        data=data,
        answer=json.loads(done.stdout.splitlines()[-1]),
        wall_s=done.wall_s,
        cpu_s=done.cpu_s,
        peak_bytes=done.peak_bytes,
        made=f"{datetime.now().astimezone():%Y-%m-%d %H:%M}, load {load:.1f}",
    )
    export(data, one.final, "final")
    export(data, one.live, "live")
    told.write_text(json.dumps({k: v for k, v in asdict(one).items() if k != "data"}))
    return one


def ingested(photos: Path, dem: Path | None, data: Path, *options: str | Path) -> None:
    """Ingest into a data folder under the name that all of these flights have."""
    terrain = () if dem is None else ("--dem", dem)
    run_process([*FLYCAM, "ingest", photos, *terrain, "--name", NAME, *options, "--data", data])


def export(data: Path, out: Path, revision: str) -> Path:
    """The mosaic of a data folder as a GeoTIFF."""
    run_process([*FLYCAM, "export", NAME, out, "--revision", revision, "--data", data])
    return out


def with_exact_poses(flight: FinishFlight) -> Path:
    """The live mosaic that the true poses give on this flight's terrain model, as a GeoTIFF: no adjustment on
    this terrain can do better, only a surface of the flight's own can.
    """
    data = HOME / "data" / f"{flight.name}-exact-{_code()}"
    out = data / "live.tif"
    if not out.is_file():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        ingested(flight.photos, flight.dem, data, "--telemetry", _true_poses(flight, data))
        export(data, out, "live")
    return out


def _true_poses(flight: FinishFlight, folder: Path) -> Path:
    """The truth's poses as a table that ingest takes: no columns but those of the dialect."""
    out = folder / "poses.csv"
    exact_poses(flight.folder, out)
    out.with_suffix(".prj").write_text(CRS.from_user_input(WORK_CRS).to_wkt())
    return out


def reference_of(flight: FinishFlight) -> Path:
    """A map of the same ground on another day, at 0.3 m: after the storm, in other light, through haze."""
    out = HOME / f"{flight.folder.name}-reference.tif"
    if not out.is_file():
        drill = make_drill(
            seed=flight.seed,
            relief_m=flight.relief_m,
            gsd_m=GSD_M,
            photos=(STRIPS, PER_STRIP),
            after=True,
        )
        world = drill.renderer.world
        cell = world.window.cell_m
        smooth = cv2.GaussianBlur(world.surface_m.astype(np.float32), (0, 0), 1.5)
        north, east = np.gradient(smooth, cell)
        normal = np.stack([-east, north, np.ones_like(east)], axis=-1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        sun = np.array([0.67, -0.33, 0.67])
        lit = np.clip(normal @ sun, 0.15, 1.0)[..., None] * world.rgb * 1.2 + 15.0
        rows, cols = (round(n * cell / REFERENCE_GSD_M) for n in lit.shape[:2])
        picture = cv2.resize(lit.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
        a, _, c, _, e, f = world.window.transform
        corner = (a * lit.shape[1] / cols, 0.0, c, 0.0, e * lit.shape[0] / rows, f)
        write_geotiff(out, np.clip(picture, 0, 255).astype(np.uint8), corner, WORK_CRS)
    return out


@contextmanager
def opened(data: Path) -> Iterator[Workspace]:
    """A data folder of these flights, to look into."""
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog:
        yield Workspace(
            store=LocalStore(data / "store"), catalog=catalog, box="bench", cache_dir=data / "cache"
        )


def _code() -> str:
    """A short hash of the program."""
    return code_of(ROOT.parent / "flycam").hex()[:8]
