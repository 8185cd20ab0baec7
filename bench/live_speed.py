"""`flycam live` on 1080p30 H.264 and 10 Hz telemetry: keeping up, how late, and what a picture costs.

A plain film, flown so low and fast that the motion asks for more than five pictures a second on the map; once
at its own speed, once as fast as it goes. Beside it two floors, in this process: bare decoding of the same
film, and a bare `cv2.remap` of the very pixels that are laid.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from bench.bench_rectify import bare_remap, milliseconds
from bench.flights import ROOT
from bench.processes import FLYCAM, Finished, run_process
from bench.table import Row
from flycam.catalog.catalog import open_catalog
from flycam.drill.flight import VideoPlan
from flycam.drill.video_drill import VIDEO_NAME, write_video_drill
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import get_range_bounds
from flycam.geometry.orthorectification import compute_source_coordinates
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.rectification import get_recorded_pose
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.storage.stores import open_store
from flycam.workspace import Workspace

SECONDS, FPS, SIZE_PX = 40.0, 30, (1920, 1080)
PLAN = VideoPlan(seconds=SECONDS, fps=FPS, gsd_m=0.035, speed_mps=40.0, strips=6)
_REMAPPED = 12
LOADED = "wall time: only worth something on a quiet machine"


def measure() -> list[Row]:
    """All rows; the film is rendered into `.bench/` once."""
    film = plain_film("speed", PLAN, SIZE_PX)
    with tempfile.TemporaryDirectory(dir=ROOT) as data:
        load = os.getloadavg()[0]
        paced = json.loads(laid_film(film, Path(data), "--realtime").stdout.splitlines()[-1])
    with tempfile.TemporaryDirectory(dir=ROOT) as data:
        took = laid_film(film, Path(data))
        answer = json.loads(took.stdout.splitlines()[-1])
        remap_s = _bare_remap_s(Path(data), film, answer)
    decode_s = _bare_decode_s(film / VIDEO_NAME)
    pictures = SECONDS * FPS
    said = (f"load {load:.1f} as it began", LOADED)
    left_out = ", ".join(f"{n} {why}" for why, n in paced["dropped"].items()) or "none"
    return [
        Row(
            what="1080p30 at its own speed, real-time factor",
            measured=f"{paced['decoded']} of {pictures:.0f} pictures in {paced['seconds']:.1f} s",
            peer=f"{SECONDS:.0f} s of film",
            ratio=paced["decoded"] / pictures * min(1.0, (SECONDS + 2.0) / paced["seconds"]),
            required=0.99,
            sense="at least",
            notes=(f"left out: {left_out}", *said),
            figures=paced,
        ),
        Row(
            what="1080p30 at its own speed, pictures a second on the map",
            measured=f"{paced['new']} in {SECONDS:.0f} s",
            peer=f"{paced['chosen']} chosen",
            ratio=paced["new"] / SECONDS,
            required=5.0,
            sense="at least",
            notes=said,
        ),
        *lateness_rows("1080p30", paced, said),
        first_tile_row("1080p30", paced, said),
        Row(
            what=f"1080p30 as fast as it goes, {answer['frames'] / SECONDS:.1f} pictures/s of film laid",
            measured=f"{1e3 * took.cpu_s / pictures:.1f} ms a picture, {took.wall_s:.1f} s in all",
            peer=f"bare decode {1e3 * decode_s / pictures:.1f} + remap {1e3 * remap_s / pictures:.1f} ms",
            ratio=2.0 * SECONDS / took.cpu_s,
            required=1.0,
            sense="at least",
            notes=(
                "seconds of film in a second of two cores' processor time",
                f"{1e3 * (took.cpu_s - decode_s) / answer['frames']:.0f} ms a laid picture besides decoding, "
                f"bare remap {1e3 * remap_s / answer['frames']:.1f} ms",
                f"{took.cpu_s / (decode_s + remap_s):.1f} times both floors",
            ),
            figures=answer,
        ),
    ]


def first_tile_row(what: str, answer: dict, notes: tuple[str, ...]) -> Row:
    """How soon a live run showed anything; `answer` is the command's."""
    return Row(
        what=f"{what}, first tile after the first picture with a pose",
        measured=f"{answer['first_tile_s']:.2f} s",
        peer="-",
        ratio=answer["first_tile_s"],
        required=2.0,
        sense="at most",
        notes=notes,
        figures=answer,
    )


def lateness_rows(what: str, answer: dict, notes: tuple[str, ...]) -> list[Row]:
    """How late a live run showed its pictures; `answer` is the command's."""
    return [
        Row(
            what=f"{what}, a picture's arrival to its tiles in the log, {which}",
            measured=f"{answer['latency_ms'][which]:.0f} ms",
            peer="-",
            ratio=answer["latency_ms"][which],
            required=limit_ms,
            sense="at most",
            notes=notes,
        )
        for which, limit_ms in (("p50", 500.0), ("p95", 1000.0))
    ]


def plain_film(name: str, plan: VideoPlan, size_px: tuple[int, int]) -> Path:
    """The folder of a film that nobody looks at, rendered if it is not there."""
    what = f"{size_px[1]}p{plan.fps}-{plan.seconds:.0f}s-{100.0 * plan.gsd_m:g}cm-{plan.speed_mps:g}mps"
    folder = ROOT / f"film-{name}-{what}"
    if not (folder / "truth" / "truth.json").is_file():
        print(f"rendering a film into {folder} …", flush=True)
        write_video_drill(folder, seed=1, plan=plan, size_px=size_px, truth_rasters=False, plain=True)
    return folder


def laid_film(film: Path, data: Path, *options: str, program: Sequence[str | Path] = FLYCAM) -> Finished:
    """`flycam live` on a film of `plain_film`, its answer as JSON in the last line."""
    video = film / VIDEO_NAME
    command = [*program, "live", "--data", data, "--video", video, "--json", *options]
    command += ["--telemetry", video.with_suffix(".srt")]
    return run_process([*command, "--camera", film / "camera.json", "--dem", film / "dem.tif"])


def _bare_decode_s(video: Path) -> float:
    """Processor time of reading every picture and doing nothing with it."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    began = time.process_time()
    while capture.read()[0]:
        pass
    return time.process_time() - began


def _bare_remap_s(data: Path, film: Path, answer: dict) -> float:
    """Processor time of a remap of all pixels that the laid pictures have on the map: of some, times all."""
    store, catalog = open_store((data / "store").as_uri()), open_catalog(f"sqlite:///{data}/catalog.sqlite")
    workspace = Workspace(store=store, catalog=catalog, box="bench", cache_dir=data / "cache")
    records = catalog.frames.list_for_flight(answer["flight_id"], FrameStatus.USED)
    _, picture = cv2.VideoCapture(str(film / VIDEO_NAME)).read()
    threads, took = cv2.getNumThreads(), []
    cv2.setNumThreads(1)
    for record in records[:: max(1, len(records) // _REMAPPED)]:
        exterior, tiles, dem_id = get_recorded_pose(record)
        terrain = load_recorded_terrain(workspace, dem_id)
        plane = fit_mercator_to_work(exterior.work_crs, get_range_bounds(tiles))
        remap = bare_remap(
            picture,
            compute_source_coordinates(FrameView(record.header.interior, exterior, terrain, plane), tiles),
        )
        took.append(statistics.median(milliseconds(remap) for _ in range(5)) / 1e3)
    cv2.setNumThreads(threads)
    catalog.close()
    return statistics.mean(took) * len(records)
