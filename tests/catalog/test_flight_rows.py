from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flycam.catalog.flight_rows import flight_of, flight_row
from tests.suites.catalog_suite import flight


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (["no_terrain", "relaid?frames=3"], ("no_terrain", "relaid?frames=3")),
        ([1, "no_terrain", {"a": 1}, None], ("no_terrain",)),
        (1, ()),
        ("no_terrain", ()),
    ],
)
def test_a_row_that_a_box_of_before_took_in_as_it_came_is_read(kept: object, told: tuple[str, ...]) -> None:
    row = SimpleNamespace(**flight_row(flight()) | {"warnings": json.dumps(kept)})
    assert flight_of(cast("Any", row)).warnings == told
