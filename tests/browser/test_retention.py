"""What is due on the page: administrators see the list and confirm it in two presses; cards say what went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from flycam.model.access import RetainedKind, Role
from flycam.operations.retention import place_hold, set_retention_term
from tests.browser.conftest import SIZES, House, OpenPage, serving
from tests.browser.pages import on_screen, settled, sign_in
from tests.browser.test_axe import severe
from tests.browser.words import filled_words, words
from tests.operations.test_retention_routes import copied
from tests.serve.test_pixels import some_pixels
from tests.serve.world import REAL, World, add_account, make_world

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A world to be copied, and its folder."""
    root = tmp_path_factory.mktemp("retention") / "world"
    return make_world(root), root


@pytest.fixture
def house(made: tuple[World, Path], tmp_path: Path) -> Iterator[House]:
    """A house three months after the storm: its photos are due, those of one flight are held."""
    world = copied(made, tmp_path / "house")
    for role in (Role.OPERATOR, Role.ADMIN):
        add_account(world.workspace, role.value, role, f"{role.value}-token")
    set_retention_term(world.workspace, RetainedKind.PHOTO, 60, "Trần Thị Bưởi")
    set_retention_term(world.workspace, RetainedKind.VIDEO, 30, "Trần Thị Bưởi", REAL)
    place_hold(world.workspace, "hold-0000000a", world.before, "cơ quan điều tra yêu cầu", "Minh")
    with serving(world) as served:
        yield served


def entered(open_page: OpenPage, house: House, role: Role, language: str, link: str = "") -> Page:
    page = open_page("office", f"lang={language}&event={REAL}{link}", url=house.url, wait=False)
    sign_in(page, f"{role.value}-token")
    return page


def test_what_is_due_is_listed_and_confirmed_in_two_presses(open_page: OpenPage, house: House) -> None:
    page = entered(open_page, house, Role.ADMIN, "vi")
    page.get_by_role("button", name="Mời xem").click()
    section = page.locator(".sharing-desk section").nth(2)
    row = section.locator(".due-list li")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Thung lũng Nậm Lúc – sau bão")
    expect(row).to_contain_text("6 ảnh gốc")
    expect(row).to_contain_text("quá 60 ngày · đến hạn 09/11/2024")
    expect(section).to_contain_text("cơ quan điều tra yêu cầu · Minh")
    section.scroll_into_view_if_needed()
    section.get_by_role("button", name="Xác nhận xoá").click()
    sure = section.get_by_role("button", name="Xoá vĩnh viễn 6 bản gốc")
    expect(section.get_by_role("button", name="Thôi")).to_be_focused()
    section.scroll_into_view_if_needed()
    assert not severe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["office"][0]
    sure.click()
    expect(section.get_by_role("status")).to_have_text(filled_words("sharing.letGoDone", 6))
    expect(section.locator(".due-list li")).to_have_count(0)
    lines = house.workspace.catalog.retention.lines()
    assert len(lines) == 6 and {one.author for one in lines} == {"admin"}
    page.keyboard.press("Escape")
    lon, lat, _ = next(one for one in some_pixels(house.world, house.world.after) if one[2])
    settled(page)
    page.mouse.click(*on_screen(page, lon, lat))
    card = page.locator(".card")
    expect(card).to_contain_text("01/12/2024")
    expect(card.locator("img")).to_have_count(0)
    expect(card.get_by_role("link")).to_have_count(0)


def test_a_list_that_changed_is_refused_and_shown_anew(open_page: OpenPage, house: House) -> None:
    page = entered(open_page, house, Role.ADMIN, "vi")
    page.get_by_role("button", name="Mời xem").click()
    section = page.locator(".sharing-desk section").nth(2)
    section.get_by_role("button", name="Xác nhận xoá").click()
    place_hold(house.workspace, "hold-0000000b", house.world.after, "toà án", "Minh")
    section.get_by_role("button", name="Xoá vĩnh viễn").click()
    expect(section.get_by_role("alert")).to_contain_text("chưa xoá gì")
    expect(section.locator(".due-list li")).to_have_count(0)
    expect(section).to_contain_text("toà án · Minh")
    assert house.workspace.catalog.retention.lines() == []


def test_nobody_but_administrators_has_the_section(open_page: OpenPage, house: House) -> None:
    page = entered(open_page, house, Role.OPERATOR, "vi")
    page.get_by_role("button", name="Mời xem").click()
    expect(page.get_by_role("dialog")).to_contain_text(words("sharing.none"))
    expect(page.locator(".sharing-desk section")).to_have_count(2)
