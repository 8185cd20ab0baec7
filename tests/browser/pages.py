"""What a person does on the map, and when the map has come to rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import cv2
import numpy as np
from playwright.sync_api import Error, Page, Route

from flycam.geometry.grid import lonlat_to_mercator


def settled(page: Page) -> np.ndarray:
    """RGB screenshot of the page once the map has drawn all it asked for and two in a row are equal."""
    page.wait_for_selector('.map[aria-busy="false"]', state="attached")
    before = b""
    for _ in range(40):
        page.wait_for_timeout(150)
        now = page.screenshot()
        if now == before:
            break
        before = now
    decoded = cv2.imdecode(np.frombuffer(before, np.uint8), cv2.IMREAD_COLOR)
    return decoded[..., ::-1]


def settled_compare(page: Page) -> np.ndarray:
    """As `settled`, of the two maps of a comparison, under which the map itself does not draw."""
    before = b""
    for _ in range(40):
        page.wait_for_timeout(150)
        now = page.screenshot()
        if now == before:
            break
        before = now
    return cv2.imdecode(np.frombuffer(before, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def painted_in_the_middle(page: Page) -> np.ndarray:
    """Mean colour of 60 pixels around the middle of the map, once that has come to rest."""
    box = page.locator(".map").bounding_box()
    assert box is not None
    x, y = int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)
    return settled(page)[y - 30 : y + 30, x - 30 : x + 30].reshape(-1, 3).mean(0)


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


def hold(page: Page, glob: str) -> Held:
    """Requests of the page from now on, none of which is answered before the test lets them go."""
    held = Held()
    page.route(glob, held)
    return held


def click_map(page: Page, x: float = 0.5, y: float = 0.5) -> None:
    box = page.locator(".map").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def wait_for_zoom(page: Page, least: float) -> None:
    """Until the address bar says so; no script is evaluated, because the page's policy forbids it."""
    for _ in range(100):
        found = re.search(r"map=([\d.]+)", page.url)
        if found and float(found.group(1)) > least:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the map did not zoom beyond {least}: {page.url}")


def wait_for_place(page: Page, lon: float, within: float) -> None:
    """Until the address bar says that the map's middle lies so near to a longitude, degrees."""
    for _ in range(100):
        found = re.search(r"map=[\d.]+%2F[\d.]+%2F([\d.]+)", page.url)
        if found and abs(float(found.group(1)) - lon) < within:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the map did not go to {lon}: {page.url}")


def on_screen(page: Page, lon: float, lat: float) -> tuple[float, float]:
    """Where a place is drawn, pixels from the page's upper left corner; the view is the address bar's."""
    found = re.search(r"map=([\d.]+)%2F([\d.]+)%2F([\d.]+)", page.url)
    box = page.locator(".map").bounding_box()
    assert found is not None and box is not None
    zoom, lat0, lon0 = map(float, found.groups())
    centre, place = lonlat_to_mercator(np.array([[lon0, lat0], [lon, lat]]))
    east, north = (place - centre) * 256 * 2**zoom / (2 * np.pi * 6378137.0)
    return box["x"] + box["width"] / 2 + east, box["y"] + box["height"] / 2 - north
