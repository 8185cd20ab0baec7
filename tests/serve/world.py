"""A small house for the server's tests: real catalogue, real writer, local store, painted ground.

Two flights over one made-up valley (before and after a storm), one drill flight, made-up communes and a
DEM. The ground's colour is a function of the place alone, so any pixel can be checked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import cv2
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from flycam.board.marks import MarkEdit
from flycam.catalog.access import hash_token
from flycam.catalog.catalog import open_catalog
from flycam.geodata.crs import to_work
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.grid import (
    TileRange,
    compute_ground_pixel_m,
    compute_pixel_centres,
    find_range_for_bounds,
    get_range_bounds,
    lonlat_to_mercator,
    mercator_to_lonlat,
)
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.ingest.video.video_frames import VIDEO_CAMERA, format_stream_name
from flycam.model.access import Account, Role
from flycam.model.board import MarkKind, MarkStatus
from flycam.model.flight import Event, EventKind, Flight, FlightState, Layer
from flycam.model.frame import (
    FrameHeader,
    OrthoPatch,
    Provenance,
    derive_flight_id,
    derive_frame_id,
    format_video_frame_name,
)
from flycam.model.records import CommuneRecord, Coverage, FrameRecord, FrameStatus, MosaicInfo
from flycam.model.warning import NO_TERRAIN, encode_warning
from flycam.mosaic.terrain import register_dem
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage import keys
from flycam.storage.stores import LocalStore
from flycam.workspace import Workspace
from tests.once import copied_once

LON, LAT = 104.80, 21.90
BASE_ZOOM, MIN_ZOOM = 18, 8
REAL, DRILL = "evt-yagi", "evt-drill"
_CAMERA = InteriorOrientation(
    model=LensModel.BROWN,
    image_size_px=(640, 480),
    focal_length_px=(500.0, 500.0),
    principal_point_px=(319.5, 239.5),
    distortion=(),
    calibration_id="test",
)


@dataclass(frozen=True)
class World:
    """The house and the ids to ask for."""

    workspace: Workspace
    before: str
    after: str
    drill: str

    def mosaic_of(self, flight_id: str) -> MosaicInfo:
        return self.workspace.catalog.tiles.mosaics(flight_id)[0]


def ns(text: str) -> int:
    """UTC nanoseconds of "2024-09-10 03:15"."""
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()) * 10**9


def make_workspace(root: Path) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    return Workspace(
        store=LocalStore(root / "store"),
        catalog=open_catalog(f"sqlite:///{root / 'catalog.sqlite'}"),
        box="test-box",
        cache_dir=root / "cache",
    )


def make_world(root: Path) -> World:
    """A copy of one that was built in this run."""
    before, after, drill = copied_once("world", _ids_of_built, root)
    return World(workspace=make_workspace(root), before=before, after=after, drill=drill)


def _ids_of_built(root: Path) -> tuple[str, str, str]:
    world = build_world(root)
    world.workspace.store.close()
    world.workspace.catalog.close()  # what SQLite has beside its file goes into it
    return world.before, world.after, world.drill


def build_world(root: Path) -> World:
    """Build everything; about two seconds."""
    workspace = make_workspace(root)
    flights = workspace.catalog.flights
    flights.put_event(
        Event(
            event_id=REAL,
            name="Bão số 3 (Yagi)",
            kind=EventKind.STORM,
            is_drill=False,
            risk_level=4,
            starts_ns=ns("2024-09-07 00:00"),
        )
    )
    flights.put_event(
        Event(
            event_id=DRILL,
            name="Diễn tập phòng chống thiên tai 2024",
            kind=EventKind.DRILL,
            is_drill=True,
            starts_ns=ns("2024-10-12 00:00"),
        )
    )
    add_communes(workspace)
    before = add_flight(
        workspace,
        REAL,
        "Thung lũng Nậm Lúc – trước bão",
        "2024-08-20 02:10",
        shift=(0, 0),
        warnings=(encode_warning(NO_TERRAIN),),
        datum="LOCAL",
    )
    after = add_flight(
        workspace,
        REAL,
        "Thung lũng Nậm Lúc – sau bão",
        "2024-09-10 03:15",
        shift=(1, 1),
        storm=True,
        operator="Tổ bay 2",
    )
    drill = add_flight(
        workspace, DRILL, "Diễn tập – tổ bay 1", "2024-10-12 01:00", shift=(0, 0), operator="Tổ bay 1"
    )
    register_dem(workspace, _write_dem(root / "dem.tif"), "EGM96")
    return World(workspace=workspace, before=before, after=after, drill=drill)


def add_account(workspace: Workspace, name: str, role: Role, token: str) -> None:
    workspace.catalog.accounts.put(
        Account(name=name, role=role, token_hash=hash_token(token), created_ns=ns("2024-09-01 00:00"))
    )


def add_flight(
    workspace: Workspace,
    event_id: str,
    name: str,
    began: str,
    *,
    shift: tuple[int, int],
    storm: bool = False,
    operator: str | None = None,
    warnings: tuple[str, ...] = (),
    datum: str = "EGM96",
) -> str:
    """Six photos in two strips, merged by the real writer. Returns the flight's id."""
    centre = lonlat_to_mercator(np.array([[LON, LAT]]))[0]
    x, y = float(centre[0]), float(centre[1])
    first = find_range_for_bounds(BASE_ZOOM, (x, y, x, y))
    shots = []
    for number in range(6):
        column, row = number % 3, number // 3
        tiles = TileRange(
            z=BASE_ZOOM,
            x_start=first.x_start + shift[0] + 2 * column,
            y_start=first.y_start + shift[1] + 2 * row,
            x_stop=first.x_start + shift[0] + 2 * column + 3,
            y_stop=first.y_start + shift[1] + 2 * row + 3,
        )
        photo = _photo_bytes(tiles, storm, f"{name}{number}")
        sha256 = hashlib.sha256(photo).hexdigest()
        workspace.store.put(keys.format_original_key(sha256), photo, durable=True)
        shots.append((tiles, sha256, ns(began) + number * 4 * 10**9))
    ids = [derive_frame_id(sha256) for _, sha256, _ in shots]
    flight_id = derive_flight_id(ids)
    outlines = [_outline(tiles) for tiles, _, _ in shots]
    whole = shapely.union_all(outlines)
    flight = Flight(
        flight_id=flight_id,
        name=name,
        event_id=event_id,
        state=FlightState.READY,
        work_crs="EPSG:32648",
        vertical_datum=datum,
        dem_id="dem",
        gsd_m=0.55,
        first_ns=shots[0][2],
        last_ns=shots[-1][2],
        bounds_lonlat_deg=whole.bounds,
        operator=operator,
        warnings=warnings,
    )
    workspace.catalog.flights.put_flight(flight)
    mosaic = MosaicInfo(
        mosaic_id=f"{flight_id}-colour",
        flight_id=flight_id,
        layer=Layer.COLOUR,
        base_zoom=BASE_ZOOM,
        min_zoom=MIN_ZOOM,
    )
    workspace.catalog.tiles.put_mosaic(mosaic)
    records = []
    with MosaicWriter(
        workspace.store, workspace.catalog.tiles, mosaic, origin=workspace.box, clock_ns=workspace.clock_ns
    ) as writer:
        for number, (tiles, sha256, at_ns) in enumerate(shots):
            records.append(_record(number, flight_id, tiles, sha256, at_ns, outlines[number], datum))
            writer.add(_patch(tiles, records[-1].frame_id, storm))
    records.append(_rejected(flight_id, shots[-1][2] + 4 * 10**9))
    workspace.catalog.frames.put(records)
    _add_coverage(workspace, flight_id, whole, shots[0][2], shots[-1][2])
    return flight_id


