"""Headless Chromium on a real server. A page that logs an error or asks outside fails its test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from flycam.http.guards import STATIC_DIR, Services
from flycam.workspace import Workspace
from tests.browser.pages import sign_in
from tests.serve.running import running
from tests.serve.world import World, make_world
from tests.waiting import ENOUGH_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {"office": (1366, 768), "wall": (1920, 1080), "phone": (390, 844)}

OpenPage = Callable[..., Page]

expect.set_options(timeout=1000.0 * ENOUGH_S)  # a busy machine answers late, and is not wrong for that


@pytest.fixture(scope="session", autouse=True)
def built_map() -> None:
    """Without it there is nothing to look at."""
    if not all((STATIC_DIR / page).is_file() for page in ("index.html", "upload.html")):
        pytest.skip("the map is not built: make map")


@dataclass(frozen=True)
class House:
    """A server of a test's own, and the world that it shows."""

    url: str
    world: World

    @property
    def workspace(self) -> Workspace:
        return self.world.workspace


@contextmanager
def serving(world: World, **services: object) -> Iterator[House]:
    """services: as of `Services`."""
    with running(Services(workspace=world.workspace, **({"follow_s": 0.2} | services))) as url:  # type: ignore[arg-type]
        yield House(url, world)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with serving(make_world(tmp_path / "world")) as served:
        yield served


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def address(world: World) -> Iterator[str]:
    with running(Services(workspace=world.workspace, follow_s=0.2)) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: tests/install-system.sh tests")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for name in ("new_context", "new_page"):
            setattr(chromium, name, _patient(getattr(chromium, name)))
        yield chromium
        chromium.close()


def _patient(make: Callable[..., BrowserContext | Page]) -> Callable[..., BrowserContext | Page]:
    """As it is, but that a click waits as long as an expectation."""

    def made(**options: object) -> BrowserContext | Page:
        one = make(**options)
        (one.context if isinstance(one, Page) else one).set_default_timeout(1000.0 * ENOUGH_S)
        return one

    return made


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """open_page(size="office", link="lang=vi") : its flights are listed; token: by the door."""
    pages: list[Page] = []
    troubles: list[str] = []

    def open_one(
        size: str = "office", link: str = "", url: str = address, wait: bool = True, token: str = ""
    ) -> Page:
        width, height = SIZES[size]
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.on("pageerror", lambda error: troubles.append(f"error on the page: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((url, "data:", "blob:"))
                else troubles.append(f"asked outside: {request.url}")
            ),
        )
        page.goto(f"{url}/#{link}")
        if token:
            sign_in(page, token)
        elif wait:
            page.wait_for_selector(".flight", state="attached")
            page.wait_for_load_state("load")
        return page

    yield open_one
    for page in pages:
        page.close()
    assert not troubles


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go; pytest keeps the folder of the last runs."""
    return tmp_path_factory.mktemp("screenshots")
