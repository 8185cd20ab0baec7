"""A filmed drill laid by `flycam live` as a process: keeping up, how late tiles are, the clock, the places.

Films of three seeds with turns and a straight, steady one, 640×360 at 15 pictures a second; the first again
at its own speed. Processor time beside the floor: bare decoding of the same film in this process. Beside the
places: the same frames laid by the log alone, and by the exact poses (what is left then is trees and houses
that lean, which no pose mends).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from bench.flights import ROOT
from bench.processes import FLYCAM, Finished, run_process
from bench.table import Row
from bench.truth_patches import patch_errors
from flycam.catalog.catalog import open_catalog
from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VIDEO_NAME, write_video_drill
from flycam.geometry.pose import ExteriorOrientation
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.orthorectifier import LiveRegistration
from flycam.ingest.live.workflow import orthorectify_video
from flycam.ingest.video.video_source import VideoFrame
from flycam.model.frame import format_video_frame_name
from flycam.mosaic.export import export_flight
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from flycam.storage.stores import open_store
from flycam.workspace import Workspace

SEEDS = (1, 2, 3)
SECONDS, FPS, SIZE_PX, GSD_M = 60.0, 15, (640, 360), 0.4


@dataclass(frozen=True, slots=True)
class _Flown:
    """What one run answered and took; the exported live mosaic."""

    answer: dict
    took: Finished
    mosaic: Path


def measure() -> list[Row]:
    """All rows; films are rendered into `.bench/` once."""
    films = [_film(seed) for seed in SEEDS]
    with _flown(films[0], "--realtime", log="srt") as paced:
        pace = paced.answer
    clocks, throughput = [], None
    places: dict[str, list[np.ndarray]] = {"fitted": [], "by the log": [], "exact poses": []}
    for film in films:
        with _flown(film, log="tlog") as flown:
            true_s = read_truth(film).facts["clock_offset_s"]
            found = flown.answer["clock_offset_s"]
            clocks.append(abs(found - true_s) * 1e3 if found is not None else float("inf"))
            places["fitted"].append(_errors_m(flown.mosaic, film))
            throughput = throughput or flown
        places["by the log"].append(_laid_by(film, found, lambda told, _name: told))
        exact = read_truth(film).exteriors
        places["exact poses"].append(
            _laid_by(film, found, lambda told, name, all_=exact: _at(told, all_[name]))
        )
    with _flown(_film(1, strips=1, is_steady=True), log="tlog") as straight:
        sigma_s = straight.answer["clock_sigma_s"]
    decode_s = _bare_decode_s(films[0] / VIDEO_NAME)
    return [
        _pace_row(pace),
        _late_row(pace, "p50", 500.0),
        _late_row(pace, "p95", 1000.0),
        Row(
            what="clock offset, worst of three films with turns",
            measured=f"{max(clocks):.0f} ms",
            peer="the truth",
            ratio=max(clocks),
            required=50.0,
            sense="at most",
            notes=(", ".join(f"{ms:.0f} ms" for ms in clocks),),
        ),
        Row(
            what="clock sigma of a straight, steady film",
            measured=f"{sigma_s:.1f} s",
            peer="unknown is said",
            ratio=sigma_s,
            required=1.0,
            sense="at least",
        ),
        *(_place_row(places, share, limit) for share, limit in ((50, 0.5), (95, 1.5))),
        _throughput_row(throughput, decode_s),
    ]


def _pace_row(pace: dict) -> Row:
    return Row(
        what="real-time factor, film at its own speed",
        measured=f"{pace['frames']} frames laid, {pace['dropped'].get('overrun', 0)} pictures overrun",
        peer=f"{SECONDS:.0f} s of film",
        ratio=pace["decoded"] / (SECONDS * FPS),
        required=0.99,
        sense="at least",
        notes=("share of the pictures that were taken in time",),
        figures=pace,
    )


def _late_row(pace: dict, which: str, limit_ms: float) -> Row:
    return Row(
        what=f"picture's arrival to its tiles in the log, {which}",
        measured=f"{pace['latency_ms'][which]:.0f} ms",
        peer="-",
        ratio=pace["latency_ms"][which],
        required=limit_ms,
        sense="at most",
        notes=("wall time: only worth something on a quiet machine",),
    )


def _place_row(places: dict[str, list[np.ndarray]], share: int, limit_m: float) -> Row:
    each = {how: [float(np.percentile(one, share)) for one in errors] for how, errors in places.items()}
    worst = max(each["fitted"])
    return Row(
        what=f"live mosaic after one shift, {share} % (worst of three)",
        measured=f"{worst:.2f} m",
        peer=f"by the log alone {max(each['by the log']):.2f} m",
        ratio=worst,
        required=limit_m,
        sense="at most",
        notes=tuple(f"{how}: {', '.join(f'{m:.2f} m' for m in found)}" for how, found in each.items()),
    )


def _errors_m(mosaic: Path, film: Path) -> np.ndarray:
    return patch_errors(mosaic, read_truth(film)).errors_m(after_shift=True)


def _at(told: ExteriorOrientation, true: ExteriorOrientation) -> ExteriorOrientation:
    return replace(told, projection_centre_m=true.projection_centre_m, rotation=true.rotation)


def _laid_by(
    film: Path, clock_offset_s: float, pose_of: Callable[[ExteriorOrientation, str], ExteriorOrientation]
) -> np.ndarray:
    """Errors of the same film laid in this process by poses of our own: pose_of(told, picture's name)."""

    def pose(
        _self: LiveRegistration, picture: VideoFrame, told: ExteriorOrientation, *_: object, **__: object
    ):
        return pose_of(told, format_video_frame_name(VIDEO_NAME, picture.pts_ns))

    with tempfile.TemporaryDirectory() as scratch, mock.patch.object(LiveRegistration, "pose", pose):
        root, video = Path(scratch), film / VIDEO_NAME
        workspace = Workspace(
            store=open_store((root / "store").as_uri()),
            catalog=open_catalog(f"sqlite:///{root / 'catalog.sqlite'}"),
            box="bench",
            cache_dir=root / "cache",
        )
        register_dem(workspace, film / "dem.tif")
        request = LiveRequest(
            video=str(video),
            telemetry=str(video.with_suffix(".tlog")),
            camera=film / "camera.json",
            clock_offset_s=clock_offset_s,
        )
        flight_id = orthorectify_video(workspace, request, FlightLabels()).flight.flight_id
        export_flight(workspace, flight_id, root / "live.tif")
        return _errors_m(root / "live.tif", film)


def _throughput_row(flown: _Flown, decode_s: float) -> Row:
    pictures = SECONDS * FPS
    return Row(
        what="decoded pictures to tiles, clock found first (processor time)",
        measured=f"{1e3 * flown.took.cpu_s / pictures:.1f} ms a picture, {flown.answer['frames']} laid",
        peer=f"bare decode {1e3 * decode_s / pictures:.1f} ms",
        ratio=SECONDS / flown.took.cpu_s,
        required=1.0,
        sense="at least",
        notes=("seconds of film a second of processor",),
    )


def _film(seed: int, **changes: object) -> Path:
    """The folder of a film, rendered if it is not there."""
    plan = VideoPlan(seconds=SECONDS, fps=FPS, gsd_m=GSD_M, **changes)
    folder = ROOT / f"film-{seed}-{plan.strips or 'auto'}{'-steady' if plan.is_steady else ''}"
    if not (folder / "truth" / "truth.json").is_file():
        print(f"rendering a film into {folder} …", flush=True)
        write_video_drill(folder, seed=seed, plan=plan, size_px=SIZE_PX)
    return folder


@contextmanager
def _flown(film: Path, *options: str, log: str) -> Iterator[_Flown]:
    """One run into a data folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        data, video = Path(scratch) / "data", film / VIDEO_NAME
        command = [*FLYCAM, "live", "--data", data, "--video", video, "--json", *options]
        command += ["--telemetry", video.with_suffix(f".{log}")]
        command += ["--camera", film / "camera.json", "--dem", film / "dem.tif"]
        took = run_process(command)
        answer = json.loads(took.stdout.splitlines()[-1])
        mosaic = Path(scratch) / "live.tif"
        run_process([*FLYCAM, "export", "--data", data, answer["flight_id"], mosaic])
        yield _Flown(answer, took, mosaic)


def _bare_decode_s(video: Path) -> float:
    """Processor time of reading every picture and doing nothing with it."""
    began, capture = time.process_time(), cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    while capture.read()[0]:
        pass
    return time.process_time() - began
