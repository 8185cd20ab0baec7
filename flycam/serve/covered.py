"""Photos as they go to those from whom redaction masks hold: pixels alone, with the masks burnt in.

What else the file holds (its own thumbnail, positions, a second picture behind the first) may show what the
mask covers, and is left out. What cannot be covered is not handed out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import FrameRecord
from flycam.errors import FrameUnreadable, ObjectMissing, TileCorrupt
from flycam.geodata.crs import to_work
from flycam.geometry.burning import burn
from flycam.geometry.seen_ground import lattice_of
from flycam.pipeline.redacting import WIDENED_BY_SIGMAS
from flycam.serve.door import Visitor
from flycam.serve.grounds import Grounds
from flycam.serve.offered import withheld_from
from flycam.store import keys

Pixels = NDArray[np.uint8]

COVERED_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization, Cookie",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of a photo with masks burnt in: a browser asks anew each time, for masks come and go."""

_PREVIEW_SIDE_PX = 720
_LARGE_PX = 2000
_AS_IN_THE_FILE = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_REDUCED = cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION
_ORIGINAL_QUALITY, _PREVIEW_QUALITY = 92, 78
_AT_ONCE = threading.BoundedSemaphore(2)  # a photo of 48 megapixels takes 300 MB while it is covered


@dataclass(frozen=True, slots=True)
class Covering:
    """What is burnt into a photo: polygons (shares of width and height), and cells over the picture."""

    polygons: tuple[NDArray[np.float64], ...]
    cells: NDArray[np.bool_] | None


def covering_of(frame: FrameRecord, grounds: Grounds, visitor: Visitor) -> Covering | None:
    """What masks hold of a photo from a visitor; None: nothing.

    Its own masks as they were drawn, and the ground that masks on other photos show, as far as this one shows
    it. Raises AccessDenied where nobody can say which part of it that is.
    """
    sees = visitor.withholding
    size = np.asarray(frame.header.interior.image_size_px, dtype=np.float64)
    polygons = tuple(
        shapely.get_coordinates(shapely.from_wkb(one)) / size for one in sees.masks_on(frame.frame_id)
    )
    beside = sees.masked_beside(frame.frame_id, frame.footprint_wkb)
    cells = None if beside is None else _cells_showing(frame, beside, grounds, visitor)
    if not polygons and (cells is None or not cells.any()):
        return None
    return Covering(polygons, cells)


def covered_jpeg(data: bytes, frame: FrameRecord, covering: Covering) -> bytes:
    """A photo at its full size as a JPEG, covered. FrameUnreadable for what is no picture to OpenCV."""
    with _AT_ONCE:
        picture = _decoded(data, _AS_IN_THE_FILE)
        if picture is None:
            raise _cannot_be_covered(frame)
        return _jpeg(burn(picture, covering.polygons, covering.cells), _ORIGINAL_QUALITY)


def preview_jpeg(data: bytes, frame: FrameRecord, covering: Covering | None) -> bytes:
    """A photo reduced to a small JPEG, covered. Raises FrameUnreadable for what is no picture to OpenCV."""
    is_large = max(frame.header.interior.image_size_px) > _LARGE_PX
    picture = _decoded(data, _REDUCED) if is_large else None
    if picture is None:
        picture = _decoded(data, _AS_IN_THE_FILE)
    if picture is None:
        raise _no_preview(frame)
    scale = min(1.0, _PREVIEW_SIDE_PX / max(picture.shape[:2]))
    if scale < 1:
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = small.astype(np.uint8, copy=False)
    if covering is not None:
        picture = burn(picture, covering.polygons, covering.cells)
    return _jpeg(picture, _PREVIEW_QUALITY)


def _cells_showing(
    frame: FrameRecord, ground: BaseGeometry, grounds: Grounds, visitor: Visitor
) -> NDArray[np.bool_]:
    """Cells of a photo that may show some ground (lon/lat): by where their corners lie, as far as that may be
    off."""
    if frame.exterior is None or frame.dem_id is None:
        raise withheld_from(frame.header.provenance.source_name, visitor.name)
    try:
        terrain = grounds.grid(keys.terrain(frame.dem_id))
    except (ObjectMissing, TileCorrupt) as error:
        raise withheld_from(frame.header.provenance.source_name, visitor.name) from error
    work_crs = frame.exterior.work_crs
    lattice = lattice_of(frame.header.interior, frame.exterior, terrain)
    wanted = shapely.transform(ground, lambda lonlat: to_work(lonlat, work_crs))
    shapely.prepare(wanted)
    corners = np.stack([_corner(lattice.points_m[..., :2], dy, dx) for dy in (0, 1) for dx in (0, 1)], axis=2)
    errors = np.stack([_corner(lattice.error_m, dy, dx) for dy in (0, 1) for dx in (0, 1)], axis=2)
    met = np.isfinite(errors)
    cells = np.zeros(lattice.shape, dtype=np.bool_)
    rows, columns = np.nonzero(met.any(axis=2))
    if not rows.size:
        raise withheld_from(frame.header.provenance.source_name, visitor.name)
    some = [corners[row, column][met[row, column]] for row, column in zip(rows, columns, strict=True)]
    hulls = shapely.convex_hull([shapely.MultiPoint(one) for one in some])
    reach_m = WIDENED_BY_SIGMAS * np.nanmax(errors[rows, columns], axis=1)
    cells[rows, columns] = shapely.distance(hulls, wanted) <= reach_m
    return cells


def _corner(values: NDArray[np.float64], down: int, right: int) -> NDArray[np.float64]:
    """Of each cell the value at one of its corners."""
    rows, columns = values.shape[0] - 1, values.shape[1] - 1
    return values[down : down + rows, right : right + columns]


def _decoded(data: bytes, flags: int) -> Pixels | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if picture is None else picture.astype(np.uint8, copy=False)


def _jpeg(picture: Pixels, quality: int) -> bytes:
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return jpeg.tobytes()


def _no_preview(frame: FrameRecord) -> FrameUnreadable:
    name = frame.header.provenance.source_name
    return FrameUnreadable(
        f"{name}: no preview can be made; open the original",
        vi=f"{name}: không làm được ảnh thu nhỏ; hãy mở ảnh gốc",
    )


def _cannot_be_covered(frame: FrameRecord) -> FrameUnreadable:
    name = frame.header.provenance.source_name
    return FrameUnreadable(
        f"{name}: a part of this photo is masked, and this kind of file cannot be covered; ask an analyst",
        vi=f"{name}: ảnh này có vùng bị che mà loại tệp này không che được; hãy hỏi người phân tích",
    )
