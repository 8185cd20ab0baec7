"""The terrain under an aircraft in the air."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from flycam.errors import StorageFailed
from flycam.ingest.live import inputs
from flycam.ingest.live.inputs import MovingTerrain
from tests.houses import House
from tests.texts import pair


def test_terrain_that_cannot_be_loaded_is_asked_for_again_and_no_other_is_taken_for_it(
    make_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def loaded(
        _workspace: object, _dems: object, work_crs: str, bounds: tuple[float, ...], **_: object
    ) -> object:
        asked.append((bounds[0] + bounds[2]) / 2.0)
        if len(asked) == 2:
            raise StorageFailed(pair("the disk says nothing", "đĩa không trả lời"))
        return SimpleNamespace(bounds_m=bounds, work_crs=work_crs)

    monkeypatch.setattr(inputs, "load_flight_terrain", loaded)
    monkeypatch.setattr(inputs, "format_dem_names", lambda *_: "dem")
    poses = SimpleNamespace(work_crs="EPSG:32648", vertical_datum=None, home_m=np.nan)
    ground = MovingTerrain(make_house().workspace, [], poses)  # type: ignore[arg-type]
    first = ground.terrain_at((0.0, 0.0, 900.0))
    with pytest.raises(StorageFailed):
        ground.terrain_at((9_000.0, 0.0, 900.0))
    second = ground.terrain_at((9_000.0, 0.0, 900.0))
    assert first.bounds_m[2] == 5_000.0 and second.bounds_m[0] == 4_000.0
    assert ground.terrain_at((9_100.0, 0.0, 900.0)) is second and asked == [0.0, 9_000.0, 9_000.0]
