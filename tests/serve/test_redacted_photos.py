"""Photos with masks burnt in: by cameras that look straight down on a plane, where all is arithmetic."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
from PIL import Image

from flycam.access.photo_ground import PhotoGround
from flycam.access.policy import REDACTION_MARGIN_M, AccessPolicy, RedactedGround
from flycam.catalog.flights import to_placement
from flycam.errors import AccessDenied, FrameUnreadable
from flycam.geodata.crs import to_lonlat
from flycam.geometry.camera import project
from flycam.geometry.footprint import project_image_grid
from flycam.http.guards import Principal
from flycam.model.access import Account, Role
from flycam.model.records import FrameRecord
from flycam.mosaic.orthorectify.rectification import project_frame
from flycam.mosaic.terrain_codec import TerrainCache, assign_content_id, encode_terrain
from flycam.serve.pixels import FILL_GREY, encode_preview_jpeg, encode_redacted_jpeg, find_photo_redaction
from flycam.storage import keys
from flycam.storage.stores import MemoryStore
from tests.geometry.test_monoplotting import CAMERA, EAST, HEIGHT, NORTH, PLANE, pose
from tests.suites.catalog_suite import frame

TERRAIN = assign_content_id(PLANE)
SQUARE = shapely.to_wkb(shapely.box(300, 200, 340, 260))
VIEWER = Account(name="x", role=Role.VIEWER, token_hash="x", created_ns=0)


def lonlat_box(west_m: float, south_m: float, east_m: float, north_m: float) -> shapely.Geometry:
    """A rectangle by metres from the point below the camera."""
    ground = shapely.box(EAST + west_m, NORTH + south_m, EAST + east_m, NORTH + north_m)
    return shapely.transform(ground, lambda xy: to_lonlat(xy, "EPSG:32648"))


def photo(number: int = 1) -> FrameRecord:
    half = np.array(CAMERA.image_size_px) / 2 * HEIGHT / 500.0
    one = frame(number)
    return replace(
        one,
        header=replace(one.header, interior=CAMERA),
        exterior=pose(sigma_m=0.5),
        dem_id=TERRAIN.dem_id,
        footprint_wkb=shapely.to_wkb(lonlat_box(-half[0], -half[1], half[0], half[1])),
    )


def grounds() -> TerrainCache:
    store = MemoryStore()
    store.put(keys.format_terrain_key(TERRAIN.dem_id), encode_terrain(TERRAIN))
    return TerrainCache(store)


def ground_of(frame: FrameRecord) -> PhotoGround:
    placements = () if frame.exterior is None else (to_placement(frame),)
    return PhotoGround(placements=placements, box=None)


def viewer(masks: RedactedGround) -> Principal:
    return Principal(VIEWER, AccessPolicy(masks=masks))


def picture() -> np.ndarray:
    """Dark noise, nowhere as grey as what is painted over, however a JPEG blurs it."""
    return np.random.default_rng(3).integers(0, 60, (480, 640, 3)).astype(np.uint8)


def is_grey(jpeg: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return (np.abs(pixels.astype(int) - FILL_GREY) <= 32).all(axis=-1)


def png() -> bytes:
    return cv2.imencode(".png", picture())[1].tobytes()


def test_a_photos_own_mask_is_burnt_in_as_it_was_drawn_and_nothing_else() -> None:
    own = photo()
    near = shapely.to_wkb(lonlat_box(-60, -45, 60, 45))
    covering = find_photo_redaction(
        own,
        ground_of(own),
        grounds(),
        viewer(RedactedGround({own.frame_id: (SQUARE,)}, ((own.frame_id, near),))),
    )
    assert covering is not None and covering.cells is None
    grey = is_grey(encode_redacted_jpeg(png(), own, covering))
    assert grey[202:258, 302:338].all()
    grey[190:270, 290:350] = False
    assert not grey.any()
    assert is_grey(encode_preview_jpeg(png(), own, covering))[205:255, 305:335].all()


def test_ground_masked_on_another_photo_is_burnt_in_where_this_one_shows_it() -> None:
    other = photo(2)
    home = (10.0, 5.0, 20.0, 12.0)  # 50 to 100 pixels right of the middle, 25 to 60 above it
    masks = RedactedGround({"p": (SQUARE,)}, (("p", shapely.to_wkb(lonlat_box(*home))),))
    covering = find_photo_redaction(other, ground_of(other), grounds(), viewer(masks))
    assert covering is not None and covering.polygons == ()
    grey = is_grey(encode_redacted_jpeg(png(), other, covering))
    assert grey[180:215, 370:420].all()
    # a cell or two of 6.7 pixels beside
    assert not grey[:, :340].any() and not grey[:, 450:].any()
    assert not grey[:150].any() and not grey[245:].any()


def test_where_nobody_can_say_which_part_it_is_the_photo_is_withheld() -> None:
    near = shapely.to_wkb(lonlat_box(0, 0, 5, 5))
    who = viewer(RedactedGround({"p": (SQUARE,)}, (("p", near),)))
    for lost in (replace(photo(2), dem_id="0" * 24), replace(photo(2), exterior=None)):
        with pytest.raises(AccessDenied, match="withheld"):
            find_photo_redaction(lost, ground_of(lost), grounds(), who)


def test_a_file_that_cannot_be_covered_is_not_handed_out() -> None:
    own = photo()
    covering = find_photo_redaction(
        own, ground_of(own), grounds(), viewer(RedactedGround({own.frame_id: (SQUARE,)}, ()))
    )
    assert covering is not None
    for make in (encode_redacted_jpeg, encode_preview_jpeg):
        with pytest.raises(FrameUnreadable):
            make(b"no picture", own, covering)


def facing(down_deg: float) -> np.ndarray:
    """Rows right, down, forward of a camera that looks north, so far below the horizon."""
    tilt = np.radians(down_deg)
    return np.array(
        [
            [1.0, 0.0, 0.0],
            [0.0, -np.sin(tilt), -np.cos(tilt)],
            [0.0, np.cos(tilt), -np.sin(tilt)],
        ]
    )


def test_what_stands_on_masked_ground_is_covered_before_the_sky_and_the_rest_of_the_sky_is_not() -> None:
    far = lonlat_box(-2000, 200, 2000, 1000)
    other = replace(photo(2), exterior=pose(0.5, facing(20.0)), footprint_wkb=shapely.to_wkb(far))
    around = REDACTION_MARGIN_M
    ground = lonlat_box(-6 - around, 975 - around, 6 + around, 985 + around)  # rays end at 1000 m
    home = shapely.to_wkb(ground)
    covering = find_photo_redaction(
        other, ground_of(other), grounds(), viewer(RedactedGround({"p": (SQUARE,)}, (("p", home),)))
    )
    assert covering is not None and covering.cells is not None
    cells = covering.cells
    met = np.isfinite(project_image_grid(CAMERA, pose(0.5, facing(20.0)), TERRAIN)[..., 0])
    sees_ground = met[1:, :-1] | met[1:, 1:] | met[:-1, :-1] | met[:-1, 1:]
    horizon = int(np.nonzero(sees_ground.any(axis=1))[0][0])
    assert horizon > 10, "there is sky in it"
    at = np.nonzero(cells[horizon])[0]
    assert at.size and cells[horizon - 1, at].all(), "the roof before the sky"
    assert not cells[: horizon - 3].any(), "the sky"
    assert cells.mean() < 0.03


def test_a_home_just_beyond_what_is_mapped_is_covered_along_the_rays_that_go_over_it() -> None:
    """The leak: no ray meets the ground there, so no cell and no neighbour of one said that it is shown."""
    ahead = pose(0.5, facing(40.0))
    far = lonlat_box(-100, 30, 100, 400)
    other = replace(photo(2), exterior=ahead, footprint_wkb=shapely.to_wkb(far))
    step_m = 50.0
    posts = np.zeros((81, 81), np.float32)
    posts[:38] = np.nan  # north of 100 m
    edge_m = 2000.0 - 38 * step_m
    grid = replace(
        PLANE, heights_m=posts, origin_m=(EAST - 2e3, NORTH + 2e3), post_spacing_m=(step_m, step_m)
    )
    cut = assign_content_id(grid)
    store = MemoryStore()
    store.put(keys.format_terrain_key(cut.dem_id), encode_terrain(cut))
    other = replace(other, dem_id=cut.dem_id)
    home = shapely.to_wkb(lonlat_box(-5, edge_m + 30, 5, edge_m + 40))
    covering = find_photo_redaction(
        other, ground_of(other), TerrainCache(store), viewer(RedactedGround({"p": (SQUARE,)}, (("p", home),)))
    )
    assert covering is not None and covering.cells is not None
    rows, columns = covering.cells.shape
    block = np.array([[EAST, NORTH + edge_m + 35.0, up] for up in (0.0, 6.0)])
    at = project(CAMERA, ahead, block)[0]
    for x, y in (at + 0.5) / CAMERA.image_size_px * (columns, rows):
        assert covering.cells[int(y), int(x)]
    assert not covering.cells[:, : columns // 3].any() and covering.cells.mean() < 0.15


def test_a_home_beyond_what_is_mapped_of_an_oblique_photo_is_covered_where_it_is_seen() -> None:
    """Mapping ends at 4 × the distance to the nearest ground, here 500 m; the photo shows 1000."""
    ahead = pose(0.5, facing(30.0))
    seen = project_frame(replace(photo(2).header, exterior_prior=ahead), TERRAIN)
    other = replace(photo(2), exterior=ahead, footprint_wkb=shapely.to_wkb(seen.outline_lonlat))
    around = REDACTION_MARGIN_M
    home = shapely.to_wkb(lonlat_box(-6 - around, 795 - around, 6 + around, 805 + around))
    covering = find_photo_redaction(
        other, ground_of(other), grounds(), viewer(RedactedGround({"p": (SQUARE,)}, (("p", home),)))
    )
    assert covering is not None and covering.cells is not None
    rows, columns = covering.cells.shape
    at = project(CAMERA, ahead, np.array([[EAST, NORTH + 800.0, 0.0]]))[0]
    for x, y in (at + 0.5) / CAMERA.image_size_px * (columns, rows):
        assert covering.cells[int(y), int(x)]


def test_no_original_of_more_pixels_than_a_photo_has_is_decoded_for_a_preview(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(large, "PNG")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was given to the decoder"))
    with pytest.raises(FrameUnreadable):
        encode_preview_jpeg(large.getvalue(), photo(), None)


def test_no_more_than_two_photos_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many a viewer asks for: a PNG is decoded whole, into 480 MB."""
    decode, lock, now, most = cv2.imdecode, threading.Lock(), 0, 0

    def counted(data: np.ndarray, flags: int) -> np.ndarray:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return decode(data, flags)

    monkeypatch.setattr(cv2, "imdecode", counted)
    data = png()
    with ThreadPoolExecutor(8) as pool:
        previews = list(pool.map(lambda _: encode_preview_jpeg(data, photo(), None), range(8)))
    assert len(set(previews)) == 1 and most <= 2