def mean_colour_around(lonlat_deg: tuple[float, float], *, storm: bool) -> np.ndarray:
    """Mean ground colour of the 40 m (EPSG:3857) around a place."""
    offsets = np.linspace(-20, 20, 9)
    centre = lonlat_to_mercator(np.array([lonlat_deg]))[0]
    x, y = np.meshgrid(centre[0] + offsets, centre[1] + offsets)
    return colour_at(np.stack([x, y], -1), storm).reshape(-1, 3).mean(0)


def colour_at(mercator: np.ndarray, storm: bool) -> np.ndarray:
    """Ground colour (N×M×3 uint8) at EPSG:3857 metres: fields, forest, road, river, and a scar after it."""
    x, y = mercator[..., 0] - 11666283.0, mercator[..., 1] - 2501443.0
    forest = np.sin(x / 170.0) + np.cos(y / 140.0 + x / 400.0)
    colour = np.where((forest > 0.2)[..., None], [52, 84, 44], [128, 142, 74]).astype(np.float64)
    plots = (np.floor(x / 38) + np.floor(y / 27)) % 3
    colour += np.where((forest <= 0.2)[..., None], (plots * 13)[..., None] * [1.0, 0.7, 0.3], 0.0)
    bend = 120 * np.sin(y / 260.0)
    width = 30 if not storm else 95
    river = np.abs(x - 260 - bend) < width
    colour[river] = [122, 112, 88] if not storm else [146, 112, 74]
    colour[np.abs(x - 420 - bend * 0.7) < 6] = [196, 190, 178]
    fresh = np.zeros(x.shape, bool)
    if storm:
        scar = np.zeros(x.shape, bool)
        for foot, head, middle in (
            (490, 650, -2040),
            (540, 700, -2330),
            (930, 1080, -2150),
            (640, 760, -2480),
        ):
            along = np.clip((x - foot) / (head - foot), 0, 1)
            wide = 16 + 10 * np.sin(np.pi * along) + 4 * np.sin(x / 9)
            scar |= (x > foot) & (x < head) & (np.abs(y - middle - 12 * along) < wide)
        colour[scar] = [168, 118, 78]
        fresh = river | scar
    # what flowed or slid keeps nothing of the grain of what stood there
    u, v = np.where(fresh, x + 5000, x), np.where(fresh, y - 3000, y)
    grain = _noise(u, v, 3.0) * 16 + _noise(u, v, 11.0) * 18 + _noise(u, v, 47.0) * 22
    return np.clip(colour + grain[..., None], 0, 255).astype(np.uint8)


