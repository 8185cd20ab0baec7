"""Makes docs/pictures/map.png, the README's picture: python -m tests.browser.picture

The drill flight after its storm with its communes, one pixel traced to its photo, as the map shows them on
an office screen. Renders the drill, so it takes a minute; give a data folder of `flycam demo` to save that.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from flycam.catalog.catalog import open_catalog
from flycam.cli.demo import run_demo
from flycam.http.guards import Services
from flycam.model.flight import Flight
from flycam.storage.stores import LocalStore
from flycam.workspace import Workspace
from tests.browser.conftest import CHROMIUM, FLAGS, SIZES
from tests.browser.pages import click_map, settled
from tests.serve.running import running

TARGET = Path(__file__).parents[2] / "docs" / "pictures" / "map.png"
_CARD_SHARE = 0.2
_ZOOM = 17.0


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="data folder of `flycam demo`")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.data or Path(scratch)
        with open_catalog(f"sqlite:///{root / 'catalog.sqlite'}") as catalog:
            workspace = Workspace(
                store=LocalStore(root / "store"), catalog=catalog, box="picture", cache_dir=root / "cache"
            )
            if not catalog.flights.flights():
                run_demo(workspace)
            newest = max(catalog.flights.flights(), key=lambda flight: flight.last_ns)
            with running(Services(workspace=workspace)) as url:
                picture = _picture(url, newest)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # 256 colours: a third of the bytes, and nobody sees it
    Image.fromarray(picture).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(
        options.out, optimize=True
    )


def _picture(url: str, flight: Flight) -> np.ndarray:
    if flight.bounds_lonlat_deg is None:
        raise SystemExit(f"{flight.name}: nothing was imaged; make the demo again")
    west, south, east, north = flight.bounds_lonlat_deg
    # the card takes the right of the map: the flight lies in the middle of what is left
    lon = (west + east) / 2 + _CARD_SHARE * (east - west) * 2
    width, height = SIZES["office"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page: Page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(f"{url}/#lang=vi&map={_ZOOM}/{(south + north) / 2}/{lon}")
        page.wait_for_selector(".flight", state="attached")
        settled(page)
        click_map(page, 0.36, 0.42)
        page.wait_for_selector(".card img")
        page.mouse.move(width / 2, 20)
        picture = settled(page)
        browser.close()
    return picture


if __name__ == "__main__":
    main()
