"""A house whose restricted ground has a colour of its own: where it shows in an answer, a door leaks.

Ground inside the barracks is magenta in tiles, photos, the clipped map, the photo of a mark and what an
aircraft saw last; its recorded video holds a word. No other ground is magenta.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import shapely
from PIL import Image

from flycam.board.marks import add_mark_photo, write_mark
from flycam.catalog.flights import VideoSegment
from flycam.geodata.crs import to_work
from flycam.geodata.raster import write_cog
from flycam.geometry.grid import lonlat_to_mercator
from flycam.model.access import ACCOUNT_ROLES
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.ingest.live.test_live_flights import TOLD
from tests.ingest.live.test_video import keep_piece
from tests.once import copied_once
from tests.serve import world as worlds
from tests.serve.offering import Built, Offering, build_offering, closed, offering_at
from tests.serve.world import LAT, LON, World, add_account, rescue_asked

WORD = b"what the camera saw over the barracks"
MARK = "mark-5ec4e700"
TOKENS = {role: f"secret-{role.value}" for role in ACCOUNT_ROLES}
BARRACKS = shapely.Polygon(
    [
        (LON + 0.0008, LAT - 0.0009),
        (LON + 0.0021, LAT - 0.0007),
        (LON + 0.0018, LAT + 0.0004),
        (LON + 0.001, LAT),
    ]
)
"""Within both flights of the event, off the tile grid."""


@dataclass(frozen=True)
class Secret:
    """The house; `piece` is of the video of the flight that `offering` shows."""

    offering: Offering
    piece: VideoSegment

    @property
    def workspace(self) -> Workspace:
        return self.offering.workspace

    @property
    def world(self) -> World:
        return self.offering.world


def make_secret(root: Path) -> Secret:
    """A copy of one that was built in this run, its aircraft seen just now; nothing is restricted yet."""
    offering = offering_at(root, copied_once("secret", _build, root))
    return Secret(offering, _film(offering))


def build_secret(root: Path, workspace: Workspace) -> Secret:
    """One in a store and a catalogue of the caller's."""
    with patch.object(worlds, "make_workspace", lambda _root: workspace):
        return Secret(offering := _build_open(root), _film(offering))


def _build(root: Path) -> Built:
    return closed(_build_open(root))


def _build_open(root: Path) -> Offering:
    with _painted():
        offering = build_offering(root, worlds.build_world)
    for role, token in TOKENS.items():
        add_account(offering.workspace, f"người {role.value}", role, token)
    _clip(offering, root)
    _mark(offering.workspace)
    return offering


def shows_secret(body: bytes) -> bool:
    """Whether any of the barracks is in an answer: as a picture of any kind, in an archive, or as video."""
    if WORD in body:
        return True
    if body[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return any(shows_secret(archive.read(name)) for name in archive.namelist())
    picture = _decoded(body)
    return picture is not None and bool(is_magenta(picture).any())


def is_magenta(rgb: np.ndarray) -> np.ndarray:
    """H×W, where colours are magenta, darkened or not, whether or not they are to be seen."""
    red, green, blue = (rgb[..., band].astype(int) for band in range(3))
    return (np.minimum(red, blue) > 40) & (green * 2 < np.minimum(red, blue))


def _decoded(body: bytes) -> np.ndarray | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(body))
            return np.asarray(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGBA"))
    except OSError:  # no picture
        return None


@contextmanager
def _painted() -> Iterator[None]:
    """The ground's colour with the barracks in it."""
    plain = worlds.colour_at
    ground = shapely.transform(BARRACKS, lonlat_to_mercator)

    def painted(mercator: np.ndarray, storm: bool) -> np.ndarray:
        colour = plain(mercator, storm)
        colour[shapely.contains_xy(ground, mercator[..., 0], mercator[..., 1])] = (255, 0, 255)
        return colour

    with patch.object(worlds, "colour_at", painted):
        yield


def _magenta_jpeg() -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), (255, 0, 255), np.uint8))[1].tobytes()


def _clip(offering: Offering, root: Path) -> None:
    """A magenta clipped map in place of the other."""
    catalog, path = offering.workspace.catalog, root / "secret.tif"
    ((west, north),) = to_work(np.array([[LON, LAT]]), "EPSG:32648").tolist()
    rgb = np.full((64, 96, 3), (255, 0, 255), np.uint8)
    write_cog(path, rgb, np.full((64, 96), 255, np.uint8), (1.0, 0.0, west, 0.0, -1.0, north), "EPSG:32648")
    key = keys.format_product_key(offering.mosaic, 2, "99000.tif", "fedcba9876543210")
    offering.workspace.store.put(key, path.read_bytes())
    flight_id = offering.world.after
    covered = [
        replace(one, clip_key=key if one.commune_code == "99000" else None)
        for one in catalog.boundaries.coverage(flight_id)
    ]
    catalog.boundaries.put_coverage(flight_id, covered)


def _mark(workspace: Workspace) -> None:
    middle = BARRACKS.centroid
    asked = rescue_asked(MARK, (middle.x, middle.y))
    write_mark(workspace, asked, "Lan")
    add_mark_photo(workspace, MARK, 1, _magenta_jpeg(), "Lan")


def _film(offering: Offering) -> VideoSegment:
    """A piece of video of the flight, which is in the air still and has just seen the barracks."""
    world, workspace = offering.world, offering.workspace
    now_ns = workspace.clock_ns()
    key = keys.format_latest_image_key(world.after, now_ns)
    workspace.store.put(key, _magenta_jpeg())
    told = replace(TOLD, flight_id=world.after, told_ns=now_ns, picture_key=key, picture_ns=now_ns)
    workspace.catalog.airborne.put(told)
    return keep_piece(world, world.after, now_ns, WORD * 1000)
