"""The review's list: filtered, doubtful pairs, and no key passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from playwright.sync_api import Page, expect

from flycam.change.comparison import describe_clouds, list_pair_doubts
from flycam.model.board import ChangeKind, LayerKind
from tests.browser.conftest import OpenPage
from tests.browser.pages import hold
from tests.browser.test_changes import (
    NAMES,
    Review,
    chosen,
    expect_chosen,
    expect_count,
    reviewing,
    with_candidates,
)
from tests.browser.words import filled_words, words
from tests.change.impacted import add_things
from tests.serve.world import LAT, LON, REAL
from tests.suites.comparison_suite import compared_on

pytestmark = pytest.mark.browser

FLOOD, BEYOND = "change-00000008", "change-00000009"


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    """Five candidates: three slides in one commune, a flood in another, a slide beyond all boundaries; a road
    goes under the second slide; the pair is on record."""
    world = with_candidates(tmp_path / "world")
    catalog = world.workspace.catalog
    last = catalog.changes.history(NAMES[2])[-1]
    catalog.changes.append(
        [
            replace(last, change_id=FLOOD, kind=ChangeKind.FLOOD, commune="99002", score=0.5, error_m=0.42),
            replace(last, change_id=BEYOND, commune="", score=0.4),
        ]
    )
    under = shapely.LineString([(LON + 0.0013, LAT - 0.005), (LON + 0.0013, LAT + 0.005)])
    add_things(world.workspace, tmp_path, "Đường", LayerKind.ROAD, [("ĐT 153", under)])
    around = shapely.MultiPolygon([shapely.box(LON - 0.003, LAT - 0.003, LON + 0.006, LAT + 0.003)])
    shown = last.before_shown, last.after_shown
    catalog.comparisons.add([compared_on("compared-1", REAL, around, *shown)])
    with reviewing(world) as served:
        yield served


def enter(open_page: OpenPage, review: Review) -> Page:
    page = open_page(link=f"lang=vi&event={REAL}", url=review.url)
    page.locator(".review-door").click()
    expect(page.locator(".review-row")).to_have_count(5)
    return page


def listed(page: Page) -> list[str | None]:
    return [row.get_attribute("data-change") for row in page.locator(".review-row").all()]


def test_the_list_is_filtered_from_the_keyboard(open_page: OpenPage, review: Review) -> None:
    page = enter(open_page, review)
    page.locator(".review-count").click()
    page.keyboard.press("f")
    expect(page.locator('[data-kept="filter-status"]')).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".review-row")).to_have_count(1)
    assert listed(page) == [FLOOD] and chosen(page) == FLOOD
    expect(page.locator(".review-filters")).to_contain_text("Hiện 1 trong 5")
    expect(page.locator(".review-details")).to_contain_text("vị trí ±0,4 m")
    expect(page.locator(f'[data-change="{FLOOD}"]')).to_contain_text("±")
    page.locator('[data-kept="filter-status"]').select_option("proposed")
    page.locator('[data-kept="filter-status"]').focus()
    page.keyboard.press("Escape")
    expect(page.locator(".compare")).to_have_count(1)
    page.keyboard.press("a")
    expect_count(page, 4, 1, 0)
    assert review.line(FLOOD).status.value == "accepted"
    assert listed(page) == [FLOOD], "what is chosen stays until the reader goes on"

    page.locator('[data-kept="filter-kind"]').select_option("")
    expect(page.locator(".review-row")).to_have_count(4)
    expect_chosen(page, NAMES[0])
    page.locator('[data-kept="filter-commune"]').select_option(label=words("changes.noCommune"))
    expect(page.locator(".review-row")).to_have_count(1)
    assert listed(page) == [BEYOND]
    expect(page.locator('[data-kept="redraw"]')).to_be_visible()
    page.locator('[data-kept="filter-status"]').select_option("rejected")
    expect(page.locator(".review-row")).to_have_count(0)
    expect(page.locator('[data-kept="redraw"]')).to_have_count(0)


def test_why_two_pictures_are_doubtful_stands_at_their_head_and_with_each_candidate(
    open_page: OpenPage, review: Review
) -> None:
    catalog = review.workspace.catalog
    (known,) = catalog.comparisons.list_for_event(REAL)
    registration = SimpleNamespace(agreed_share=0.4, agreed=np.ones(267), found=650, found_p95_m=4.12)
    (doubt,), (warning,) = list_pair_doubts((), registration), describe_clouds(0.12)  # type: ignore[arg-type]
    comparison = replace(known, comparison_id="compared-2", at_ns=known.at_ns + 1, warnings=(warning,))
    catalog.comparisons.add([comparison])
    page = enter(open_page, review)
    head, rows = page.locator(".review-head details"), page.locator(".review-row")
    expect(head.locator("summary")).to_contain_text(filled_words("changes.pairWarned", 1))
    expect(head.locator("li")).to_be_hidden()
    expect(rows.first).not_to_contain_text("kém chắc chắn")
    catalog.comparisons.add(
        [replace(comparison, comparison_id="compared-3", at_ns=comparison.at_ns + 1, doubts=(doubt,))]
    )
    page = enter(open_page, review)
    head, rows = page.locator(".review-head details"), page.locator(".review-row")
    expect(head.locator("summary")).to_have_text(words("changes.pairDoubted"))
    expect(head.locator("li")).to_have_text([doubt.in_language("vi"), warning.in_language("vi")])
    expect(head.locator("li").first).to_be_visible()
    for number in range(rows.count()):
        expect(rows.nth(number)).to_contain_text(words("changes.doubted"))


def test_a_key_pressed_while_a_decision_is_being_saved_is_not_passed_over_in_silence(
    open_page: OpenPage, review: Review
) -> None:
    page = enter(open_page, review)
    page.locator(".review-count").click()
    held = hold(page, "**/api/changes/steps/*")
    page.keyboard.press("a")
    page.keyboard.press("r")
    expect(page.locator(".review-trouble")).to_contain_text(words("changes.saving"))
    held.release()
    expect_count(page, 4, 1, 0)
    expect(page.locator(".review-trouble")).to_contain_text(words("changes.passedOver"))
    expect_chosen(page, NAMES[1])
    assert review.line(NAMES[1]).status.value == "proposed"
    page.keyboard.press("r")
    expect_count(page, 3, 1, 1)
    expect(page.locator(".review-trouble")).to_have_count(0)
