"""The analyst's way through the candidates: by keys, over both pictures, redrawn, drawn by hand, undone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from playwright.sync_api import Page, expect

from flycam.catalog.changes import ChangeVersion
from flycam.geometry.grid import lonlat_to_mercator
from flycam.model.board import REVIEWABLE_STATUSES, ChangeAction, ChangeStatus
from tests.browser.conftest import House, OpenPage, serving
from tests.browser.pages import (
    at_rest,
    box_of,
    in_address,
    settled_compare,
    until_seen,
    view_in_address,
)
from tests.browser.words import words
from tests.serve.world import LAT, LON, REAL, World, make_world
from tests.suites.change_suite import FOUND
from tests.suites.comparison_suite import compared_on

pytestmark = pytest.mark.browser

NAMES = ("change-00000001", "change-00000002", "change-00000003")


class Review(House):
    """With three candidates that wait."""

    def line(self, change_id: str) -> ChangeVersion:
        return self.workspace.catalog.changes.history(change_id)[-1]

    def standing(self) -> list[ChangeVersion]:
        return self.workspace.catalog.changes.current(REAL, statuses=REVIEWABLE_STATUSES)

    def statuses(self) -> list[str]:
        return [self.line(name).status.value for name in NAMES]


def with_candidates(root: Path) -> World:
    """A house with three candidates that wait."""
    world = make_world(root)
    shown = [f"{world.mosaic_of(one).mosaic_id}@0" for one in (world.before, world.after)]
    lines = []
    for number, name in enumerate(NAMES):
        box = shapely.box(LON + 0.001 * number, LAT - 0.001, LON + 0.001 * number + 0.0006, LAT - 0.0004)
        west, south, east, north = box.bounds
        lines.append(
            replace(
                FOUND,
                change_id=name,
                event_id=REAL,
                score=0.9 - 0.1 * number,
                before_shown=shown[0],
                after_shown=shown[1],
                wkb=shapely.to_wkb(shapely.MultiPolygon([box])),
                bounds_lonlat_deg=(west, south, east, north),
            )
        )
    world.workspace.catalog.changes.append(lines)
    return world


@contextmanager
def reviewing(world: World) -> Iterator[Review]:
    with serving(world) as served:
        yield Review(served.url, world)


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    with reviewing(with_candidates(tmp_path / "world")) as served:
        yield served


def enter(open_page: OpenPage, review: Review) -> Page:
    page = open_page(link=f"lang=vi&event={REAL}", url=review.url)
    page.locator(".review-door").click()
    expect(page.locator(".review-row")).to_have_count(3)
    return page


def chosen(page: Page) -> str | None:
    return page.locator('.review-row[aria-current="true"]').get_attribute("data-change")


def expect_chosen(page: Page, change_id: str) -> None:
    expect(page.locator('.review-row[aria-current="true"]')).to_have_attribute("data-change", change_id)


def expect_count(page: Page, waiting: int, accepted: int, rejected: int) -> None:
    said = f"{waiting} chờ soát xét · {accepted} đã xác nhận · {rejected} đã bác bỏ"
    expect(page.locator(".review-count")).to_have_text(said)


def test_the_list_is_walked_through_by_keys(open_page: OpenPage, review: Review) -> None:
    page = enter(open_page, review)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    expect(page.locator(".compare")).to_have_attribute("data-mode", "swipe")
    in_address(page, f"~{review.world.before}~{review.world.after}~")
    expect_chosen(page, NAMES[0])
    page.locator(".review [name=note]").fill("rõ vách trượt <b>")
    page.keyboard.press("a")
    expect_count(page, 3, 0, 0)  # who writes a note decides nothing by its letters
    page.locator(".review-count").click()
    page.keyboard.press("a")
    expect_count(page, 2, 1, 0)
    assert review.line(NAMES[0]).note == "rõ vách trượt <b>a"
    expect(page.locator(f'[data-change="{NAMES[1]}"]')).to_have_attribute("aria-current", "true")
    page.keyboard.press("r")
    expect_count(page, 1, 1, 1)
    assert review.statuses() == ["accepted", "rejected", "proposed"]
    expect(page.locator(f'[data-change="{NAMES[2]}"]')).to_have_attribute("aria-current", "true")
    requests.clear()
    page.keyboard.press("k")
    expect_chosen(page, NAMES[1])
    expect(page.locator(".review .impact-note").first).not_to_have_attribute("role", "status")
    assert any("/impact?" in one for one in requests)
    page.keyboard.press("k")
    expect_chosen(page, NAMES[0])
    page.keyboard.press("j")
    expect_chosen(page, NAMES[1])
    page.keyboard.press("u")
    expect_count(page, 2, 1, 0)
    page.keyboard.press("u")
    expect(page.locator(".review-trouble")).to_contain_text(words("changes.nothingToUndo"))
    assert review.statuses() == ["accepted", "proposed", "proposed"]


def compared_at(page: Page, lon: float, lat: float) -> tuple[float, float]:
    """Where a place is drawn on BEFORE in a comparison, pixels from the page's upper left corner."""
    found = re.search(r"map=([\d.]+)%2F([\d.]+)%2F([\d.]+)", page.url)
    box = box_of(page.locator(".compared.before"))
    assert found is not None
    zoom, lat0, lon0 = map(float, found.groups())
    centre, place = lonlat_to_mercator(np.array([[lon0, lat0], [lon, lat]]))
    east, north = (place - centre) * 256 * 2**zoom / (2 * np.pi * 6378137.0)
    return box["x"] + box["width"] / 2 + east, box["y"] + box["height"] / 2 - north


