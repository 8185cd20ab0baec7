"""One storm over a piece of the drill's valley, seen from above, made once for the tests of the room."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from bench.change_scenes import image_pair
from flycam.change.coregistration import Registration, coregister_images
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


_REGISTRATIONS: dict[str, Registration] = {}


@pytest.fixture
def registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coregister two pictures once in a process, however many tests compare them."""

    def register(*pictures: np.ndarray, gsd_m: float, **options: Any) -> Registration:
        digest = hashlib.sha256(repr((gsd_m, [one.shape for one in pictures])).encode())
        for one in pictures:
            digest.update(np.ascontiguousarray(one).tobytes())
        key = digest.hexdigest()
        if key not in _REGISTRATIONS:
            _REGISTRATIONS[key] = coregister_images(*pictures, gsd_m=gsd_m, **options)
        return _REGISTRATIONS[key]

    monkeypatch.setattr("flycam.change.comparison.coregister_images", register)
