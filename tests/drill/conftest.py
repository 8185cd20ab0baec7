"""One small drill before and one after the storm, built once for all tests of the room."""

from __future__ import annotations

import pytest

from flycam.drill.photo_drill import Drill, make_drill

SMALL = {"gsd_m": 0.5, "photos": (2, 3), "size_px": (320, 240)}


@pytest.fixture(scope="session")
def before() -> Drill:
    return make_drill(seed=3, noise=0.0, **SMALL)


@pytest.fixture(scope="session")
def after() -> Drill:
    return make_drill(seed=3, noise=0.0, after=True, **SMALL)