def test_a_ragged_outline_is_redrawn_by_few_corners_and_each_can_be_taken_away(
    open_page: OpenPage, review: Review
) -> None:
    """Of 200 corners within half a metre of a circle."""
    before = review.line(NAMES[0])
    west, south, east, north = before.bounds_lonlat_deg
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = (east - west) / 2 * (1 + 0.005 * (-1) ** np.arange(200))
    ragged = np.stack(
        [(west + east) / 2 + radius * np.cos(angle), (south + north) / 2 + radius * np.sin(angle)], 1
    )
    shape = shapely.MultiPolygon([shapely.Polygon(ragged)])
    review.workspace.catalog.changes.append(
        [replace(before, version=2, step_id="ragged", error_m=1.0, area_m2=3000.0, wkb=shapely.to_wkb(shape))]
    )
    page = enter(open_page, review)
    view_in_address(page)
    page.keyboard.press("e")
    actions = page.locator(".review-actions")
    expect(actions).to_contain_text(re.compile(r"Còn \d\d trong 200 đỉnh.*không quá 1,0 m"))
    page.mouse.move(*compared_at(page, *ragged[0]))
    page.keyboard.press("Delete")
    page.mouse.move(*compared_at(page, (west + east) / 2, (south + north) / 2))
    page.keyboard.press("Delete")
    expect(page.locator(".review-trouble")).to_contain_text(words("changes.noCorner"))
    page.keyboard.press("Enter")
    expect(actions).to_contain_text("Sửa E")
    after = review.line(NAMES[0])
    redrawn = shapely.from_wkb(after.wkb)
    assert after.version == 3 and 8 < shapely.get_num_coordinates(redrawn) < 60
    # the corner to the east is gone; elsewhere the outline is where it was
    assert redrawn.bounds[2] < shape.bounds[2] - 1e-6
    assert redrawn.intersection(shape).area / redrawn.union(shape).area > 0.95
    assert (before.score, after.score) == (0.9, None), "the score was of the outline before"
    expect(page.locator(f'[data-change="{NAMES[0]}"]')).to_contain_text("vẽ tay")


def test_an_outline_in_hand_is_not_saved_over_a_newer_one(open_page: OpenPage, review: Review) -> None:
    page = enter(open_page, review)
    page.keyboard.press("e")
    line = review.line(NAMES[0])
    theirs = replace(line, version=2, step_id="theirs", note="bản của Minh", author="Minh")
    review.workspace.catalog.changes.append([theirs])
    page.wait_for_timeout(2000)  # the page has heard of it
    page.keyboard.press("Enter")
    expect(page.locator(".review-trouble")).to_be_visible()
    assert review.line(NAMES[0]) == theirs


def test_a_key_held_down_decides_once_and_none_decides_behind_the_printed_sheet(
    open_page: OpenPage, review: Review
) -> None:
    page = enter(open_page, review)
    for _ in range(4):
        page.keyboard.down("a")  # without being let go: what the keyboard repeats
        page.wait_for_timeout(400)
    page.keyboard.up("a")
    expect_count(page, 2, 1, 0)
    page.locator(".print-open").click()
    page.wait_for_selector(".print-room")
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(page.locator(".print-room")).to_have_count(0)
    page.wait_for_timeout(500)
    assert review.statuses() == ["accepted", "proposed", "proposed"]


def test_a_decision_that_others_have_overtaken_is_not_undone_nor_what_came_before(
    open_page: OpenPage, review: Review
) -> None:
    page = enter(open_page, review)
    page.keyboard.press("a")
    expect_count(page, 2, 1, 0)
    page.keyboard.press("a")
    expect_count(page, 1, 2, 0)
    line = review.line(NAMES[1])
    theirs = replace(line, version=3, step_id="theirs", status=ChangeStatus.REJECTED, author="Minh")
    review.workspace.catalog.changes.append([theirs])
    expect_count(page, 1, 1, 1)
    expect(page.locator(".review [data-kept=undo]")).to_be_disabled()
    page.keyboard.press("u")
    expect(page.locator(".review-trouble")).to_be_visible()
    assert review.statuses() == ["accepted", "rejected", "proposed"]


