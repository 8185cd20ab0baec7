"""A synthetic photo flight with known truth: planned, rendered, written.

With it go fictitious communes and the outlines of the storm's changes.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from shapely import transform
from shapely.geometry import MultiPolygon, Polygon, mapping

from flycam.drill.appearance import DateChanges
from flycam.drill.flight import (
    NADIR_DEG,
    SPEED_MPS,
    Exposure,
    FlightPlan,
    Follow,
    MeasuredPose,
    compute_block_bounds,
    make_drill_camera,
    make_exif,
    make_xmp,
    simulate_flight,
    simulate_measurements,
    simulate_yaw_steps,
)
from flycam.drill.land import (
    VERTICAL_DATUM,
    WORK_CRS,
    Bounds,
    CellWindow,
    Floats,
    Singles,
    Valley,
    make_cell_window,
)
from flycam.drill.rendering import Renderer, Weather, prepare_renderer
from flycam.drill.scene_objects import TerrainErrorModel, make_terrain_model
from flycam.drill.world import DrillWorld, build_drill_world
from flycam.errors import NotFound, OptionUnusable
from flycam.geodata.crs import to_lonlat
from flycam.geodata.raster import write_geotiff
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource, opk_from_rotation, to_mat3
from flycam.messages import _
from flycam.model.flight import DRILL_MARK, DRILL_TAG, EXERCISE_COMMUNES
from flycam.storage.files import make_unwritable, replace_folder

# -- Ground truth as files, and back: exact poses, camera, rasters ---------------------------------
#
# The folder of a drill is staged, so that it appears whole or not at all.


_COLUMNS = ("filename", "x", "y", "z", "omega", "phi", "kappa", "yaw", "pitch", "roll", "seconds")
TRUTH_FILE = Path("truth") / "truth.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillTruth:
    """Truth that write_drill wrote.

    exteriors       by file name
    ortho, surface  paths
    facts           everything else
    """

    camera: InteriorOrientation
    exteriors: Mapping[str, ExteriorOrientation]
    ortho: Path
    surface: Path
    facts: Mapping[str, Any]


def write_poses(path: Path, names: list[str], exposures: list[Exposure]) -> None:
    """Write poses.csv with exact poses.

    Projection centres, photogrammetric omega phi kappa and gimbal angles, degrees.
    """
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(_COLUMNS)
        for name, exposure in zip(names, exposures, strict=True):
            opk = np.degrees(opk_from_rotation(exposure.exterior.rotation))
            angles = np.degrees(exposure.gimbal_rad)
            numbers = [*exposure.exterior.projection_centre_m, *opk, *angles, exposure.seconds]
            rows.writerow([name, *(f"{n:.9f}" for n in numbers)])


def format_truth(
    names: list[str], exposures: list[Exposure], camera: InteriorOrientation, facts: Mapping[str, Any]
) -> str:
    """Return the truth of a drill as JSON, exact to the last bit."""
    frames = [
        {
            "name": name,
            "projection_centre_m": exposure.exterior.projection_centre_m,
            "rotation": exposure.exterior.rotation,
            "grid_scale": exposure.exterior.grid_scale,
            "seconds": exposure.seconds,
            "strip": exposure.strip,
            **_motion_json(exposure.exterior.motion),
        }
        for name, exposure in zip(names, exposures, strict=True)
    ]
    document = {
        "drill": DRILL_MARK,
        **facts,
        "camera": {
            "model": camera.model.value,
            "image_size_px": camera.image_size_px,
            "focal_length_px": camera.focal_length_px,
            "principal_point_px": camera.principal_point_px,
            "distortion": camera.distortion,
            **({"readout_s": camera.readout_s} if camera.readout_s else {}),
        },
        "frames": frames,
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _motion_json(motion: CameraMotion | None) -> dict[str, Any]:
    """Return the motion of a rolling shutter; empty without.

    So the truth of other drills keeps its bytes.
    """
    if motion is None:
        return {}
    return {"motion": {"velocity_mps": motion.velocity_mps, "turn_radps": motion.turn_radps}}


def _motion_of(frame: Mapping[str, Any]) -> CameraMotion | None:
    motion = frame.get("motion")
    if motion is None:
        return None
    return CameraMotion(velocity_mps=tuple(motion["velocity_mps"]), turn_radps=tuple(motion["turn_radps"]))


def write_camera(path: Path, camera: InteriorOrientation) -> None:
    """Write the camera as a file for `--camera`: no photo states a readout time."""
    (fx, fy), (cx, cy) = camera.focal_length_px, camera.principal_point_px
    k1, k2, p1, p2, k3 = camera.distortion
    width, height = camera.image_size_px
    values: dict[str, Any] = {"model": camera.model.value, "width": width, "height": height}
    values |= {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "k1": k1, "k2": k2, "k3": k3, "p1": p1, "p2": p2}
    values |= {"readout_s": camera.readout_s, "sigma_focal_rel": 0.002}
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


def read_truth(folder: Path) -> DrillTruth:
    """Read the truth of a drill in `folder`; NotFound if there is none."""
    path = folder / TRUTH_FILE
    if not path.is_file():
        raise NotFound(_("{path}: is not there: write a drill into this folder first", path=path))
    document = json.loads(path.read_text(encoding="utf-8"))
    camera = document["camera"]
    interior = InteriorOrientation(
        model=LensModel(camera["model"]),
        image_size_px=tuple(camera["image_size_px"]),
        focal_length_px=tuple(camera["focal_length_px"]),
        principal_point_px=tuple(camera["principal_point_px"]),
        distortion=tuple(camera["distortion"]),
        readout_s=camera.get("readout_s", 0.0),
        calibration_id="drill:truth",
    )
    exteriors = {
        frame["name"]: ExteriorOrientation(
            projection_centre_m=tuple(frame["projection_centre_m"]),
            rotation=to_mat3(frame["rotation"]),
            work_crs=document["work_crs"],
            vertical_datum=document["vertical_datum"],
            grid_scale=frame["grid_scale"],
            sigma_position_m=(0.0, 0.0, 0.0),
            sigma_attitude_rad=(0.0, 0.0, 0.0),
            source=PoseSource.ADJUSTED,
            motion=_motion_of(frame),
        )
        for frame in document["frames"]
    }
    return DrillTruth(
        camera=interior,
        exteriors=exteriors,
        ortho=folder / "truth" / "ortho.tif",
        surface=folder / "truth" / "surface.tif",
        facts=document,
    )


# -- Staging of a drill's folder -------------------------------------------------------------------


@contextmanager
def stage_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to write a drill into, which replaces `out` when it is complete.

    Missing folders above it are made. Raises what `replace_folder` raises.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise make_unwritable(out, error) from error
    with replace_folder(out, _find_foreign_file) as staging:
        yield staging


def _find_foreign_file(folder: Path) -> str | None:
    """Return a file of a folder that is no drill, if there is one."""
    return None if (folder / TRUTH_FILE).is_file() else next((one.name for one in folder.iterdir()), None)


# -- GeoJSON (WGS 84) of fictitious communes and of the storm's changes ----------------------------


_REACH_M = 2200.0
_STEP_M = 20.0
_MIN_CHANGE_M2 = 60.0
_MIN_HOLE_M2 = 30.0
_OUTLINE_M = 0.5
CHANGE_KINDS = {1: "landslide", 2: "flood"}


def make_communes_geojson(valley: Valley) -> str:
    """Return four communes, split by the river and a crooked line across the valley."""
    along = np.arange(-_REACH_M, _REACH_M + 1.0, _STEP_M)
    river = np.stack([along, valley.river_across(along)], -1)
    across = np.arange(-_REACH_M, _REACH_M + 1.0, _STEP_M)
    centre_along, centre_across = 12.0, float(valley.river_across(np.array(12.0)))
    away = np.abs(across - centre_across)
    line = np.stack([centre_along + 60.0 * np.sin(away / 130.0) + 0.12 * away, across], -1)
    features = []
    for number, (code, name, name_en) in enumerate(EXERCISE_COMMUNES):
        left, down = number % 2 == 0, number < 2
        sign_across, sign_along = (1.0 if left else -1.0), (1.0 if down else -1.0)
        part_river = river[(river[:, 0] - centre_along) * sign_along > 0][:: 1 if down else -1]
        part_line = line[(line[:, 1] - centre_across) * sign_across > 0][:: 1 if left else -1]
        corner = np.array([[sign_along * _REACH_M, sign_across * _REACH_M]])
        ring = np.vstack([[[centre_along, centre_across]], part_river, corner, part_line[::-1]])
        east, north = valley.to_work_crs(ring[:, 0], ring[:, 1])
        polygon = Polygon(np.stack([east, north], -1))
        properties = {
            "code": code,
            "name": name,
            "nameEn": name_en,
            "fullName": f"Xã {name} (diễn tập, không có thật)",
            "fullNameEn": f"{name_en} commune (drill, made up)",
            "areaKm2": round(polygon.area / 1e6, 4),
            "drill": DRILL_MARK,
        }
        features.append(_feature(MultiPolygon([polygon]), properties))
    return _collection(features, "communes of a drill: made up")


def _outlines(mask: NDArray[np.bool_], window: CellWindow) -> list[Polygon]:
    """Return polygons (work CRS) of a mask, largest first, without specks and holes.

    Holes above `_MIN_HOLE_M2` are kept.
    """
    factor = max(round(_OUTLINE_M / window.cell_m), 1)
    small = cv2.resize(
        mask.astype(np.uint8), None, fx=1.0 / factor, fy=1.0 / factor, interpolation=cv2.INTER_NEAREST
    )
    scale = np.array(mask.shape[::-1]) / np.array(small.shape[::-1])
    # each pixel becomes 2×2, so that the outline follows pixel edges to within a quarter of a pixel
    doubled = np.repeat(np.repeat(small, 2, 0), 2, 1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for index, contour in enumerate(contours):
        if tree[0][index][3] >= 0 or len(contour) < 4:
            continue
        holes, child = [], tree[0][index][2]
        while child >= 0:
            if len(contours[child]) >= 4:
                holes.append(_ring(contours[child], window, scale))
            child = tree[0][child][0]
        shape = Polygon(_ring(contour, window, scale), holes).buffer(0)
        for part in getattr(shape, "geoms", [shape]):
            if part.area >= _MIN_CHANGE_M2:
                kept = [ring for ring in part.interiors if Polygon(ring).area >= _MIN_HOLE_M2]
                polygons.append(Polygon(part.exterior, kept).simplify(0.4 * _OUTLINE_M))
    return sorted(polygons, key=lambda p: -p.area)


def _ring(contour: NDArray[Any], window: CellWindow, scale: Floats) -> Floats:
    cells = (contour[:, 0, :] / 2.0 - 0.25 + 0.5) * scale - 0.5
    east = (window.west_cell + cells[:, 0]) * window.cell_m
    north = (window.north_cell - cells[:, 1]) * window.cell_m
    return np.stack([east, north], -1)


def _feature(geometry: Polygon | MultiPolygon, properties: dict[str, Any]) -> dict[str, Any]:
    degrees = transform(geometry, lambda xy: to_lonlat(xy, WORK_CRS))
    return {"type": "Feature", "properties": properties, "geometry": mapping(degrees)}


def _collection(features: list[dict[str, Any]], name: str) -> str:
    return json.dumps({"type": "FeatureCollection", "name": name, "features": features}, ensure_ascii=False)


# -- Photo drill: world, flight, and files ---------------------------------------------------------


DEM_MARGIN_M = 250.0
# the world's cells are a quarter finer than the pixels of the photos
CELLS_PER_PIXEL = 0.75
MAX_RELIEF_M = 3000.0
MAX_NOISE = 100.0
MAX_SEED = 999_999
USUAL_PHOTOS, USUAL_SIZE_PX = (5, 7), (1320, 990)
_MAX_READOUT_MS = 250.0
_JPEG_QUALITY = 93
# recorded only where set, so that the truth of two dates keeps its bytes
_THIRD_DATE = ("days", "grown_m")
TAGS = {"VERTICAL_DATUM": VERTICAL_DATUM, DRILL_TAG: DRILL_MARK}


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillScene:
    """What a flight over a world has, with photos or with video.

    exposures  the truth of every photo or frame
    takeoff_m  (east, north, height of the true ground)
    dem        window and heights of the terrain model
    """

    seed: int
    after: bool
    noise: float
    valley: Valley
    camera: InteriorOrientation
    exposures: list[Exposure]
    takeoff_m: tuple[float, float, float]
    dem: tuple[CellWindow, Singles]

    @property
    def takeoff_lonlat_deg(self) -> tuple[float, float]:
        lon, lat = to_lonlat(np.array([self.takeoff_m[:2]]), WORK_CRS)[0]
        return float(lon), float(lat)

    def write(
        self,
        folder: Path,
        names: list[str],
        gsd_m: float,
        world: DrillWorld,
        facts: Mapping[str, Any],
        *,
        rasters: bool,
    ) -> None:
        """Write dem.tif, communes.geojson, and truth/ with further facts.

        names  of the exposures
        """
        write_ground(self.dem, self.valley, folder)
        truth = folder / "truth"
        truth.mkdir()
        lon_deg, lat_deg = self.takeoff_lonlat_deg
        facts = {
            "seed": self.seed,
            "after": self.after,
            "noise": self.noise,
            "relief_m": self.valley.relief_m,
            "gsd_m": gsd_m,
            "work_crs": WORK_CRS,
            "vertical_datum": VERTICAL_DATUM,
            "takeoff": {"lon_deg": lon_deg, "lat_deg": lat_deg, "height_m": self.takeoff_m[2]},
            "world_bounds_m": world.window.bounds,
            "cell_m": world.window.cell_m,
            **facts,
        }
        text = format_truth(names, self.exposures, self.camera, facts)
        (truth / TRUTH_FILE.name).write_text(text, encoding="utf-8")
        write_poses(truth / "poses.csv", names, self.exposures)
        _write_world(world, truth, rasters)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drill(DrillScene):
    """A flight with photos, in memory.

    dem_error    errors of the terrain model
    yaw_step_deg 1-sigma of the gimbal's yaw error per strip
    """

    yaw_step_deg: float
    plan: FlightPlan
    measured: list[MeasuredPose]
    between: DateChanges | None
    dem_error: TerrainErrorModel
    renderer: Renderer

    @property
    def names(self) -> list[str]:
        return [f"DJI_{e.number:04d}.JPG" for e in self.exposures]

    def photo(self, number: int) -> NDArray[np.uint8]:
        """Render the `number`-th exposure (from 0), H×W×3 uint8 RGB, before JPEG."""
        return self.renderer.photo(self.exposures[number])

    def coordinates(self, number: int) -> Floats:
        """Return the true (east, north, height) that each pixel of an exposure shows.

        H×W×3 float64 of the `number`-th exposure (from 0).
        """
        return self.renderer.coordinates(self.exposures[number])


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillReport:
    """Result of write_drill: the number of photos, and paths.

    camera  only with a rolling shutter
    """

    frames: int
    photos: Path
    dem: Path
    communes: Path
    truth: Path
    camera: Path | None = None


def require_in_range(name: str, value: float, minimum: float, maximum: float, unit: str) -> None:
    """Raise OptionUnusable for a value outside its limits."""
    if not minimum <= value <= maximum:
        raise OptionUnusable(
            _(
                "{name} {value:.12g}: a drill takes {least:.12g} to {most:.12g}{unit}: choose a value in "
                "between",
                name=name,
                value=value,
                least=minimum,
                most=maximum,
                unit=unit,
            )
        )


def make_drill(
    *,
    seed: int = 1,
    after: bool = False,
    relief_m: float = 180.0,
    noise: float = 1.0,
    gsd_m: float = 0.2,
    photos: tuple[int, int] = USUAL_PHOTOS,
    size_px: tuple[int, int] = USUAL_SIZE_PX,
    dem_post_m: float = 10.0,
    dem_shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
    dem_error_m: float = 0.0,
    dem_error_length_m: float = 200.0,
    follow: Follow = "ground",
    pitch_deg: float = NADIR_DEG,
    yaw_step_deg: float = 0.0,
    readout_ms: float = 0.0,
    speed_mps: float = SPEED_MPS,
    weather: Weather | None = None,
    between: DateChanges | None = None,
) -> Drill:
    """Build the world and the flight over it; the same arguments give the same bytes.

    photos   (strips, photos per strip), side overlap 65 %, forward 75 %
    noise    factor on the errors of the metadata; 0 writes exact poses
    gsd_m    on ground at the flying height, at nadir; the world is built a quarter finer
    dem_shift_m, dem_error_m, dem_error_length_m   errors of the terrain model: see TerrainErrorModel
    pitch_deg     of the gimbal, -90 (nadir) to -50
    yaw_step_deg  1-sigma of the gimbal's yaw error, another in each strip
    readout_ms    of a rolling shutter: each row is rendered from where the aircraft then was; 0: global
    speed_mps     over the ground; the time between photos depends on it
    between       what else changed since the other flight; only of a flight `after`

    Raises OptionUnusable for an invalid value.
    """
    require_in_range("yaw step", yaw_step_deg, 0.0, 90.0, " degrees")
    require_in_range("relief", relief_m, 0.0, MAX_RELIEF_M, " m")
    require_in_range("noise", noise, 0.0, MAX_NOISE, "")
    require_in_range("seed", seed, 0, MAX_SEED, "")
    require_in_range("readout", readout_ms, 0.0, _MAX_READOUT_MS, " ms")
    valley, camera = Valley(seed=seed, relief_m=relief_m), make_drill_camera(size_px, readout_ms / 1000.0)
    strips, per_strip = photos
    plan = FlightPlan(
        strips=strips,
        per_strip=per_strip,
        gsd_m=gsd_m,
        follow=follow,
        pitch_deg=pitch_deg,
        speed_mps=speed_mps,
    )
    error = TerrainErrorModel(shift_m=dem_shift_m, sigma_m=dem_error_m, length_m=dem_error_length_m)
    bounds = _world_bounds(valley, plan, camera, seed)
    west, south, east, north = bounds
    dem_bounds = (west - DEM_MARGIN_M, south - DEM_MARGIN_M, east + DEM_MARGIN_M, north + DEM_MARGIN_M)
    dem = make_terrain_model(valley, dem_bounds, dem_post_m, error)
    world = build_drill_world(
        bounds, CELLS_PER_PIXEL * gsd_m, seed=seed, relief_m=relief_m, after=after, between=between
    )
    exposures = simulate_flight(valley, plan, camera, seed, after)
    takeoff = find_takeoff_place(
        valley, dem if error == TerrainErrorModel() else make_terrain_model(valley, dem_bounds, dem_post_m)
    )
    return Drill(
        seed=seed,
        after=after,
        noise=noise,
        yaw_step_deg=yaw_step_deg,
        plan=plan,
        valley=valley,
        camera=camera,
        exposures=exposures,
        measured=simulate_measurements(
            exposures,
            takeoff[2],
            seed,
            after,
            noise,
            yaw_step_deg,
            between.days if after and between is not None else 0,
        ),
        between=between if after else None,
        takeoff_m=takeoff,
        dem=dem,
        dem_error=error,
        renderer=prepare_renderer(world, camera, seed + 100 * after, weather),
    )


def write_drill(
    out: Path,
    *,
    truth_rasters: bool = True,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> DrillReport:
    """Write a drill into the folder `out`, which appears whole or not at all.

    photos/*.JPG, dem.tif, communes.geojson, truth/ (poses.csv, truth.json, ortho.tif, surface.tif and,
    after the storm, changes.geojson); with a rolling shutter also camera.json, for `--camera`. A folder
    that holds an older drill is replaced.

    options               see make_drill
    progress(done, all)   called as photos are written

    Raises InputUnusable where `out` holds something else, DiskFull or StorageFailed where it cannot be
    written.
    """
    with stage_folder(Path(out)) as staging:
        drill = make_drill(**options)
        (staging / "photos").mkdir()
        _write_photos(drill, staging / "photos", workers or min(os.cpu_count() or 1, 8), progress)
        if drill.camera.readout_s:
            write_camera(staging / "camera.json", drill.camera)
        # the usual drill has no optional features, so that its truth keeps its bytes
        facts: dict[str, Any] = {}
        if drill.plan.pitch_deg != NADIR_DEG:
            facts["pitch_deg"] = drill.plan.pitch_deg
        if drill.yaw_step_deg:
            facts["yaw_steps_deg"] = simulate_yaw_steps(
                drill.exposures, drill.seed, drill.after, drill.yaw_step_deg
            )
        if drill.plan.speed_mps != SPEED_MPS:
            facts["speed_mps"] = drill.plan.speed_mps
        if drill.between is not None:
            values = asdict(drill.between)
            facts["between"] = {
                name: values[name] for name in values if values[name] or name not in _THIRD_DATE
            }
        if drill.dem_error != TerrainErrorModel():
            facts["dem_error"] = asdict(drill.dem_error)
        world = drill.renderer.world
        drill.write(staging, drill.names, drill.plan.gsd_m, world, facts, rasters=truth_rasters)
    return DrillReport(
        frames=len(drill.exposures),
        photos=out / "photos",
        dem=out / "dem.tif",
        communes=out / "communes.geojson",
        truth=out / "truth",
        camera=out / "camera.json" if drill.camera.readout_s else None,
    )


def _write_photos(
    drill: Drill, folder: Path, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    count = len(drill.exposures)

    def write(number: int) -> None:
        name, measured = drill.names[number], drill.measured[number]
        Image.fromarray(drill.photo(number)).save(
            folder / name,
            format="JPEG",
            quality=_JPEG_QUALITY,
            exif=make_exif(name, measured, drill.camera),
            xmp=make_xmp(measured, drill.camera),
        )

    with ThreadPoolExecutor(workers) as pool:
        for done, __ in enumerate(pool.map(write, range(count)), start=1):
            if progress is not None:
                progress(done, count)


def write_ground(dem: tuple[CellWindow, Singles], valley: Valley, folder: Path) -> None:
    """Write dem.tif and communes.geojson."""
    posts, heights = dem
    write_geotiff(folder / "dem.tif", heights, posts.transform, WORK_CRS, nodata=-9999.0, tags=TAGS)
    (folder / "communes.geojson").write_text(make_communes_geojson(valley), encoding="utf-8")


def _write_world(world: DrillWorld, folder: Path, rasters: bool) -> None:
    """Write the storm's changes and, with `rasters`, the rasters of the world.

    These are ortho.tif, surface.tif, cover.tif, and confuser.tif if there are other changes.
    """
    window = world.window
    if world.after:
        features = []
        for number, kind in CHANGE_KINDS.items():
            for polygon in _outlines(world.change == number, window):
                properties = {"kind": kind, "area_m2": round(polygon.area, 1), "drill": DRILL_MARK}
                features.append(_feature(polygon, properties))
        (folder / "changes.geojson").write_text(
            _collection(features, "what the storm of a drill changed: exact"), encoding="utf-8"
        )
    if rasters:
        write_geotiff(folder / "ortho.tif", world.rgb, window.transform, WORK_CRS, tags=TAGS)
        both = np.stack([world.surface_m, world.ground_m], -1)
        names = ("surface: top of everything", "ground: bare")
        write_geotiff(folder / "surface.tif", both, window.transform, WORK_CRS, tags=TAGS, names=names)
        write_geotiff(folder / "cover.tif", world.cover, window.transform, WORK_CRS, tags=TAGS)
        if world.confuser is not None:
            write_geotiff(folder / "confuser.tif", world.confuser, window.transform, WORK_CRS, tags=TAGS)


def _world_bounds(valley: Valley, plan: FlightPlan, camera: InteriorOrientation, seed: int) -> Bounds:
    """Return the bounds of both flights' world.

    They are the same before and after the storm, although the wind differs.
    """
    return compute_flights_bounds(
        valley, [simulate_flight(valley, plan, camera, seed, after) for after in (False, True)], camera
    )


def compute_world_bounds(valley: Valley, gsd_m: float, photos: tuple[int, int] = USUAL_PHOTOS) -> Bounds:
    """Return bounds of the world of a drill with these photos, all else as usual.

    photos  (strips, photos per strip)
    """
    strips, per_strip = photos
    plan = FlightPlan(strips=strips, per_strip=per_strip, gsd_m=gsd_m)
    bounds = _world_bounds(valley, plan, make_drill_camera(USUAL_SIZE_PX), valley.seed)
    return make_cell_window(bounds, CELLS_PER_PIXEL * gsd_m).bounds


def compute_flights_bounds(
    valley: Valley, flights: list[list[Exposure]], camera: InteriorOrientation
) -> Bounds:
    """Return bounds (work CRS) of all ground that several flights see, with a margin."""
    boxes = np.array([compute_block_bounds(valley, exposures, camera) for exposures in flights])
    west, south = boxes[:, :2].min(0)
    east, north = boxes[:, 2:].max(0)
    return (float(west), float(south), float(east), float(north))


def find_takeoff_place(valley: Valley, dem: tuple[CellWindow, Singles]) -> tuple[float, float, float]:
    """Return (east, north, height) of a paddy on the valley floor.

    It is at a cell centre of the terrain model, so that both agree on its height.
    """
    along = np.array(-20.0)
    east, north = valley.to_work_crs(along, valley.river_across(along) - 38.0)
    col, row = (int(np.rint(x)) for x in dem[0].to_cells(east, north))
    return (
        (dem[0].west_cell + col) * dem[0].cell_m,
        (dem[0].north_cell - row) * dem[0].cell_m,
        float(dem[1][row, col]),
    )
