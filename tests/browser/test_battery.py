"""The box that serves the map says when it lives on its battery, and when its disk is nearly full."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from flycam.http.services import Services
from flycam.power import Battery, Power, PowerMode
from flycam.serve import health
from tests.browser.conftest import OpenPage
from tests.serve.running import running
from tests.serve.world import World

pytestmark = pytest.mark.browser


def test_a_box_on_its_battery_says_so_and_how_long(open_page: OpenPage, world: World) -> None:
    power = Power(PowerMode.FULL, lambda: Battery(17.0, True, 4500.0))
    power.poll()
    services = Services(workspace=replace(world.workspace, power=power))
    with running(services) as url:
        page = open_page(link="lang=vi", url=url)
        badge = page.locator(".battery")
        expect(badge).to_have_text("Pin 17 %")
        expect(badge).to_have_attribute("title", "Máy chủ bản đồ đang chạy bằng pin; còn khoảng 1,3 giờ")
        page.locator(".language").click()
        expect(badge).to_have_text("Battery 17 %")


def test_a_box_whose_disk_is_nearly_full_says_so(
    open_page: OpenPage, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = int(world.workspace.store.free_bytes() or 0)
    monkeypatch.setattr(health, "LOW_SPACE_BYTES", free + (1 << 40))
    with running(Services(workspace=world.workspace)) as url:
        page = open_page(link="lang=vi", url=url)
        expect(page.locator(".disk-room")).to_have_text(re.compile(r"Ổ đĩa còn [\d.,]+ GB"))
        page.locator(".language").click()
        expect(page.locator(".disk-room")).to_have_text(re.compile(r"[\d.,]+ GB of disk left"))
