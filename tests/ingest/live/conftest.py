"""A short film for flights of which a test needs no more."""

from __future__ import annotations

import pytest

from flycam.drill.flight import VideoPlan
from flycam.drill.video_drill import VideoDrillReport
from tests.houses import filmed_drill


@pytest.fixture(scope="session")
def clip() -> VideoDrillReport:
    """Twelve seconds with a turn, five pictures a second, 160×90."""
    plan = VideoPlan(seconds=12.0, fps=5, strips=2, gsd_m=0.8)
    return filmed_drill(seed=2, plan=plan, size_px=(160, 90), truth_rasters=False)
