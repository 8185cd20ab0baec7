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
