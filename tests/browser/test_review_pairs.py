"""Over which two pictures a candidate is shown, and what is said where the map has not both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from flycam.serve.services import Services
from tests.browser.conftest import OpenPage
from tests.browser.pages import settled_compare
from tests.browser.test_changes import NAMES, Review, enter, with_candidates
from tests.serve.running import running

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
    with running(Services(workspace=world.workspace, follow_s=0.2)) as url:
        yield Review(url, world)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_candidate_against_a_picture_is_not_shown_over_the_pair_before(
    open_page: OpenPage, review: Review, language: str, screenshots: Path
) -> None:
    page = enter(open_page, review, language=language)
    before, after = (page.locator(f".compared.{which} .compared-caption") for which in ("before", "after"))
    gone = {"vi": "không có trên bản đồ này", "en": "is not on this map"}[language]
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
    settled_compare(page)
    page.screenshot(path=screenshots / f"review-picture-{language}.png")
    page.reload()  # the link says the same
    expect(before).to_contain_text("truoc ~1.tif")
    page.locator(".review-door").click()
    page.locator(f'[data-kept="{NEITHER}"]').click()
    for caption, name in ((before, "a.tif"), (after, "b.tif")):
        expect(caption).to_contain_text(name)
        expect(missing).to_contain_text(name)
    page.locator(f'[data-kept="{NAMES[0]}"]').click()
    expect(missing).to_have_count(0)
    expect(before).not_to_contain_text(gone)
    expect(page.locator(".swipe-handle")).to_have_attribute("aria-valuenow", share or "")


@pytest.mark.parametrize("language", ["vi", "en"])
def test_each_row_tells_its_dates_and_the_list_is_filtered_by_two_pictures(
    open_page: OpenPage, review: Review, language: str, screenshots: Path
) -> None:
    page = enter(open_page, review, language=language)
    rows = [page.locator(f'[data-change="{name}"]') for name in NAMES]
    expect(rows[0]).to_contain_text("20/08 → 10/09/2024 10:15")
    expect(rows[1]).to_contain_text("truoc ~1.tif → 10/09/2024 10:15")
    expect(rows[2]).to_contain_text("a.tif → b.tif")
    chooser = page.locator('[data-kept="filter-pair"]')
    chooser.select_option(label="20/08 09:10 → 10/09/2024 10:15")
    expect(page.locator(".review-row")).to_have_count(1)
    expect(rows[0]).to_be_visible()
    settled_compare(page)
    page.screenshot(path=screenshots / f"review-pairs-{language}.png")
    chooser.select_option(label="a.tif → b.tif")
    expect(rows[2]).to_have_attribute("aria-current", "true")
    chooser.select_option("")
    expect(page.locator(".review-row")).to_have_count(3)
    settled_compare(page)
    page.screenshot(path=screenshots / f"review-dates-{language}.png")


def test_where_all_is_of_two_pictures_there_is_nothing_to_choose(open_page: OpenPage, tmp_path: Path) -> None:
    world = with_candidates(tmp_path / "one-pair")
    with running(Services(workspace=world.workspace, follow_s=0.2)) as url:
        page = enter(open_page, Review(url, world))
        expect(page.locator('[data-kept="filter-kind"]')).to_have_count(1)
        expect(page.locator('[data-kept="filter-pair"]')).to_have_count(0)