def _noise(x: np.ndarray, y: np.ndarray, cell_m: float) -> np.ndarray:
    value = np.sin(np.floor(x / cell_m) * 12.9898 + np.floor(y / cell_m) * 78.233) * 43758.5453
    return value - np.floor(value) - 0.5


def _quality(tiles: TileRange) -> np.ndarray:
    rows, cols = tiles.shape_px
    r, c = np.mgrid[0:rows, 0:cols]
    u, v = (c - cols / 2) / (cols / 2), (r - rows / 2) / (rows / 2)
    inside = np.abs(u + 0.08 * v) + 0.0 * v < 0.93
    inside &= np.abs(v - 0.08 * u) < 0.9
    return np.where(inside, 60000 * (1 - 0.4 * (u**2 + v**2)), 0).clip(0).astype(np.uint16)


def _patch(tiles: TileRange, frame_id: str, storm: bool) -> OrthoPatch:
    rows, cols = tiles.shape_px
    r, c = np.mgrid[0:rows, 0:cols]
    quality = _quality(tiles)
    rgb = colour_at(compute_pixel_centres(tiles, r, c), storm)
    rgb[quality == 0] = 0
    return OrthoPatch(
        tiles=tiles, rgb=rgb, quality=quality, frame_id=frame_id, exterior_version=0, dem_id="dem"
    )


def _photo_bytes(tiles: TileRange, storm: bool, salt: str) -> bytes:
    r, c = np.mgrid[0 : tiles.shape_px[0] : 2, 0 : tiles.shape_px[1] : 2]
    picture = cv2.resize(colour_at(compute_pixel_centres(tiles, r, c), storm), _CAMERA.image_size_px)
    jpeg = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
    return jpeg + salt.encode()  # bytes after the end marker keep every photo its own


def _outline(tiles: TileRange) -> shapely.Polygon:
    west, south, east, north = get_range_bounds(tiles)
    inset = 0.06 * (east - west)
    corners = np.array(
        [
            [west + inset, south + inset],
            [east - inset, south + inset],
            [east - inset, north - inset],
            [west + inset, north - inset],
        ]
    )
    return shapely.Polygon(mercator_to_lonlat(corners))


def _record(
    number: int,
    flight_id: str,
    tiles: TileRange,
    sha256: str,
    at_ns: int,
    outline: shapely.Polygon,
    datum: str = "EGM96",
) -> FrameRecord:
    middle = outline.centroid
    x, y = to_work(np.array([[middle.x, middle.y]]), "EPSG:32648")[0].tolist()
    pose = ExteriorOrientation(
        projection_centre_m=(x, y, 620.0),
        rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
        work_crs="EPSG:32648",
        vertical_datum=datum,
        sigma_position_m=(1.5, 1.5, 3.0),
        sigma_attitude_rad=(0.01, 0.01, 0.02),
        source=PoseSource.GNSS,
    )
    header = FrameHeader(
        frame_id=derive_frame_id(sha256),
        captured_ns=at_ns,
        layer=Layer.COLOUR,
        interior=_CAMERA,
        exterior_prior=pose,
        provenance=Provenance(
            source_name=f"DJI_{number + 1:04d}.JPG",
            source_sha256=sha256,
            camera="DJI FC6310",
            settled=("Giờ máy ảnh hiểu là UTC+7.",) if number == 0 else (),
        ),
    )
    return FrameRecord(
        header=header,
        flight_id=flight_id,
        status=FrameStatus.USED,
        exterior=pose,
        dem_id="dem",
        footprint_wkb=shapely.to_wkb(outline),
        gsd_m=0.52 + 0.01 * number,
        tiles=tiles,
    )


