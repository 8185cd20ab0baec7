"""Leaving out what cannot win changes nothing; neither does the order in which frames are made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.drill.drill import DrillReport
from flycam.geometry.grid import TileRange
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline import merging
from flycam.pipeline.merging import spread
from tests.houses import House


@given(st.lists(st.integers(), max_size=200))
def test_spreading_keeps_every_frame_once(frames: list[int]) -> None:
    assert sorted(spread(frames)) == sorted(frames)


def test_mosaic_is_the_same_as_from_whole_patches_in_flown_order(
    drill: DrillReport, make_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out: list[int] = []
    floors_of = MosaicWriter.floors

    def counted(writer: MosaicWriter, tiles: TileRange) -> np.ndarray:
        floors = floors_of(writer, tiles)
        left_out.append(int(np.count_nonzero(floors)))
        return floors

    quick, whole = make_house(drill, "quick"), make_house(drill, "whole")
    monkeypatch.setattr(MosaicWriter, "floors", counted)
    flight_id = quick.ingest(drill.photos).flight.flight_id
    assert sum(left_out) > 0
    monkeypatch.setattr(MosaicWriter, "floors", lambda _, tiles: np.zeros(tiles.shape_tiles, np.uint16))
    monkeypatch.setattr(merging, "spread", list)
    assert whole.ingest(drill.photos).flight.flight_id == flight_id
    assert quick.tiles(f"{flight_id}-colour") == whole.tiles(f"{flight_id}-colour")
