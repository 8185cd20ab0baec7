"""The first start on the page, signing in by a code that is typed, and the room of tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from flycam.access.accounts import make_setup_code, make_token
from flycam.http.guards import Services
from flycam.model.access import Role, Scope
from flycam.workspace import Workspace
from tests.browser.conftest import SIZES
from tests.browser.pages import in_address, open_doors, sign_in
from tests.browser.test_axe import AXE, severe
from tests.browser.words import words
from tests.serve.running import running
from tests.serve.world import REAL, add_account, make_world

pytestmark = pytest.mark.browser

CODE = re.compile(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}")


@dataclass(frozen=True)
class House:
    url: str
    workspace: Workspace


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not there: make map")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[House]:
    """Others reach it, and nobody has an account."""
    workspace = make_world(tmp_path).workspace
    with running(Services(workspace=workspace, bound_to_loopback=False, follow_s=0.2)) as url:
        yield House(url, workspace)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("access")
    workspace = make_world(root).workspace
    for role in (Role.VIEWER, Role.OPERATOR, Role.ANALYST, Role.ADMIN):
        add_account(workspace, role.value, role, f"{role.value}-token")
    services = Services(workspace=workspace, follow_s=0.2, uploads_dir=root / "uploads")
    with running(services) as url:
        yield House(url, workspace)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    width, height = SIZES["phone"]
    context = browser.new_context(viewport={"width": width, "height": height})
    yield context.new_page()
    context.close()


def signed_in(page: Page, house: House, role: Role, language: str = "vi", event: str = REAL) -> None:
    page.goto(f"{house.url}/#lang={language}&event={event}")
    sign_in(page, f"{role.value}-token")


def test_the_first_administrator_is_made_with_the_printed_code(page: Page, empty: House) -> None:
    code = make_setup_code(empty.workspace)
    page.goto(f"{empty.url}/#lang=vi&event={REAL}")
    expect(page.get_by_role("heading", name="Thiết lập lần đầu")).to_be_visible()
    expect(page.get_by_label("Mã truy cập")).to_have_count(0)
    assert not severe(page)
    page.get_by_label("Mã thiết lập").fill("0000-0000-0000")
    page.get_by_label("Tên của bạn").fill("Lan")
    page.get_by_role("button", name="Tạo quản trị viên").click()
    expect(page.get_by_role("alert")).to_contain_text("mã không đúng")
    page.get_by_label("Mã thiết lập").fill(code.lower())
    page.get_by_role("button", name="Tạo quản trị viên").click()
    token = page.get_by_label("Mã truy cập")
    expect(token).to_be_visible()
    assert not severe(page)
    by = {"Authorization": f"Bearer {token.input_value()}"}
    assert httpx.get(f"{empty.url}/api/session", headers=by).json()["account"]["role"] == "admin"
    page.get_by_role("button", name=words("account.setupOpen")).click()
    page.wait_for_selector(".flight", state="attached")
    expect(page.locator("button.account")).to_have_attribute("title", "Lan (quản trị)")


def test_tokens_are_made_shown_once_listed_and_revoked(page: Page, house: House) -> None:
    signed_in(page, house, Role.ADMIN)
    open_doors(page)
    expect(page.get_by_role("button", name="Thoát")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Mã truy cập của tôi").click()
    room = page.get_by_role("dialog", name="Mã truy cập của admin (quản trị)")
    room.locator("#account-whose").select_option("viewer")
    room.get_by_label("Dùng cho").fill("QGIS")
    room.get_by_label("Được phép").select_option("map")
    room.get_by_role("button", name="Tạo mã", exact=True).click()
    secret = room.locator(".once-secret")
    expect(secret).to_be_visible()
    value = secret.input_value()
    by = {"Authorization": f"Bearer {value}"}
    assert httpx.get(f"{house.url}/api/session", headers=by).json()["scope"] == "map"
    row = room.locator("li", has=page.locator("strong", has_text="viewer: QGIS"))
    expect(row).to_contain_text(words("account.scope_map"))
    here = room.locator("li", has_text="đang dùng ở đây")
    expect(here).to_contain_text("cũng kết thúc: viewer: QGIS")
    assert not severe(page)
    row.scroll_into_view_if_needed()
    row.get_by_role("button", name="Thu hồi").click()
    expect(row).to_have_count(0)
    expect(room.locator(".once-secret")).to_have_count(0)
    held = house.workspace.catalog.tokens.list_valid(0, "viewer")
    assert [one.label for one in held] == [""], "and the others hold"
    room.get_by_role("button", name="Tạo mã vào một lần").click()
    expect(secret).to_have_value(CODE)
    room.get_by_role("button", name="Đóng").click()
    expect(room).to_have_count(0)


def test_a_token_for_uploads_leads_to_the_upload_page(page: Page, house: House) -> None:
    _, secret = make_token(house.workspace, "operator", "điện thoại", Scope.UPLOADS, None, "test")
    page.goto(f"{house.url}/#lang=vi")
    page.locator("#token").fill(secret)
    page.locator(".login button").click()
    page.wait_for_selector(".picker")
    in_address(page, "/upload.html")


def test_signing_out_that_fails_is_said_until_it_is_done(page: Page, house: House) -> None:
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    signed_in(page, house, Role.VIEWER)
    page.route("**/api/logout**", lambda route: route.abort())
    out = page.get_by_role("button", name="Thoát")
    open_doors(page)
    out.click()
    said = page.get_by_role("alert").filter(has_text="Chưa thoát")
    expect(said).to_contain_text("viewer")
    assert not severe(page)
    page.unroute("**/api/logout**")
    open_doors(page)
    out.click()
    expect(page.locator("#token")).to_be_visible()
    assert page.context.request.get(f"{house.url}/api/session").status == 401
    assert not troubles
