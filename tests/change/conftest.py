"""One storm over a piece of the drill's valley, seen from above, made once for the tests of the room."""

from __future__ import annotations

import pytest

from bench.change_scenes import image_pair
from flycam.change.image_pair import ImagePair
from flycam.drill.land import CENTRE_M
from tests.drill.topview import ViewPair, view_pair

_HALF_M = 200.0


@pytest.fixture(scope="session")
def views() -> ViewPair:
    east, north = CENTRE_M
    around = (east - _HALF_M, north - _HALF_M, east + _HALF_M, north + _HALF_M)
    return view_pair(around, 0.5, seed=702)


@pytest.fixture(scope="session")
def storm(views: ViewPair) -> ImagePair:
    return image_pair(views)
