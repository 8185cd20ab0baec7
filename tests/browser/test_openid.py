"""The door where the province has a sign-in service of its own: there and back, to the view of the link."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from flycam.access.openid import OpenIdProvider
from flycam.config import OpenIdClient
from flycam.http.guards import Services
from flycam.model.access import Role
from tests.browser.pages import open_doors, wait_for_zoom
from tests.ports import free_port
from tests.serve.oidc_provider import CLIENT_ID, SECRET, provider, tell
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, add_account, make_world

pytestmark = pytest.mark.browser

BUTTON = "Đăng nhập bằng tài khoản của tỉnh"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    workspace, port = make_world(tmp_path_factory.mktemp("openid")).workspace, free_port()
    add_account(workspace, "Quản trị", Role.ADMIN, "admin-token")
    with provider() as issuer:
        tell(issuer, "people", {"Lan": {"sub": "u-1", "preferred_username": "lan", "groups": ["to-bay"]}})
        client = OpenIdClient(
            issuer=issuer,
            client_id=CLIENT_ID,
            secret=SECRET,
            address=f"http://127.0.0.1:{port}",
            roles={"to-bay": Role.OPERATOR},
        )
        with running(
            Services(workspace=workspace, openid=OpenIdProvider(client), follow_s=0.2), port
        ) as address:
            yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


def test_there_and_back_to_the_view_of_the_link(page: Page, url: str) -> None:
    page.goto(f"{url}/#lang=vi&event={REAL}&map=15.5/{LAT}/{LON}")
    button = page.get_by_role("link", name=BUTTON)
    expect(button).to_be_visible()
    button.click()
    page.get_by_role("link", name="Lan").click()
    page.wait_for_selector(".flight", state="attached")
    open_doors(page)
    expect(page.get_by_role("button", name="Thoát")).to_be_visible()
    wait_for_zoom(page, 15.4)
    assert f"event={REAL}" in page.url and "code=" not in page.url


def test_whoever_is_refused_reads_why_and_finds_back(page: Page, url: str) -> None:
    page.goto(f"{url}/openid/callback?error=access_denied&state=x")
    expect(page.get_by_role("alert")).to_contain_text("hãy mở http://127.0.0.1")
    page.get_by_role("link", name="Về bản đồ").click()
    expect(page.get_by_label("Mã truy cập")).to_be_visible()
