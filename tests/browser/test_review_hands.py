"""What is in the analyst's hand: a note that is written, a line that is drawn, what another decides on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import shapely
from playwright.sync_api import expect

from flycam.http.services import Services
from flycam.model.board import ChangeAction, ChangeStatus
from tests.browser.conftest import OpenPage
from tests.browser.test_changes import (
    NAMES,
    Review,
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


def test_what_a_newer_revision_did_not_show_again_says_so_and_stands_last(
    open_page: OpenPage, review: Review
) -> None:
    catalog = review.world.workspace.catalog
    line = review.line(NAMES[0])
    page = enter(open_page, review, language="vi")
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
    page = enter(open_page, review, language="vi")
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
    expect(trouble).to_contain_text("Minh vừa xác nhận")
    page.keyboard.press("r")
    expect(trouble).to_contain_text("bấm lần nữa")
    assert review.line(NAMES[0]) == theirs
    page.keyboard.press("r")
    expect(page.locator(f'[data-change="{NAMES[1]}"]')).to_have_attribute("aria-current", "true")
    assert review.line(NAMES[0]).status is ChangeStatus.REJECTED