def test_everybody_sees_on_the_map_what_was_confirmed(open_page: OpenPage, review: Review) -> None:
    page = open_page(link=f"lang=vi&event={REAL}&map=17/{LAT - 0.0007}/{LON + 0.0003}", url=review.url)
    row = page.locator(".layers li", has=page.locator('[data-layer="changes"]'))
    expect(row).to_contain_text(words("changesConfirmed"))
    box = box_of(page.locator(".map").first)
    place = {"x": box["x"] + box["width"] / 2 - 60, "y": box["y"] + box["height"] / 2 - 40}
    clip = {**place, "width": 120, "height": 80}
    without = at_rest(page, clip=clip)
    line = review.line(NAMES[0])
    review.workspace.catalog.changes.append([replace(line, version=2, status=ChangeStatus.ACCEPTED)])
    until_seen(page, lambda: at_rest(page, clip=clip) != without)  # told by the server, then read and drawn
    drawn = at_rest(page, clip=clip)
    page.locator('[data-layer="changes"]').uncheck()
    until_seen(page, lambda: at_rest(page, clip=clip) != drawn)
    in_address(page, "turned=changes")
    page.locator('[data-layer="changes"]').check()
    until_seen(page, lambda: page.screenshot(clip=clip) == drawn)


def test_no_candidate_is_on_the_wall(open_page: OpenPage, review: Review) -> None:
    """The review is left when the meeting is entered, and cannot be entered in it."""
    page = enter(open_page, review)
    page.keyboard.press("a")
    expect_count(page, 2, 1, 0)
    view_in_address(page)
    west, south, _, north = review.line(NAMES[1]).bounds_lonlat_deg
    amber = {}
    for place in ("desk", "wall"):
        if place == "wall":
            page.locator("button.meet").click()
            expect(page.locator(".meeting-caption")).to_be_visible()
            expect(page.locator(".review-row")).to_have_count(0)
        picture = settled_compare(page).astype(int)
        x, y = (round(v) for v in compared_at(page, west, (south + north) / 2))
        rim = picture[y - 30 : y + 31, x - 6 : x + 7]
        amber[place] = int((np.abs(rim - (255, 176, 0)).max(-1) < 30).sum())
    assert amber["desk"] > 40, "what waits is amber"
    assert amber["wall"] == 0


def test_a_note_stays_with_its_change_and_gives_the_keys_back_when_saved(
    open_page: OpenPage, review: Review
) -> None:
    page = enter(open_page, review)
    note = page.locator(".review [name=note]")
    note.fill("hỏi trưởng thôn")
    page.locator(".review-count").click()
    page.keyboard.press("j")
    expect(note).to_have_value("")
    first = page.locator(f'[data-change="{NAMES[0]}"]')
    expect(first).to_contain_text(words("changes.notSavedNote"))
    note.fill("nương mới cày")
    page.keyboard.press("Enter")
    expect(page.locator(f'[data-change="{NAMES[1]}"]')).to_contain_text("nương mới cày")
    page.keyboard.press("k")
    expect_chosen(page, NAMES[0])
    expect(note).to_have_value("hỏi trưởng thôn")
    page.keyboard.press("n")
    expect(note).to_have_value("")  # it is not of what is drawn
    page.keyboard.press("Escape")
    expect(note).to_have_value("hỏi trưởng thôn")
    page.keyboard.press("r")
    expect_count(page, 2, 0, 1)
    assert [review.line(name).note for name in NAMES[:2]] == ["hỏi trưởng thôn", "nương mới cày"]
    expect(first).not_to_contain_text(words("changes.notSavedNote"))


def test_what_a_newer_revision_did_not_show_again_says_so_and_stands_last(
    open_page: OpenPage, review: Review
) -> None:
    catalog = review.workspace.catalog
    line = review.line(NAMES[0])
    page = enter(open_page, review)
    newer = [f"{one.rpartition('@')[0]}@1" for one in (line.before_shown, line.after_shown)]
    west, south, east, north = line.bounds_lonlat_deg
    around = shapely.MultiPolygon([shapely.box(west - 0.0001, south, east + 0.0001, north)])
    catalog.comparisons.add([compared_on("compared-1", REAL, around, *newer)])
    expect(page.locator(".review-row").last).to_contain_text("không thấy lại")  # the page has heard of it
    names = [row.get_attribute("data-change") for row in page.locator(".review-row").all()]
    assert names == [NAMES[1], NAMES[2], NAMES[0]]
    expect(page.locator(".review-details")).to_contain_text("bản ghép mới")


def test_what_another_has_just_decided_is_told_and_not_overturned_by_one_key(
    open_page: OpenPage, review: Review
) -> None:
    page = enter(open_page, review)
    line = review.line(NAMES[0])
    theirs = replace(
        line,
        version=2,
        step_id="theirs",
        action=ChangeAction.ACCEPT,
        status=ChangeStatus.ACCEPTED,
        author="Minh",
    )
    review.workspace.catalog.changes.append([theirs])
    trouble = page.locator(".review-trouble")
    expect(trouble).to_contain_text("Minh vừa xác nhận")
    page.keyboard.press("r")
    expect(trouble).to_contain_text("bấm lần nữa")
    assert review.line(NAMES[0]) == theirs
    page.keyboard.press("r")
    expect(page.locator(f'[data-change="{NAMES[1]}"]')).to_have_attribute("aria-current", "true")
    assert review.line(NAMES[0]).status is ChangeStatus.REJECTED