def _rejected(flight_id: str, at_ns: int) -> FrameRecord:
    good = _record(
        9,
        flight_id,
        TileRange(z=1, x_start=0, y_start=0, x_stop=1, y_stop=1),
        hashlib.sha256(flight_id.encode()).hexdigest(),
        at_ns,
        shapely.Point(LON, LAT).buffer(0.001),
    )
    return FrameRecord(
        header=good.header,
        flight_id=flight_id,
        status=FrameStatus.REJECTED,
        reason="too_blurred",
        message="DJI_0010.JPG: blurred",
    )


def add_communes(workspace: Workspace) -> None:
    dlon, dlat = 0.006, 0.004
    names = ["Nậm Lúc", "Bản Liền", "Mường Đăng", "Phường Đông Cuông"]
    communes = []
    for i, name in enumerate(names):
        west, south = LON - dlon + 2 * dlon * (i % 2), LAT - 2.2 * dlat + 2 * dlat * (i // 2)
        shape = shapely.box(west, south, west + 2 * dlon, south + 2 * dlat)
        communes.append(
            CommuneRecord(
                code=f"9900{i}",
                name=name,
                valid_from=date(2024, 7, 1),
                wkb=shapely.to_wkb(shape),
                area_m2=1.1e6,
            )
        )
    workspace.catalog.boundaries.put_communes(communes)


def _add_coverage(
    workspace: Workspace, flight_id: str, whole: shapely.Polygon, first_ns: int, last_ns: int
) -> None:
    rows = []
    for commune in workspace.catalog.boundaries.communes():
        shape = shapely.from_wkb(commune.wkb)
        share = shape.intersection(whole).area / shape.area
        if share > 0:
            rows.append(
                Coverage(
                    flight_id=flight_id,
                    commune_code=commune.code,
                    covered_m2=share * commune.area_m2,
                    covered_pct=100 * share,
                    gsd_m=0.55,
                    first_ns=first_ns,
                    last_ns=last_ns,
                )
            )
    workspace.catalog.boundaries.put_coverage(flight_id, rows)


def write_valley(path: Path) -> Path:
    """Terrain in which the painted river runs along the bottom: level beside it, 25 degrees beyond."""
    east, north = np.meshgrid(np.linspace(-600, 2200, 560), np.linspace(600, -3000, 720))
    off = np.abs(east - 260 - 120 * np.sin(north / 260.0))
    banks = 2.5 * np.clip((off - 28) / 12, 0, 1) + 0.015 * off + 0.3 * np.sin(east / 17) * np.sin(north / 23)
    heights = 400 + banks + 0.45 * np.maximum(off - 110, 0) + north / 500
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=560,
        height=720,
        count=1,
        dtype="float32",
        crs="EPSG:3857",
        transform=from_origin(11666283.0 - 600, 2501443.0 + 600, 5.0, 5.0),
    ) as out:
        out.write(heights.astype("float32"), 1)
    return path


def _write_dem(path: Path) -> Path:
    east, north = np.meshgrid(np.linspace(-1, 1, 400), np.linspace(1, -1, 400))
    heights = (
        500
        + 320 * np.sin(4 * east) * np.cos(3 * north)
        + 110 * np.sin(29 * east + 17 * north) * np.cos(37 * north)
    )
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=400,
        height=400,
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=from_origin(LON - 0.1, LAT + 0.1, 0.0005, 0.0005),
    ) as out:
        out.write(heights.astype("float32"), 1)
    return path


def pixel_side_m() -> float:
    return compute_ground_pixel_m(BASE_ZOOM, LAT)


def rescue_asked(mark_id: str, place: tuple[float, float], note: str = "") -> MarkEdit:
    """Somebody to be rescued there, as it is first asked to be marked."""
    return MarkEdit(
        mark_id=mark_id,
        based_on=0,
        event_id=REAL,
        kind=MarkKind.RESCUE,
        status=MarkStatus.OPEN,
        note=note,
        places=[place],
    )


def stream_into(world: World, flight_id: str) -> None:
    """One more frame of a flight, its newest: a picture of a stream, of which nothing is laid."""
    frames = world.workspace.catalog.frames
    newest = max(frames.list_for_flight(flight_id), key=lambda one: one.header.captured_ns)
    name = format_video_frame_name(format_stream_name(newest.header.captured_ns), 4_000_000_000)
    provenance = replace(newest.header.provenance, source_name=name, camera=VIDEO_CAMERA)
    header = replace(
        newest.header,
        frame_id=derive_frame_id(name),
        captured_ns=newest.header.captured_ns + 10**9,
        provenance=provenance,
    )
    frames.put(
        [replace(newest, header=header, status=FrameStatus.REJECTED, reason="too_blurred", exterior=None)]
    )
