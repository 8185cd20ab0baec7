"""A finished flight on the map: which revision is drawn, and what is known about its pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.serve.layers import LEGENDS, DataLayer
from flycam.serve.services import Services
from tests.browser.conftest import OpenPage
from tests.browser.pages import settled
from tests.serve.finished import finish_by_hand
from tests.serve.running import running
from tests.serve.world import LAT, LON, REAL, make_world

pytestmark = pytest.mark.browser


def test_final_or_live_and_the_error_layer_with_its_legend(
    open_page: OpenPage, tmp_path: Path, screenshots: Path
) -> None:
    world = make_world(tmp_path)
    finish_by_hand(world.workspace, world.after)
    with running(Services(workspace=world.workspace, follow_s=0.2)) as url:
        page = open_page(link=f"event={REAL}&lang=vi&map=18/{LAT - 0.0015}/{LON + 0.0042}", url=url)
        choice = page.locator("select.revision")
        assert choice.locator("option").first.inner_text().startswith("Bản hoàn thiện 1")

        def middle() -> np.ndarray:
            box = page.locator(".map").bounding_box()
            assert box is not None
            x, y = int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)
            return settled(page)[y - 40 : y + 40, x - 40 : x + 40].reshape(-1, 3).astype(float)

        final = middle().mean()
        choice.select_option("0")
        assert middle().mean() > 1.6 * final, "the finished tiles of this world are half as bright"
        choice.select_option("1")
        page.locator(".data-layer select").select_option("error")
        page.wait_for_selector(".data-legend .swatch")
        assert page.locator(".data-legend li").count() == len(LEGENDS[DataLayer.ERROR].classes)
        assert "Sai số dự kiến" in page.locator(".data-legend h3").inner_text()
        painted = middle()
        assert painted.std(axis=0).max() > 20.0, "classes from west to east"
        cv2.imwrite(str(screenshots / "error.png"), settled(page)[..., ::-1])
