"""The board of communes: what was imaged of each and how old that is, sorted, filtered, gone to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import shapely
from playwright.sync_api import Locator, expect

from flycam.board.marks import MarkEdit, write_mark
from flycam.model.board import MarkKind, MarkStatus
from flycam.model.records import CommuneRecord
from flycam.model.time import format_iso
from tests.browser.conftest import House, OpenPage, serving
from tests.browser.pages import box_of, hold, in_address, until_seen
from tests.browser.test_changes import reviewing, with_candidates
from tests.browser.words import words
from tests.serve.world import LAT, LON, REAL, make_world
from tests.suites.comparison_suite import compared_on

pytestmark = pytest.mark.browser

FAR = (LON + 0.21, LAT + 0.21)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    world = make_world(tmp_path_factory.mktemp("house"))
    outline = shapely.box(FAR[0] - 0.01, FAR[1] - 0.01, FAR[0] + 0.01, FAR[1] + 0.01)
    far = CommuneRecord(
        code="99999",
        name="Ẩn Đường Xa",
        valid_from=date(2024, 7, 1),
        wkb=shapely.to_wkb(outline),
        area_m2=4e6,
    )
    world.workspace.catalog.boundaries.put_communes([far])
    with serving(world) as served:
        yield served


def _mark(house: House, number: int, kind: MarkKind) -> None:
    edit = MarkEdit(
        mark_id=f"mark-{number:08x}",
        based_on=0,
        event_id=REAL,
        kind=kind,
        status=MarkStatus.OPEN,
        note="",
        places=[FAR],
    )
    write_mark(house.workspace, edit, "Lan")


def test_not_flown_is_said_in_words_and_the_newest_comes_first(house: House, open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}", url=house.url)
    page.get_by_role("tab", name="Bảng xã").click()
    rows = page.locator(".board tbody tr")
    expect(rows).to_have_count(5)
    expect(page.locator(".board-sum")).to_have_text(
        re.compile(r"^Đã chụp .*%\s?diện tích 5 xã, phường; 4 nơi có ảnh$")
    )
    expect(rows.last.locator("th")).to_have_text("Ẩn Đường Xa")
    expect(rows.last.locator(".not-flown")).to_have_text("chưa bay chụp")
    assert "%" not in rows.last.inner_text()
    assert "0" not in rows.last.inner_text()
    expect(rows.first.locator(".age")).to_have_text(re.compile("năm trước"))
    expect(rows.first).to_contain_text("%")
    assert "Thay đổi" not in page.locator(".board thead").inner_text(), "nobody has looked for changes yet"
    in_address(page, "tab=board")


def test_the_board_of_now_never_stands_beside_the_map_of_then(house: House, open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&tab=board", url=house.url)
    expect(page.locator(".board .not-flown")).to_have_count(1)
    expect(page.locator(".board-past")).to_be_hidden()
    held = hold(page, "**/api/board**")
    page.locator(".moments .moment").first.click()
    expect(page.locator(".board-past")).to_have_text("Như lúc 20/08/2024 09:10")
    expect(page.locator(".board tbody")).to_have_text("Đang tải…")
    page.locator(".moment.now").click()
    expect(page.locator(".board-past")).to_be_hidden()
    held.release()
    expect(page.locator(".board .not-flown")).to_have_count(1)


def test_rows_stay_under_the_hand_while_others_change(house: House, open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&tab=board", url=house.url)
    rows = page.locator(".board tbody tr")
    expect(rows).to_have_count(5)
    held = rows.first.locator("button")
    held.focus()
    before = [row.element_handle() for row in rows.all()]
    _mark(house, 3, MarkKind.CRACK)
    expect(page.locator('[data-commune="99999"] .marks')).to_contain_text("Vết nứt 1")
    expect(held).to_be_focused()
    connected = [row is not None and row.evaluate("e => e.isConnected") for row in before]
    assert connected == [True] * 4 + [False], "only the row that changed is written anew"
    page.locator('[data-commune="99999"] button').focus()
    _mark(house, 4, MarkKind.OTHER)
    expect(page.locator('[data-commune="99999"] .marks')).to_contain_text("Khác 1")
    expect(page.locator('[data-commune="99999"] button')).to_be_focused()


def test_a_flight_in_the_air_at_the_time_on_show_is_not_called_not_flown(
    house: House, open_page: OpenPage
) -> None:
    flight = house.workspace.catalog.flights.flight(house.world.before)
    then = format_iso((flight.first_ns + flight.last_ns) // 2)
    page = open_page(link=f"lang=vi&event={REAL}&tab=board&asof={then}", url=house.url)
    rows = page.locator(".board tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.filter(has_text="đang bay lúc đó")).not_to_have_count(0)
    expect(rows.filter(has_text="Ẩn Đường Xa")).to_contain_text("chưa bay chụp")


def test_where_changes_were_looked_for_is_said_and_none_found_is_told_from_nobody_looked(
    tmp_path: Path, open_page: OpenPage
) -> None:
    world = make_world(tmp_path / "compared")
    catalog = world.workspace.catalog
    one = catalog.boundaries.communes()[0]
    west, south, east, north = shapely.from_wkb(one.wkb).bounds
    inner = shapely.box(west + (east - west) / 100, south, east - (east - west) / 100, (south + north) / 2)
    shown = [f"{world.mosaic_of(flight).mosaic_id}@0" for flight in (world.before, world.after)]
    ground = shapely.MultiPolygon([shapely.intersection(inner, shapely.from_wkb(one.wkb))])
    catalog.comparisons.add([compared_on("compared-1", REAL, ground, *shown)])
    with serving(world) as served:
        page = open_page("office", f"lang=vi&event={REAL}&tab=board", url=served.url)
        looked_at = page.locator(f'.board tr[data-commune="{one.code}"]')
        expect(looked_at).to_contain_text(re.compile(r"0 đã xác nhận\s*đã so \d+\s%"))
        expect(looked_at.locator("[data-label]").last).to_have_attribute("data-label", words("board_changes"))
        others = page.locator(f'.board tbody tr:not([data-commune="{one.code}"])')
        assert others.count() > 0
        assert not any("đã so" in text for text in others.all_inner_texts())


def test_on_a_small_screen_a_date_of_the_board_beside_the_review_is_read_whole(
    tmp_path: Path, open_page: OpenPage
) -> None:
    world = with_candidates(tmp_path)
    with reviewing(world) as served:
        page = open_page("office", f"lang=vi&event={REAL}&tab=board", url=served.url)
        page.set_viewport_size({"width": 1280, "height": 720})
        page.locator(".review-door").click()
        expect(page.locator(".review-row").first).to_be_visible()
        line = page.locator(".moments")
        expect(line.locator(".moment")).to_have_count(2)
        until_seen(page, lambda: all(_is_within(line, moment) for moment in line.locator(".moment").all()))


def _is_within(line: Locator, moment: Locator) -> bool:
    around, inner = box_of(line), box_of(moment)
    left, right = inner["x"] - around["x"], around["x"] + around["width"] - inner["x"] - inner["width"]
    return min(left, right) > -1.0
