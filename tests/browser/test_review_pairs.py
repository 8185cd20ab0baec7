"""Over which two pictures a candidate is shown, and what is said where the map has not both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from playwright.sync_api import Page, expect
from rasterio.transform import from_bounds
from rasterio.warp import transform_bounds

from flycam.catalog.changes import format_file_reference
from flycam.geodata.raster import compute_raster_digest
from flycam.model.board import ChangeAction, ChangeStatus
from flycam.model.flight import Event, EventKind
from tests.browser.conftest import House, OpenPage
from tests.browser.pages import box_of
from tests.browser.test_changes import NAMES, Review, enter, reviewing, with_candidates
from tests.browser.words import words
from tests.serve.world import LAT, LON, REAL, add_flight, ns

pytestmark = pytest.mark.browser

OTHER, NEITHER = "change-00000002", "change-00000003"


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    """Three candidates: of two flights, of a picture and a flight, of two pictures."""
    world = with_candidates(tmp_path / "world")
    changes = world.workspace.catalog.changes
    pictures = {
        OTHER: {"before_shown": "truoc ~1.tif"},
        NEITHER: {"before_shown": "a.tif", "after_shown": "b.tif"},
    }
    changes.append(
        [
            replace(changes.history(name)[-1], version=2, step_id=name, **shown)
            for name, shown in pictures.items()
        ]
    )
    with reviewing(world) as served:
        yield served


def test_a_candidate_against_a_picture_is_not_shown_over_the_pair_before(
    open_page: OpenPage, review: Review
) -> None:
    page = enter(open_page, review)
    before, after = (page.locator(f".compared.{which} .compared-caption") for which in ("before", "after"))
    gone = "không có trên bản đồ này"
    missing = page.locator(".review-missing")
    expect(missing).to_have_count(0)
    share = page.locator(".swipe-handle").get_attribute("aria-valuenow")
    page.locator(f'[data-kept="{OTHER}"]').click()
    expect(before).to_contain_text("truoc ~1.tif")
    expect(before).to_contain_text(gone)
    expect(after).not_to_contain_text(gone)
    expect(missing).to_contain_text("truoc ~1.tif")
    assert page.locator(".swipe-handle").get_attribute("aria-valuenow") == "0", "all of the picture there is"
    assert "@0" not in page.locator(".review").inner_text()
    page.reload()  # the link says the same, and the review is open on the same change
    expect(before).to_contain_text("truoc ~1.tif")
    expect(page.locator(f'[data-change="{OTHER}"]')).to_have_attribute("aria-current", "true")
    page.locator(f'[data-kept="{NEITHER}"]').click()
    for caption, name in ((before, "a.tif"), (after, "b.tif")):
        expect(caption).to_contain_text(name)
        expect(missing).to_contain_text(name)
    page.locator(f'[data-kept="{NAMES[0]}"]').click()
    expect(missing).to_have_count(0)
    expect(before).not_to_contain_text(gone)
    expect(page.locator(".swipe-handle")).to_have_attribute("aria-valuenow", share or "")


def test_a_place_that_another_pair_decided_on_says_so(open_page: OpenPage, review: Review) -> None:
    changes = review.workspace.catalog.changes
    decided, waiting = changes.history(NAMES[0])[-1], changes.history(OTHER)[-1]
    accepted = replace(
        decided,
        version=2,
        step_id="theirs",
        action=ChangeAction.ACCEPT,
        status=ChangeStatus.ACCEPTED,
        author="Minh",
        at_ns=ns("2024-09-11 02:30"),
    )
    again = replace(
        waiting, version=3, step_id="again", wkb=decided.wkb, bounds_lonlat_deg=decided.bounds_lonlat_deg
    )
    changes.append([accepted, again])
    page = enter(open_page, review)
    row = page.locator(f'[data-change="{OTHER}"]')
    expect(row).to_contain_text("đã có xác nhận ngày 11/09/2024")
    page.locator(f'[data-kept="{OTHER}"]').click()
    said = page.locator(".review-note", has=page.locator(f'[data-kept="beside-{NAMES[0]}"]'))
    expect(said).to_contain_text("Minh")
    expect(said).to_contain_text("11/09/2024 09:30")
    expect(said).to_contain_text("20/08 09:10 → 10/09/2024 10:15")
    said.locator("button").click()
    expect(page.locator(f'[data-change="{NAMES[0]}"]')).to_have_attribute("aria-current", "true")
    expect(said).to_have_count(0)


def test_nothing_is_drawn_over_pictures_of_another_event_and_why_is_said(
    open_page: OpenPage, house: House
) -> None:
    """The server would refuse it: the page does not let it be drawn first."""
    world = house.world
    older = Event(event_id="evt-old", name="Bão số 2", kind=EventKind.STORM, is_drill=False)
    world.workspace.catalog.flights.put_event(older)
    one, other = (
        add_flight(world.workspace, older.event_id, name, began, shift=(0, 0))
        for name, began in (
            ("Tổ bay cũ – sáng", "2024-07-01 01:00"),
            ("Tổ bay cũ – chiều", "2024-07-01 08:00"),
        )
    )
    page = open_page(link=f"lang=vi&event={REAL}&review=list&cmp=swipe~{one}~{other}~50", url=house.url)
    draw, why = page.locator('.review [data-kept="draw"]'), page.locator(".review .review-note")
    expect(draw).to_be_disabled()
    expect(why.filter(has_text=words("changes.drawnElsewhere"))).to_contain_text("Tổ bay cũ – sáng")
    page.keyboard.press("n")
    expect(page.locator('.review [data-kept="save"]')).to_have_count(0)
    for side, flight in (("before", world.before), ("after", world.after)):
        page.locator(f".compare-choice.{side} select").select_option(flight)
    expect(draw).to_be_enabled()
    expect(why.filter(has_text=words("changes.drawnElsewhere"))).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator('.review [data-kept="save"]')).to_have_count(1)


def _filled(path: Path, crs: str, colour: tuple[int, int, int], scale: int = 1, **profile: object) -> Path:
    """A GeoTIFF of one colour around the candidates, a kilometre wide."""
    # the one of 16 bits is larger than what is hashed at a time
    dtype, side = ("uint8", 512) if scale == 1 else ("uint16", 2048)
    around = (LON - 0.01, LAT - 0.01, LON + 0.01, LAT + 0.01)
    bounds = transform_bounds("EPSG:4326", crs, *around)
    path.parent.mkdir(exist_ok=True)
    # what is told by its own colours is stretched between them: some of each
    pixels = np.full((3, side, side), 40 * scale, dtype)
    pixels += (np.array(colour) * scale).astype(dtype)[:, None, None]
    pixels[:, ::64] = 250 * scale
    pixels[:, 1::64] = 10 * scale
    shape = {"width": side, "height": side, "count": 3, "dtype": dtype}
    placed = {"crs": crs, "transform": from_bounds(*bounds, side, side)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **placed, **profile) as file:
        file.write(pixels)
    return path


JPEG = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 256, "blockysize": 256}


def test_pictures_in_files_are_seen_by_whoever_opens_them(
    open_page: OpenPage, review: Review, tmp_path: Path
) -> None:
    """Two GeoTIFFs were reviewed over hillshade alone. The very files are asked for, and sent nowhere."""
    files = [
        _filled(tmp_path / "ngày 1" / "odm.tif", "EPSG:32648", (150, 0, 0), **JPEG),
        _filled(tmp_path / "ngày 2" / "odm.tif", "EPSG:4326", (0, 0, 150), 200),
        _filled(tmp_path / "ngày 3" / "odm.tif", "EPSG:3405", (0, 90, 0)),
    ]
    before, after, strange = (
        format_file_reference(one.name, compute_raster_digest(one), one.parent.name) for one in files
    )
    changes = review.workspace.catalog.changes
    for name, shown in ((NEITHER, before), (OTHER, strange)):
        pair = {"before_shown": shown, "after_shown": after}
        changes.append([replace(changes.history(name)[-1], version=3, step_id=f"of-{name}", **pair)])
    page = enter(open_page, review)
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.method))

    def open_file(name: str, path: Path) -> None:
        with page.expect_file_chooser() as chooser:
            page.locator(f'[data-kept="open {name}"]').click()
        chooser.value.set_files(path)

    page.locator(f'[data-kept="{NEITHER}"]').click()
    missing, trouble = page.locator(".review-missing"), page.locator(".review-trouble")
    expect(missing).to_contain_text("hãy mở tệp ấy")
    open_file(before, files[1])
    expect(trouble).to_contain_text("không phải tệp")
    open_file(before, files[0])
    expect(page.locator(f'[data-kept="open {before}"]')).to_have_count(0)
    open_file(after, files[1])
    expect(missing).to_have_count(0)
    left, right = _colours(page)
    assert left[0] > left[2] + 60, left
    assert right[2] > right[0] + 60, right
    for which in ("before", "after"):
        expect(page.locator(f".compared.{which} .compared-caption")).to_contain_text("Mở từ tệp")
    assert {*sent} <= {"GET"}
    page.locator(f'[data-kept="{OTHER}"]').click()
    open_file(strange, files[2])
    expect(trouble).to_contain_text("gdalwarp -t_srs EPSG:4326")


def _colours(page: Page) -> list[list[float]]:
    """Red, green, blue on either side of the swipe's handle, as most of it is."""
    box = box_of(page.locator(".swipe-handle"))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    around = [shot[int(y) - 150 : int(y) + 150, int(x) + side : int(x) + side + 60] for side in (-120, 60)]
    return [[float(value) for value in np.median(one.reshape(-1, 3), axis=0)] for one in around]
