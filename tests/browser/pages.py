"""What a person does on the map, and when the map has come to rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Error, Locator, Page, Route, expect

from flycam.geometry.grid import lonlat_to_mercator
from tests.waiting import until


def until_seen(page: Page, holds: Callable[[], object]) -> None:
    """Until that is so; the page goes on meanwhile, and who listens to it."""
    until(holds, "it is not seen", every_s=0.1, pause=lambda seconds: page.wait_for_timeout(1000.0 * seconds))


def at_rest(page: Page, **of: Any) -> bytes:
    """A screenshot, once two in a row are equal."""
    before = b""
    for _ in range(80):
        page.wait_for_timeout(150)
        now = page.screenshot(**of)
        if now == before:
            break
        before = now
    return before


def settled(page: Page) -> np.ndarray:
    """RGB screenshot of the page once the map has drawn all it asked for and two in a row are equal."""
    page.wait_for_selector('.map[aria-busy="false"]', state="attached")
    return settled_compare(page)


def settled_compare(page: Page) -> np.ndarray:
    """As `settled`, of the two maps of a comparison, under which the map itself does not draw."""
    return cv2.imdecode(np.frombuffer(at_rest(page), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def view_in_address(page: Page) -> None:
    """Until the map stands, and the address bar tells where: it follows the view by less than a second."""
    at_rest(page)
    url = ""
    while "map=" not in url or url != page.url:
        url = page.url
        page.wait_for_timeout(800)


def in_address(page: Page, *parts: str) -> None:
    """Until the page's address holds these."""
    for part in parts:
        expect(page).to_have_url(re.compile(re.escape(part)))


def not_in_address(page: Page, *parts: str) -> None:
    """Until it holds none of these."""
    for part in parts:
        expect(page).not_to_have_url(re.compile(re.escape(part)))


def painted_in_the_middle(page: Page) -> np.ndarray:
    """Mean colour of 60 pixels around the middle of the map, once that has come to rest."""
    box = page.locator(".map").bounding_box()
    assert box is not None
    x, y = int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)
    return settled(page)[y - 30 : y + 30, x - 30 : x + 30].reshape(-1, 3).mean(0)


def expect_painted(page: Page, colour: np.ndarray) -> None:
    """Until that is so of this colour, as near as a coded picture comes to it."""
    until_seen(page, lambda: np.abs(painted_in_the_middle(page) - colour).max() < 14)


@dataclass
class Held:
    """Requests of a page that wait for the test; what comes after `release` or `refuse` does not wait."""

    routes: list[Route] = field(default_factory=list)
    then: Callable[[Route], None] | None = None

    def __call__(self, route: Route) -> None:
        if self.then is None:
            self.routes.append(route)
        else:
            self.then(route)

    def release(self) -> None:
        self._let_go(Route.continue_)

    def refuse(self) -> None:
        self._let_go(Route.abort)

    def _let_go(self, then: Callable[[Route], None]) -> None:
        self.then = then  # first: a request may come while those before it are let go
        for route in self.routes:
            with suppress(Error):  # the page may have let go of it
                then(route)


def sign_in(page: Page, token: str) -> None:
    """By the door, until the flights are listed."""
    page.locator("#token").fill(token)
    page.locator(".login button").click()
    page.wait_for_selector(".flight", state="attached")


def box_of(thing: Locator) -> dict[str, float]:
    """Where it is drawn, pixels of the page: x, y, width, height."""
    box = thing.bounding_box()
    assert box is not None, thing
    return dict(box)


def hold(page: Page, glob: str) -> Held:
    """Requests of the page from now on, none of which is answered before the test lets them go."""
    held = Held()
    page.route(glob, held)
    return held


def open_doors(page: Page) -> None:
    """All doors of the strip in sight: what is rare stands behind its last button where there is no room."""
    more = page.locator(".more-open")
    if more.is_visible() and more.get_attribute("aria-expanded") != "true":
        more.click()


def click_map(page: Page, x: float = 0.5, y: float = 0.5) -> None:
    box = page.locator(".map").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def begin_mark(page: Page, note: str) -> None:
    """The form of a new mark with a note, not saved yet."""
    page.locator(".mark-begin").click()
    click_map(page, 0.45, 0.5)
    page.locator(".mark-form [name=note]").fill(note)


def touch(control: Locator) -> None:
    """Press a control of a meeting: these go away while no hand moves, and come back when one does."""
    for at in (300, 310):
        control.page.mouse.move(at, at)
    control.click()


def wait_for_zoom(page: Page, least: float) -> None:
    """Until the address bar says so; no script is evaluated, because the page's policy forbids it."""

    def is_there() -> bool:
        found = re.search(r"map=([\d.]+)", page.url)
        return found is not None and float(found.group(1)) > least

    until_seen(page, is_there)


def wait_for_place(page: Page, lon: float, within: float) -> None:
    """Until the address bar says that the map's middle lies so near to a longitude, degrees."""

    def is_there() -> bool:
        found = re.search(r"map=[\d.]+%2F[\d.]+%2F([\d.]+)", page.url)
        return found is not None and abs(float(found.group(1)) - lon) < within

    until_seen(page, is_there)


def on_screen(page: Page, lon: float, lat: float) -> tuple[float, float]:
    """Where a place is drawn, pixels from the page's upper left corner; the view is the address bar's."""
    found = re.search(r"map=([\d.]+)%2F([\d.]+)%2F([\d.]+)", page.url)
    box = page.locator(".map").bounding_box()
    assert found is not None
    zoom, lat0, lon0 = map(float, found.groups())
    centre, place = lonlat_to_mercator(np.array([[lon0, lat0], [lon, lat]]))
    east, north = (place - centre) * 256 * 2**zoom / (2 * np.pi * 6378137.0)
    return box["x"] + box["width"] / 2 + east, box["y"] + box["height"] / 2 - north
