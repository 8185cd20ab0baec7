"""What a person does on the map, and when the map has come to rest."""

from __future__ import annotations

import re

import cv2
import numpy as np
from playwright.sync_api import Page


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
