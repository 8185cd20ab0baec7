"""Clips of communes are made when they are asked for, and of the tiles that are on the map then."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio

from flycam.drill.photo_drill import DrillReport
from flycam.errors import FlightBusy
from flycam.mosaic import coverage
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.coverage import get_main_mosaic, make_clip
from flycam.workspace import Workspace
from tests.clips import cut_all
from tests.houses import House

MakeHouse = Callable[..., House]


def made(workspace: Workspace) -> set[str]:
    return set(workspace.store.list("products/"))


def test_an_ingest_cuts_nothing_and_a_clip_is_cut_once(drill: DrillReport, make_house: MakeHouse) -> None:
    house = make_house(drill)
    flight_id = house.ingest(drill.photos).flight.flight_id
    workspace = house.workspace
    assert made(workspace) == set()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: cut_all(workspace, flight_id), range(3)))
    assert found[0] == found[1] == found[2] and made(workspace) == set(found[0])
    house.ingest(drill.photos)
    assert cut_all(workspace, flight_id) == found[0] and made(workspace) == set(found[0]), "no tile changed"
    rows = workspace.catalog.boundaries.coverage(flight_id)
    for covered, key in zip(rows, found[0], strict=True):
        with rasterio.MemoryFile(house.workspace.store.get(key)) as file, file.open() as picture:
            pixel_m2 = abs(picture.transform.a * picture.transform.e)
            shown_m2 = float(np.count_nonzero(picture.dataset_mask())) * pixel_m2
        assert shown_m2 == pytest.approx(covered.covered_m2, rel=0.02)


def test_a_clip_that_is_made_while_a_frame_is_withdrawn_is_not_handed_out(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    workspace = house.workspace
    (first, *_) = workspace.catalog.boundaries.coverage(flight.flight_id)
    frame = workspace.catalog.frames.list_for_flight(flight.flight_id)[0]
    mosaic, cut = get_main_mosaic(workspace, flight.flight_id), coverage._clip

    def withdrawn_meanwhile(*asked: object) -> str:
        key = cut(*asked)  # type: ignore[arg-type]
        monkeypatch.undo()
        withdraw_by_reference(workspace, frame.frame_id, "nhà dân", "UBND")
        return key

    monkeypatch.setattr(coverage, "_clip", withdrawn_meanwhile)
    with pytest.raises(FlightBusy):
        make_clip(workspace, flight, mosaic, first)
    assert all(one.clip_key is None for one in workspace.catalog.boundaries.coverage(flight.flight_id))
    assert cut_all(workspace, flight.flight_id)
