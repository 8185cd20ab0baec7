"""A synthetic video flight with telemetry and truth: planned, rendered, written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import CellWindow
from flycam.drill.flight import Exposure, make_drill_camera
from flycam.drill.ground_truth import TRUTH_FILE, format_truth, write_poses
from flycam.drill.photo_drill import (
    CELLS_PER_PIXEL,
    DEM_MARGIN_M,
    MAX_NOISE,
    MAX_RELIEF_M,
    MAX_SEED,
    USUAL_PHOTOS,
    compute_flights_bounds,
    compute_world_bounds,
    find_takeoff_place,
    require_in_range,
    write_ground,
    write_world,
)
from flycam.drill.photo_instruments import make_takeoff_time
from flycam.drill.rendering import Weather
from flycam.drill.spatial_noise import Singles
from flycam.drill.staging import stage_folder
from flycam.drill.terrain_model import make_terrain_model
from flycam.drill.valley import VERTICAL_DATUM, WORK_CRS, Valley
from flycam.drill.video_course import VideoCourse, VideoPlan, make_video_course
from flycam.drill.video_encoder import VideoEncoder
from flycam.drill.video_rendering import VideoRenderer, prepare_video_renderer
from flycam.drill.video_telemetry import VideoTelemetry, simulate_telemetry, write_subtitles, write_tlog
from flycam.drill.world import build_drill_world
from flycam.errors import OptionUnusable
from flycam.frame.frame import format_video_frame_name
from flycam.geodata.crs import to_lonlat
from flycam.geometry.interior import InteriorOrientation
from flycam.messages import _

VIDEO_NAME = "flight.mp4"
TELEMETRY_NAME = "flight.tlog"
_FIRST_PICTURE_S = 60.0  # after take-off
_MAX_OFFSET_S = 2.0
_MAX_SIDE_PX = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoDrill:
    """A video flight over a world, in memory.

    clock_offset_s  tlog time minus video time
    start           UTC of the first frame
    photos          of the drill whose storm it shows: strips, photos per strip
    exposures       the truth of every frame
    """

    seed: int
    after: bool
    noise: float
    clock_offset_s: float
    start: datetime
    photos: tuple[int, int]
    plan: VideoPlan
    valley: Valley
    camera: InteriorOrientation
    course: VideoCourse
    exposures: list[Exposure]
    telemetry: VideoTelemetry
    takeoff_m: tuple[float, float, float]
    dem: tuple[CellWindow, Singles]
    renderer: VideoRenderer

    @property
    def names(self) -> list[str]:
        """Names of the frames, as of one extracted from the video."""
        return [format_video_frame_name(VIDEO_NAME, round(t * 1e9)) for t in self.plan.frame_s]


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoDrillReport:
    """Result of write_video_drill: the number of frames, and paths."""

    frames: int
    video: Path
    subtitles: Path
    telemetry: Path
    camera: Path
    dem: Path
    communes: Path
    truth: Path


def make_video_drill(
    *,
    seed: int = 1,
    after: bool = False,
    relief_m: float = 180.0,
    noise: float = 1.0,
    plan: VideoPlan | None = None,
    size_px: tuple[int, int] = (1280, 720),
    clock_offset_s: float | None = None,
    dem_post_m: float = 10.0,
    weather: Weather | None = None,
    plain: bool = False,
    photos: tuple[int, int] = USUAL_PHOTOS,
) -> VideoDrill:
    """Build the world and the video flight over it.

    The same arguments give the same frames and telemetry.

    photos          (strips, photos per strip) of the drill whose storm it shows, of the same seed, relief and
                    GSD: both may be merged into one mosaic
    clock_offset_s  None: between -2 and 2 s, by the seed
    plain           the ground's colours alone, eight times faster: for speed tests, where nobody looks

    Raises OptionUnusable for an invalid value.
    """
    require_in_range("relief", relief_m, 0.0, MAX_RELIEF_M, " m")
    require_in_range("noise", noise, 0.0, MAX_NOISE, "")
    require_in_range("seed", seed, 0, MAX_SEED, "")
    if any(side % 2 or not 64 <= side <= _MAX_SIDE_PX for side in size_px):
        raise OptionUnusable(
            _(
                "--size {width_px} {height_px}: a video's sides are even numbers from 64 to {largest_px}",
                width_px=size_px[0],
                height_px=size_px[1],
                largest_px=_MAX_SIDE_PX,
            )
        )
    plan = plan or VideoPlan()
    valley, camera = Valley(seed=seed, relief_m=relief_m), make_drill_camera(size_px)
    courses = [make_video_course(valley, plan, camera, seed, storm) for storm in (False, True)]
    seconds = np.arange(0.0, plan.seconds + 1.0)
    bounds = compute_flights_bounds(valley, [course.exposures(seconds) for course in courses], camera)
    west, south, east, north = bounds
    dem_bounds = (west - DEM_MARGIN_M, south - DEM_MARGIN_M, east + DEM_MARGIN_M, north + DEM_MARGIN_M)
    dem = make_terrain_model(valley, dem_bounds, dem_post_m)
    world = build_drill_world(
        bounds,
        CELLS_PER_PIXEL * plan.gsd_m,
        seed=seed,
        relief_m=relief_m,
        after=after,
        storm_over=compute_world_bounds(valley, plan.gsd_m, photos) if after else None,
    )
    takeoff, number = find_takeoff_place(valley, dem), 100 * seed + after
    if clock_offset_s is None:
        clock_offset_s = round(float(np.random.default_rng([number, 47]).uniform(-1, 1)) * _MAX_OFFSET_S, 3)
    return VideoDrill(
        seed=seed,
        after=after,
        noise=noise,
        clock_offset_s=clock_offset_s,
        start=(make_takeoff_time(after) + timedelta(seconds=_FIRST_PICTURE_S)).astimezone(UTC),
        photos=photos,
        plan=plan,
        valley=valley,
        camera=camera,
        course=courses[after],
        exposures=courses[after].exposures(plan.frame_s),
        telemetry=simulate_telemetry(courses[after], plan.seconds, takeoff[2], number, noise),
        takeoff_m=takeoff,
        dem=dem,
        renderer=prepare_video_renderer(world, camera, seed + 100 * after, weather, plain=plain),
    )


def write_video_drill(
    out: Path,
    *,
    truth_rasters: bool = True,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> VideoDrillReport:
    """Write a video drill into the folder `out`, which appears whole or not at all.

    flight.mp4 (H.264, dated), flight.srt, flight.tlog, camera.json, dem.tif, communes.geojson, truth/ as
    of a drill with photos.

    options               see make_video_drill
    progress(done, all)   called as frames are rendered

    Raises InputUnusable without the encoder, and what `stage_folder` raises.
    """
    out = Path(out)
    with stage_folder(out) as staging:
        drill = make_video_drill(**options)
        (staging / "truth").mkdir()
        _write_video(drill, staging / VIDEO_NAME, workers or os.cpu_count() or 1, progress)
        _write_telemetry(drill, staging)
        write_video_camera(drill.camera, staging / "camera.json")
        write_ground(drill.dem, drill.valley, staging)
        _write_truth(drill, staging / "truth", truth_rasters)
    return VideoDrillReport(
        frames=drill.plan.frames,
        video=out / VIDEO_NAME,
        subtitles=(out / VIDEO_NAME).with_suffix(".srt"),
        telemetry=out / TELEMETRY_NAME,
        camera=out / "camera.json",
        dem=out / "dem.tif",
        communes=out / "communes.geojson",
        truth=out / "truth",
    )


def _write_video(
    drill: VideoDrill, path: Path, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    created_s, count = round(drill.start.timestamp()), drill.plan.frames
    with VideoEncoder(path, drill.camera.image_size_px, drill.plan.fps, created_s) as encoder:
        for done, picture in enumerate(_pictures(drill, workers), start=1):
            encoder.write(picture)
            if progress is not None:
                progress(done, count)


def _pictures(drill: VideoDrill, workers: int) -> Iterator[NDArray[np.uint8]]:
    """Yield all frames in order; a few are in memory at once."""
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(drill.exposures), 4 * workers):
            yield from pool.map(drill.renderer.picture, drill.exposures[start : start + 4 * workers])


def _write_telemetry(drill: VideoDrill, folder: Path) -> None:
    lon, lat = to_lonlat(np.array([drill.takeoff_m[:2]]), WORK_CRS)[0]
    video = folder / VIDEO_NAME
    write_subtitles(video.with_suffix(".srt"), drill.telemetry, drill.plan.frame_s, drill.start)
    write_tlog(
        folder / TELEMETRY_NAME,
        drill.telemetry,
        drill.start,
        drill.clock_offset_s,
        (float(lon), float(lat), drill.takeoff_m[2]),
        100 * drill.seed + drill.after,
    )


def write_video_camera(camera: InteriorOrientation, path: Path) -> None:
    """Write the exact camera as an operator's camera file."""
    (width, height), (fx, fy), (cx, cy) = (
        camera.image_size_px,
        camera.focal_length_px,
        camera.principal_point_px,
    )
    lens = dict(zip(("k1", "k2", "p1", "p2", "k3"), camera.distortion, strict=True))
    values = {"model": "brown", "width": width, "height": height, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
    path.write_text(json.dumps({**values, **lens, "readout_s": 0.0}, indent=1), encoding="utf-8")


def _write_truth(drill: VideoDrill, folder: Path, rasters: bool) -> None:
    world = drill.renderer.coarse.world
    lon, lat = to_lonlat(np.array([drill.takeoff_m[:2]]), WORK_CRS)[0]
    facts = {
        "seed": drill.seed,
        "after": drill.after,
        "noise": drill.noise,
        "relief_m": drill.valley.relief_m,
        "gsd_m": drill.plan.gsd_m,
        "work_crs": WORK_CRS,
        "vertical_datum": VERTICAL_DATUM,
        "takeoff": {"lon_deg": float(lon), "lat_deg": float(lat), "height_m": drill.takeoff_m[2]},
        "world_bounds_m": world.window.bounds,
        "cell_m": world.window.cell_m,
        "clock_offset_s": drill.clock_offset_s,
        **({"storm_of_photos": drill.photos} if drill.after else {}),
        "video": {
            "fps": drill.plan.fps,
            "start_utc": drill.start.isoformat(),
            "strips": int(drill.course.strip.max()) + 1,
        },
    }
    text = format_truth(drill.names, drill.exposures, drill.camera, facts)
    (folder / TRUTH_FILE.name).write_text(text, encoding="utf-8")
    write_poses(folder / "poses.csv", drill.names, drill.exposures)
    write_world(world, folder, rasters)
