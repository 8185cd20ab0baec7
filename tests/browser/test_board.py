"""What others put on the map: layers of other services under their switches, marks from desk and phone."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from flycam.board.layers import LayerRequest, add_layer
from flycam.board.marks import MarkEdit, write_mark
from flycam.model.board import LayerKind, MarkKind, MarkStatus
from flycam.model.records import MarkVersion
from tests.browser.conftest import SIZES, House, OpenPage, serving
from tests.browser.pages import begin_mark, click_map, in_address, on_screen, settled, until_seen
from tests.browser.words import words
from tests.change.impacted import changed, square
from tests.serve.world import DRILL, LAT, LON, REAL, make_world
from tests.suites.board_suite import mark_told

pytestmark = pytest.mark.browser

VIEW = f"map=17/{LAT - 0.0015}/{LON + 0.0042}"
MAST = (LON + 0.0042, LAT - 0.0015)
HOUR = 3600 * 10**9
SCRIPT = "<script>alert(1)</script>"
MARK = MarkEdit(
    mark_id="mark-0123456789abcdef",
    based_on=0,
    event_id=REAL,
    kind=MarkKind.RESCUE,
    status=MarkStatus.OPEN,
    note="trên mái",
    places=[(MAST[0] + 0.001, MAST[1])],
)


@dataclass(frozen=True)
class Board(House):
    folder: Path


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with serving(make_world(tmp_path / "world")) as served:
        yield Board(served.url, served.world, tmp_path)


def put_masts(board: Board, status: str, age_ns: int = 0) -> None:
    """One mast, through the file and the recipe that a person uses."""
    feature = {
        "type": "Feature",
        "properties": {"ten_tram": f"YBI0123 {SCRIPT}", "tinh_trang": status},
        "geometry": {"type": "Point", "coordinates": list(MAST)},
    }
    path = board.folder / "masts.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    valid_ns = board.workspace.clock_ns() - age_ns
    request = LayerRequest(
        source=str(path), kind=LayerKind.MAST, name="Trạm BTS", owner="Viettel", valid_ns=valid_ns
    )
    add_layer(board.workspace, request, "Lan")


def around(page: Page, place: tuple[float, float], reach: int = 14) -> np.ndarray:
    """RGB of the map around a place, once it has come to rest."""
    picture = settled(page)
    x, y = (round(v) for v in on_screen(page, *place))
    return picture[y - reach : y + reach, x - reach : x + reach].astype(int)


def is_vermilion(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture - (213, 94, 0)).max(-1) < 12


def tap_place(page: Page, place: tuple[float, float]) -> None:
    page.mouse.click(*on_screen(page, *place))


def test_a_layer_is_switched_on_clicked_and_known_to_be_old(board: Board, open_page: OpenPage) -> None:
    put_masts(board, "Mất sóng từ 14:35", 9 * HOUR)
    page = open_page("office", f"lang=vi&event={REAL}&{VIEW}", url=board.url)
    until_seen(page, lambda: not is_vermilion(around(page, MAST)).any())
    row = page.locator(".specialist li", has_text="Trạm BTS")
    expect(row).to_contain_text(re.compile("1 sự cố.*Viettel · 9 giờ trước.*CŨ", re.DOTALL))
    row.locator("input").check()
    until_seen(page, lambda: is_vermilion(around(page, MAST)).mean() > 0.1)
    tap_place(page, MAST)
    card = page.locator(".card")
    expect(card).to_contain_text(f"YBI0123 {SCRIPT}")
    expect(card).to_contain_text(re.compile("Mất sóng từ 14:35.*Viettel", re.DOTALL))
    expect(card).to_contain_text("Số liệu cũ")
    in_address(page, "special=layer-")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["office"][0]


def test_the_sign_of_trouble_is_told_without_its_colour(board: Board, open_page: OpenPage) -> None:
    """In grey, as whoever sees no red sees it: another shape and a bar, not only another tone."""
    put_masts(board, "mất sóng")
    (layer,) = board.workspace.catalog.layers.all()
    page = open_page(link=f"event={REAL}&{VIEW}&special={layer.layer_id}", url=board.url)
    bad = around(page, MAST).mean(-1)
    put_masts(board, "hoạt động")
    expect(page.locator(".specialist .troubles")).to_have_count(0)
    page.wait_for_timeout(500)
    good = around(page, MAST).mean(-1)
    assert (np.abs(bad - good) > 60).mean() > 0.2


def _only(board: Board, event_id: str = REAL) -> MarkVersion:
    (line,) = board.workspace.catalog.marks.current(event_id)
    return line


def test_a_mark_is_made_with_a_photo_changed_and_taken_off(board: Board, open_page: OpenPage) -> None:
    page = open_page("office", f"lang=vi&event={REAL}&{VIEW}", url=board.url)
    settled(page)
    page.locator(".mark-begin").click()
    expect(page.locator(".mark-tool")).to_contain_text(words("markTapPoint"))
    click_map(page, 0.45, 0.5)
    form = page.locator(".mark-form")
    form.locator("[name=kind]").select_option(label="Người cần cứu")
    form.locator("[name=note]").fill(f"3 người {SCRIPT}")
    photo = io.BytesIO()
    Image.new("RGB", (2400, 1600), (10, 120, 200)).save(photo, "JPEG")
    file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo.getvalue()}
    form.locator("[name=photo]").set_input_files(file)  # type: ignore[arg-type]
    form.locator(".save").click()
    card = page.locator(".card")
    expect(card).to_contain_text(f"3 người {SCRIPT}")
    expect(card).to_contain_text("VN-2000 KTT")
    expect(card.locator("img")).to_be_visible()
    line = _only(board)
    assert (line.version, line.kind.value, line.note) == (2, "rescue", f"3 người {SCRIPT}")
    card.get_by_role("button", name="Sửa").click()
    form.locator("[name=status]").select_option(label="đang xử lý")
    form.locator(".save").click()
    expect(card).to_contain_text("3 lần ghi")
    card.get_by_role("button", name="Sửa").click()
    form.locator("[name=status]").select_option(label="gỡ khỏi bản đồ")
    form.locator(".save").click()
    expect(card).to_contain_text(words("markGoneText"))
    assert board.workspace.catalog.marks.current(REAL) == []
    assert len(board.workspace.catalog.marks.history(line.mark_id)) == 4
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["office"][0]


def test_on_the_wall_people_to_rescue_are_drawn_and_said_before_anybody_took_them_up(
    board: Board, open_page: OpenPage
) -> None:
    """Work status is no confirmation; the caption, which stays without controls, says that nobody
    verified."""
    write_mark(board.workspace, MARK, "Lan")
    other = replace(MARK, mark_id="mark-00000000000000aa", kind=MarkKind.CRACK)
    write_mark(board.workspace, other, "Lan")
    changes = [changed(f"change-0000000{n}", square(900 * n, 0, 90), event_id=REAL) for n in (1, 2)]
    board.workspace.catalog.changes.append(changes)
    (place,) = MARK.places
    page = open_page(link=f"lang=vi&event={REAL}&{VIEW}", url=board.url)
    expect(page.locator(".mark-row").first).to_contain_text("Người cần cứu")
    page.locator("button.meet").click()
    first = page.locator(".meeting-caption .first")
    expect(first).to_have_text(
        re.compile(
            r"^NGƯỜI CẦN CỨU:\s1\snơi \(1\smới báo, chưa xác minh\) ·\s1\sdấu mới báo, chưa xác minh"
            r" ·\s2\sthay đổi máy nghi, chưa ai xem:\s2,00\sha$"
        )
    )
    only_reported = around(page, place)
    write_mark(board.workspace, replace(MARK, based_on=1, status=MarkStatus.DONE), "Minh")
    write_mark(board.workspace, replace(other, based_on=1, status=MarkStatus.REMOVED), "Minh")
    expect(first).to_have_text(re.compile(r"^2\sthay đổi máy nghi"))
    write_mark(board.workspace, replace(MARK, based_on=2, status=MarkStatus.REMOVED), "Minh")
    until_seen(page, lambda: (np.abs(around(page, place) - only_reported).max(-1) > 30).mean() > 0.1)


def test_a_sector_is_drawn_corner_by_corner(board: Board, open_page: OpenPage) -> None:
    page = open_page("office", f"lang=en&event={REAL}&{VIEW}", url=board.url)
    settled(page)
    page.locator(".mark-begin").click()
    page.get_by_role("button", name="Draw a search sector").click()
    done = page.get_by_role("button", name="Done")
    for number, (x, y) in enumerate(((0.3, 0.5), (0.6, 0.5), (0.6, 0.7), (0.3, 0.65))):
        expect(done).to_be_enabled() if number >= 3 else expect(done).to_be_disabled()
        click_map(page, x, y)  # as fast as they come: no tap is lost, none zooms
    before = re.findall(r"map=[\d.]+", page.url)
    done.click()
    assert re.findall(r"map=[\d.]+", page.url) == before == ["map=17.00"]
    expect(page.locator(".mark-form")).to_contain_text("Sector with 4 corners")
    page.locator(".mark-form .save").click()
    expect(page.locator(".marks")).to_contain_text("Search sector")
    assert _only(board).kind.value == "sector"


def test_a_mark_appears_on_another_screen_and_not_in_another_event(board: Board, open_page: OpenPage) -> None:
    watching = open_page(link=f"lang=vi&event={REAL}&{VIEW}", url=board.url)
    page = open_page("phone", f"lang=vi&event={REAL}&{VIEW}", url=board.url)
    settled(page)
    begin_mark(page, "đường đứt")
    page.locator(".mark-form .save").click()
    expect(watching.locator(".marks")).to_contain_text("đường đứt")
    watching.locator("select.event").select_option(DRILL)
    expect(watching.locator(".marks")).to_be_hidden()
    watching.locator("select.event").select_option(REAL)
    watching.locator(".mark-row").click()
    expect(watching.locator(".card")).to_contain_text("đường đứt")


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(board: Board, open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{VIEW}", url=board.url)
    settled(page)
    begin_mark(page, "bản của tôi")
    page.locator(".mark-form .save").click()
    page.locator(".card").get_by_role("button", name="Sửa").click()
    line = _only(board)
    theirs = replace(line, version=2, note="bản của Minh", author="Minh")
    board.workspace.catalog.marks.append(theirs, mark_told(theirs))
    expect(page.locator(".marks")).to_contain_text("bản của Minh")
    expect(page.locator(".mark-form [name=note]")).to_have_value("bản của tôi")  # not taken from the writer
    page.locator(".mark-form .save").click()
    expect(page.locator(".mark-form .warning")).to_contain_text("người khác sửa")
    assert _only(board).author == "Minh"


def test_what_stays_on_the_screen_becomes_old_there(board: Board, open_page: OpenPage) -> None:
    put_masts(board, "Mất sóng", 6 * HOUR - 60 * 10**9)
    write_mark(board.workspace, MARK, "Lan")
    (layer,) = board.workspace.catalog.layers.all()
    page = open_page(link=f"lang=vi&event={REAL}&{VIEW}&special={layer.layer_id}", url=board.url)
    page.clock.install()
    page.reload()
    settled(page)
    row = page.locator(".specialist li", has_text="Trạm BTS")
    expect(row).not_to_contain_text("CŨ")
    age = page.locator(".mark-row small").text_content()
    tap_place(page, MAST)
    expect(page.locator(".card")).to_contain_text("Mất sóng")
    fresh = around(page, MAST)
    page.clock.fast_forward(300_000)  # the page's clock alone
    expect(row).to_contain_text("CŨ")
    expect(page.locator(".card")).to_contain_text("Số liệu cũ")
    assert page.locator(".mark-row small").text_content() != age
    settled(page)
    until_seen(page, lambda: bool((around(page, MAST) != fresh).any()))


def test_what_was_not_answered_is_sent_again_before_the_change(board: Board, open_page: OpenPage) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&{VIEW}", url=board.url)
    settled(page)
    begin_mark(page, "lần một")

    def lose(route: Route) -> None:
        route.fetch()  # written, but the answer gets lost
        route.abort()

    page.route(re.compile("/api/marks/mark-"), lose)
    page.locator(".mark-form .save").click()
    expect(page.locator(".mark-form .warning")).to_be_visible()
    page.unroute(re.compile("/api/marks/mark-"))
    page.locator(".mark-form [name=note]").fill("lần hai")
    page.locator(".mark-form .save").click()
    expect(page.locator(".card")).to_contain_text("lần hai")
    history = board.workspace.catalog.marks.history(_only(board).mark_id)
    assert [line.note for line in history] == ["lần một", "lần hai"]
