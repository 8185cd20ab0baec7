"""What is in the analyst's hand: a note that is written, a line that is drawn, what another decides on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from playwright.sync_api import expect

from flycam.http.services import Services
from flycam.model.board import ChangeAction, ChangeStatus
from tests.browser.conftest import OpenPage
from tests.browser.pages import settled_compare, until_seen, view_in_address
from tests.browser.test_changes import (
    NAMES,
    Review,
    compared_at,
    enter,
    expect_chosen,
    expect_count,
    with_candidates,
)
from tests.serve.running import running
from tests.serve.world import REAL
from tests.suites.comparison_suite import compared_on

pytestmark = pytest.mark.browser


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    world = with_candidates(tmp_path / "world")
    with running(Services(workspace=world.workspace, follow_s=0.2)) as url:
        yield Review(url, world)


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
    expect(first).to_contain_text("ghi chú chưa lưu")
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
    expect(first).not_to_contain_text("ghi chú chưa lưu")


@pytest.mark.parametrize(("language", "said"), [("vi", "không thấy lại"), ("en", "not found again")])
def test_what_a_newer_revision_did_not_show_again_says_so_and_stands_last(
    open_page: OpenPage, review: Review, language: str, said: str, screenshots: Path
) -> None:
    catalog = review.world.workspace.catalog
    line = review.line(NAMES[0])
    page = enter(open_page, review, language=language)
    newer = [f"{one.rpartition('@')[0]}@1" for one in (line.before_shown, line.after_shown)]
    west, south, east, north = line.bounds_lonlat_deg
    around = shapely.MultiPolygon([shapely.box(west - 0.0001, south, east + 0.0001, north)])
    catalog.comparisons.add([compared_on("compared-1", REAL, around, *newer)])
    expect(page.locator(".review-row").last).to_contain_text(said)  # the page has heard of it
    names = [row.get_attribute("data-change") for row in page.locator(".review-row").all()]
    assert names == [NAMES[1], NAMES[2], NAMES[0]]
    expect(page.locator(".review-details")).to_contain_text({"vi": "bản ghép mới", "en": "newer"}[language])
    settled_compare(page)
    page.screenshot(path=screenshots / f"review-unfound-{language}.png")


def test_enter_ends_the_outline_that_is_being_drawn_and_saves(open_page: OpenPage, review: Review) -> None:
    page = enter(open_page, review)
    west, south, east, north = review.line(NAMES[0]).bounds_lonlat_deg
    view_in_address(page)
    page.keyboard.press("n")
    page.keyboard.press("1")
    for corner in [(west, south), (east, south)]:
        page.mouse.click(*compared_at(page, *corner))
        page.wait_for_timeout(400)
    page.keyboard.press("Enter")
    expect(page.locator(".review-trouble")).to_contain_text("ba đỉnh")
    page.mouse.click(*compared_at(page, east, north))
    page.wait_for_timeout(400)
    page.mouse.move(*compared_at(page, west, north))  # is no corner
    page.keyboard.press("Enter")
    expect_count(page, 3, 1, 0)
    (drawn,) = [one for one in review.standing() if one.action is ChangeAction.DRAW]
    half = shapely.box(west, south, east, north).area / 2
    assert shapely.from_wkb(drawn.wkb).area == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize(("language", "said"), [("vi", "Minh vừa xác nhận"), ("en", "Just accepted by Minh")])
def test_what_another_has_just_decided_is_told_and_not_overturned_by_one_key(
    open_page: OpenPage, review: Review, language: str, said: str, screenshots: Path
) -> None:
    page = enter(open_page, review, language=language)
    line = review.line(NAMES[0])
    theirs = replace(
        line,
        version=2,
        step_id="theirs",
        action=ChangeAction.ACCEPT,
        status=ChangeStatus.ACCEPTED,
        author="Minh",
    )
    review.world.workspace.catalog.changes.append([theirs])
    trouble = page.locator(".review-trouble")
    expect(trouble).to_contain_text(said)
    settled_compare(page)
    page.screenshot(path=screenshots / f"review-overtaken-{language}.png")
    page.keyboard.press("r")
    expect(trouble).to_contain_text({"vi": "bấm lần nữa", "en": "press again"}[language])
    assert review.line(NAMES[0]) == theirs
    page.keyboard.press("r")
    expect(page.locator(f'[data-change="{NAMES[1]}"]')).to_have_attribute("aria-current", "true")
    assert review.line(NAMES[0]).status is ChangeStatus.REJECTED


def test_another_way_to_compare_keeps_the_change_in_sight_and_the_line_where_it_was(
    open_page: OpenPage, review: Review
) -> None:
    """The panel covers a part of what is swept over, and nothing of two pictures side by side."""
    page = enter(open_page, review)
    west, south, east, north = review.line(NAMES[0]).bounds_lonlat_deg
    handle = page.locator(".swipe-handle")
    handle.focus()
    page.keyboard.press("ArrowLeft")
    stood = handle.get_attribute("aria-valuenow")

    def corners() -> list[tuple[float, float]]:
        view_in_address(page)
        return [compared_at(page, west, south), compared_at(page, east, north)]

    before = corners()
    page.locator('button[data-mode="side"]').click()
    beside, half = corners(), page.locator(".compared.before").bounding_box()
    assert half is not None
    assert all(half["x"] < x < half["x"] + half["width"] for x, _ in beside), "all of it is in sight"
    middle = (beside[0][0] + beside[1][0]) / 2
    assert middle == pytest.approx(half["x"] + half["width"] / 2, abs=4)
    page.locator('button[data-mode="flicker"]').click()
    page.locator('button[data-mode="swipe"]').click()
    expect(handle).to_have_attribute("aria-valuenow", stood or "")
    assert np.array(corners()) == pytest.approx(np.array(before), abs=2), "at the scale of before"
    page.mouse.move(*before[0])
    page.mouse.wheel(0, -300)  # nearer: side by side it has no room
    view_in_address(page)
    page.keyboard.press("3")
    beside, half = corners(), page.locator(".compared.before").bounding_box()
    assert half is not None
    assert all(half["x"] < x < half["x"] + half["width"] for x, _ in beside)
    expect_chosen(page, NAMES[0])


def test_what_is_said_goes_with_what_is_done_next(open_page: OpenPage, review: Review) -> None:
    page = enter(open_page, review)
    trouble = page.locator(".review-trouble")
    next_ones: list[tuple[str, Callable[[], None]]] = [
        ("e", lambda: page.keyboard.press("e")),
        ("Escape", lambda: page.keyboard.press("j")),
        ("h", lambda: page.keyboard.press("h")),
        ("filter", lambda: page.locator('[data-kept="filter-kind"]').select_option("landslide")),
    ]
    for said, act in next_ones:
        page.locator(".review-count").click()
        page.keyboard.press("u")
        expect(trouble, said).to_contain_text("Chỉ hoàn tác được quyết định cuối")
        act()
        expect(trouble, said).to_have_count(0)
        if said == "e":
            page.keyboard.press("Escape")
    page.locator(".review-count").click()
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    expect(trouble).to_contain_text("Chưa có đường bao")
    page.keyboard.press("Escape")
    expect(trouble).to_have_count(0)


def test_the_details_of_another_change_are_read_from_their_beginning(
    open_page: OpenPage, review: Review
) -> None:
    page = enter(open_page, review)
    details = page.locator(".review-details")
    expect(details).to_contain_text("J/K")
    least = details.evaluate("e => e.scrollHeight - e.clientHeight")
    assert least > 4, "there is something to scroll"
    assert "gradient" in details.evaluate("e => getComputedStyle(e).backgroundImage"), "an edge says so"
    details.evaluate("e => e.scrollTo(0, 1000)")
    page.keyboard.press("h")  # of the same change: what is told more is scrolled to
    expect(page.locator(".review-history")).to_be_in_viewport()
    assert details.evaluate("e => e.scrollTop") > 0
    page.keyboard.press("j")
    expect_chosen(page, NAMES[1])
    until_seen(page, lambda: details.evaluate("e => e.scrollTop") == 0)
