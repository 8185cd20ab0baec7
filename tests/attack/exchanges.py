"""What two houses that exchange over a line hold."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path

from flycam.catalog.catalog import open_catalog
from flycam.storage.stores import open_store
from tests.attack.commands import Operator


def flight_of(field: Operator) -> str:
    """The id of its first flight."""
    with open_catalog(f"sqlite:///{field.data / 'catalog.sqlite'}") as catalog:
        return catalog.flights.flights()[0].flight_id


def admitted(box: Operator, province: Operator, account: str) -> Operator:
    """The same box, with an account of this name at the province and its token."""
    made = province("user", "add", account, "--role", "box")
    assert made.exit_code == 0
    return Operator(box.data, {**box.environment, "FLYCAM_TOKEN": str(made.json["token"])})


def kept(operator: Operator, prefix: str) -> list[str]:
    """Keys in its store."""
    with closing(open_store((operator.data / "store").as_uri())) as store:
        return list(store.list(prefix))


def masts(path: Path, count: int) -> Path:
    """A layer of so many masts around the drill's valley."""
    choose = random.Random(7)
    things = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [104.8 + choose.random(), 21.8 + choose.random()]},
            "properties": {"name": f"BTS {choose.random()}", "status": "mất điện"},
        }
        for _ in range(count)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": things}), encoding="utf-8")
    return path


def common(operator: Operator) -> dict[str, object]:
    """What a house holds in common with others, by what is known of it."""
    with open_catalog(f"sqlite:///{operator.data / 'catalog.sqlite'}") as catalog:
        return {
            "layers": [(one.layer_id, one.features, one.refreshed_ns) for one in catalog.layers.all()],
            "communes": catalog.boundaries.editions(),
            "terrain": [(one.dem_id, one.vertical_datum) for one in catalog.terrain.dems()],
        }
