"""An analyst's whole way, in one go: two flights compared, the candidates decided on, a change drawn that was
missed, a village told, and what was confirmed taken away as files and in the meeting pack."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyogrio
import pytest
import shapely
from click.testing import CliRunner
from playwright.sync_api import Page, expect

from flycam.catalog.changes import ChangeVersion
from flycam.cli import flycam
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.model.board import REVIEWABLE_STATUSES, ChangeAction, ChangeStatus, LayerKind
from tests.browser.conftest import OpenPage
from tests.browser.pages import box_of, settled_compare, view_in_address
from tests.browser.test_changes import compared_at
from tests.browser.words import words
from tests.change.impacted import add_things
from tests.serve.running import running
from tests.serve.world import REAL, World, add_account, make_world, write_valley

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class Room:
    url: str
    root: Path
    world: World

    def standing(self) -> dict[str, ChangeVersion]:
        lines = self.world.workspace.catalog.changes.current(REAL, statuses=REVIEWABLE_STATUSES)
        return {line.change_id: line for line in lines}

    def line(self, change_id: str) -> ChangeVersion:
        return self.world.workspace.catalog.changes.history(change_id)[-1]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """Two flights of a valley, and what `flycam compare` found between them."""
    root = tmp_path / "data"
    world = make_world(root)
    arguments = ["compare", world.before, world.after, "--out", str(root / "c.gpkg"), "--data", str(root)]
    done = CliRunner().invoke(flycam, [*arguments, "--dem", str(write_valley(root / "valley.tif")), "--json"])
    assert done.exit_code == 0, done.output
    add_account(world.workspace, "Lan", Role.ANALYST, "analyst-token")
    command = (sys.executable, "-m", "flycam", "pack", "--data", str(root))
    services = Services(
        workspace=world.workspace, follow_s=0.2, packs_dir=root / "packs", pack_command=command
    )
    with running(services) as url:
        yield Room(url, root, world)


def test_from_two_flights_to_the_meeting_pack(
    open_page: OpenPage, room: Room, tmp_path: Path, screenshots: Path
) -> None:
    found = room.standing()
    assert len(found) >= 4 and {line.status for line in found.values()} == {ChangeStatus.PROPOSED}
    slide = max(found.values(), key=lambda line: (line.kind.value == "landslide", line.area_m2))
    _a_village_beyond(room, slide, tmp_path)

    page = open_page("office", f"lang=vi&event={REAL}", url=room.url, wait=False)
    page.locator("#token").fill("analyst-token")
    page.locator(".login button").click()
    page.locator(".review-door").click()
    expect(page.locator(".review-row")).to_have_count(len(found))
    expect(page.locator(".compare")).to_have_attribute("data-mode", "swipe")
    settled_compare(page)
    page.screenshot(path=screenshots / "1-candidates.png")

    _decide(page, room, slide)
    redrawn = _redraw(page, room, slide.change_id)
    other = _accept_largest(page, room)
    drawn = _draw(page, room)
    settled_compare(page)
    page.screenshot(path=screenshots / "2-decided.png")

    accepted = {one.change_id for one in room.standing().values() if one.status is ChangeStatus.ACCEPTED}
    assert accepted == {redrawn.change_id, drawn.change_id, other.change_id}
    assert all(room.line(one).author == "Lan" for one in accepted)
    _take_away(page, accepted, tmp_path)
    page.keyboard.press("Escape")

    _tell_the_village(page, room)
    page.screenshot(path=screenshots / "3-village.png")
    _pack(page, room, accepted, tmp_path, screenshots)


def _a_village_beyond(room: Room, slide: ChangeVersion, folder: Path) -> None:
    """A road that goes under the slide, and a village at its end."""
    _, south, _, north = slide.bounds_lonlat_deg
    inside = shapely.from_wkb(slide.wkb).representative_point()
    road = shapely.LineString([(inside.x, south - 0.01), (inside.x, inside.y), (inside.x, north + 0.01)])
    below = shapely.LineString([(inside.x - 0.02, south - 0.01), (inside.x, south - 0.01)])
    add_things(room.world.workspace, folder, "Đường", LayerKind.ROAD, [("Vào bản", road), ("Tỉnh lộ", below)])
    village = [("Nậm Lúc Thượng", shapely.Point(inside.x, north + 0.0099))]
    add_things(room.world.workspace, folder, "Thôn", LayerKind.SETTLEMENT, village)


def _choose(page: Page, change_id: str) -> None:
    page.locator(f'[data-change="{change_id}"] button').first.click()
    expect(page.locator(f'[data-change="{change_id}"]')).to_have_attribute("aria-current", "true")
    page.locator(".review-count").click()
    view_in_address(page)


def _decide(page: Page, room: Room, slide: ChangeVersion) -> None:
    """The slide is accepted with a note; the likeliest other is rejected, taken back, and commented on."""
    _choose(page, slide.change_id)
    page.locator(".review [name=note]").fill("rõ vách trượt")
    page.locator(".review-count").click()
    page.keyboard.press("a")
    expect(page.locator(".review-count")).to_contain_text("1 đã xác nhận")
    other = next(one for one in room.standing().values() if one.status is ChangeStatus.PROPOSED)
    _choose(page, other.change_id)
    page.keyboard.press("r")
    expect(page.locator(".review-count")).to_contain_text("1 đã bác bỏ")
    page.keyboard.press("u")
    expect(page.locator(".review-count")).to_contain_text("0 đã bác bỏ")
    _choose(page, other.change_id)
    page.keyboard.press("c")
    page.keyboard.type("hỏi trưởng bản")
    page.keyboard.press("Enter")
    expect(page.locator(f'[data-change="{other.change_id}"]')).to_contain_text("hỏi trưởng bản")
    assert room.line(other.change_id).status is ChangeStatus.PROPOSED
    page.locator(".review-count").click()


def _redraw(page: Page, room: Room, change_id: str) -> ChangeVersion:
    """The northernmost corner of the slide is dragged on."""
    before = room.line(change_id)
    _choose(page, change_id)
    corners = shapely.get_coordinates(shapely.from_wkb(before.wkb))
    page.keyboard.press("e")
    x, y = compared_at(page, *map(float, corners[corners[:, 1].argmax()]))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 30, steps=5)
    page.mouse.up()
    page.keyboard.press("Enter")
    expect(page.locator(".review-actions")).to_contain_text("Sửa E")
    after = room.line(change_id)
    assert after.version == before.version + 1 and after.status is ChangeStatus.ACCEPTED
    assert after.bounds_lonlat_deg[3] > before.bounds_lonlat_deg[3]
    assert after.area_m2 > before.area_m2
    return after


def _accept_largest(page: Page, room: Room) -> ChangeVersion:
    waiting = [one for one in room.standing().values() if one.status is ChangeStatus.PROPOSED]
    largest = max(waiting, key=lambda line: line.area_m2)
    _choose(page, largest.change_id)
    page.keyboard.press("a")
    expect(page.locator(".review-count")).to_contain_text("2 đã xác nhận")
    return largest


def _draw(page: Page, room: Room) -> ChangeVersion:
    """What the program did not find is drawn, and stands without a candidate."""
    page.keyboard.press("n")
    box = box_of(page.locator(".compare"))
    left, top = box["x"] + 0.35 * box["width"], box["y"] + 0.4 * box["height"]
    for corner in [(left, top), (left + 120, top), (left + 120, top + 100)]:
        page.mouse.click(*corner)
        page.wait_for_timeout(400)
    page.mouse.dblclick(left, top + 100)
    expect(page.locator('[data-kept="save"]')).to_be_disabled()  # what it is is asked each time
    page.keyboard.press("1")
    page.locator('[data-kept="save"]').click()
    expect(page.locator(".review-count")).to_contain_text("3 đã xác nhận")
    (drawn,) = [one for one in room.standing().values() if one.action is ChangeAction.DRAW]
    return drawn


def _take_away(page: Page, accepted: set[str], folder: Path) -> None:
    """What GDAL opens is opened elsewhere: only what was confirmed is in it."""
    for name in ("gpkg", "geojson"):
        with page.expect_download() as taken:
            page.locator(f'[data-kept="{name}"]').click()
        path = folder / f"taken.{name}"
        taken.value.save_as(path)
        meta, _, geometries, values = pyogrio.raw.read(path)
        ids = set(values[list(meta["fields"]).index("change_id")])
        assert ids == accepted and len(geometries) == len(accepted)


def _tell_the_village(page: Page, room: Room) -> None:
    row = page.locator(".settlement", has_text="Nậm Lúc Thượng")
    expect(row.locator(".proposed")).to_contain_text(words("roads_cut_off"))
    row.get_by_role("button", name="Bị cô lập").click()
    expect(row.locator(".access")).to_have_text("Bị cô lập")
    (status,) = room.world.workspace.catalog.settlements.current(REAL)
    assert (status.name, status.access.value, status.author) == ("Nậm Lúc Thượng", "isolated", "Lan")


def _pack(page: Page, room: Room, accepted: set[str], folder: Path, screenshots: Path) -> None:
    card = page.locator(f'[data-flight="{room.world.after}"]')
    card.get_by_role("button", name="Gói họp").click()
    link = card.get_by_role("link")
    expect(link.filter(has_text="Tải gói họp về")).to_be_visible(timeout=100_000)
    page.screenshot(path=screenshots / "4-pack.png")
    with page.expect_download() as fetched:
        link.filter(has_text="Tải gói họp về").click()
    with zipfile.ZipFile(fetched.value.path()) as archive:
        path = Path(archive.extract("goi-hop/du-lieu.gpkg", folder))
    meta, _, _, values = pyogrio.raw.read(path, layer="changes")
    assert set(values[list(meta["fields"]).index("change_id")]) == accepted
