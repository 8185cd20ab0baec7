"""An ingest in squares: by a cluster of one worker, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam import originals
from flycam.drill.photo_drill import DrillReport
from flycam.errors import FlightBusy, FrameUnreadable
from flycam.ingest import distributed
from flycam.model.flight import FlightState
from flycam.model.records import FrameRecord, Withdrawal
from flycam.mosaic.cluster import run
from flycam.mosaic.orthorectify import frame_merge
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.clusters import InThisProcess
from tests.houses import House

MakeHouse = Callable[..., House]


@pytest.fixture
def small_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2×2 tiles, so that a few photos lie in many."""
    monkeypatch.setattr(run, "_ZOOMS_ABOVE", 1)


def on_a_cluster(house: House) -> House:
    cluster = InThisProcess(house.workspace)
    return House(root=house.root, workspace=replace(house.workspace, cluster=cluster))


@pytest.mark.usefixtures("small_squares")
def test_frames_that_turn_out_unreadable_or_of_another_size_are_settled_again(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled, small = (sorted(drill.photos.iterdir())[number].name for number in (0, 4))
    pixels_here, pixels_there = frame_merge.store_and_decode_original, originals.read_stored_pixels

    def changed(name: str, pixels: np.ndarray) -> np.ndarray:
        if name == spoiled:
            raise FrameUnreadable(f"{name}: spoiled for this test")
        return cv2.resize(pixels, (240, 180), interpolation=cv2.INTER_AREA) if name == small else pixels

    def from_the_store(workspace: Workspace, record: FrameRecord) -> np.ndarray:
        return changed(record.header.provenance.source_name, pixels_there(workspace, record))

    def from_the_card(workspace: Workspace, path: Path, sha256: str) -> np.ndarray:
        return changed(path.name, pixels_here(workspace, path, sha256))

    monkeypatch.setattr(frame_merge, "store_and_decode_original", from_the_card)
    monkeypatch.setattr(originals, "read_stored_pixels", from_the_store)
    alone, shared = make_house(drill, "alone"), on_a_cluster(make_house(drill, "shared"))
    one, other = alone.ingest(drill.photos), shared.ingest(drill.photos)
    assert (other.new, other.rejected) == (one.new, one.rejected) == (drill.frames - 1, {"unreadable": 1})
    mosaic_id = f"{one.flight.flight_id}-colour"
    assert shared.tiles(mosaic_id) == alone.tiles(mosaic_id)
    assert shared.workspace.cluster.tasks > 4
    assert not list(shared.workspace.store.list(keys.format_cluster_run_prefix(one.flight.flight_id)))
    assert shared.ingest(drill.photos).new == 0


@pytest.mark.usefixtures("small_squares")
def test_a_run_that_ended_before_it_joined_its_squares_is_completed_without_the_cluster(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, house = make_house(drill, "whole"), make_house(drill)
    flight_id = whole.ingest(drill.photos).flight.flight_id

    def killed(_above: run.BlockAncestors) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run.BlockAncestors, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            on_a_cluster(house).ingest(drill.photos)
    assert house.workspace.catalog.flights.flight(flight_id).state is FlightState.INGESTING
    assert house.tiles(f"{flight_id}-colour") != whole.tiles(f"{flight_id}-colour")
    house.ingest(drill.photos)
    assert house.tiles(f"{flight_id}-colour") == whole.tiles(f"{flight_id}-colour")


@pytest.mark.usefixtures("small_squares")
def test_a_worker_left_alone_writes_nothing_once_the_flight_was_amended(
    drill: DrillReport, make_house: MakeHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gave the work out is gone, and a frame is withdrawn while the worker makes a square."""
    house, part = make_house(drill), tmp_path / "part"
    part.mkdir()
    for photo in sorted(drill.photos.iterdir())[:2]:
        shutil.copy(photo, part)
    house.ingest(part)
    catalog = house.workspace.catalog
    (flight,) = catalog.flights.flights()
    known = catalog.frames.list_for_flight(flight.flight_id)
    patch_of, lines = distributed.orthorectify_frame, list[int]()

    def meanwhile(*arguments: object) -> object:
        if not lines:
            catalog.frames.withdraw([withdrawal_of(known[0])])
            lines.append(catalog.tiles.last_seq(f"{flight.flight_id}-colour"))
        return patch_of(*arguments)

    monkeypatch.setattr(distributed, "orthorectify_frame", meanwhile)
    with pytest.raises(FlightBusy, match="amended"):
        on_a_cluster(house).ingest(drill.photos)
    assert lines == [catalog.tiles.last_seq(f"{flight.flight_id}-colour")]


def withdrawal_of(record: FrameRecord) -> Withdrawal:
    return Withdrawal(
        frame_id=record.frame_id,
        flight_id=record.flight_id,
        reason="nhà dân",
        authority="UBND tỉnh",
        withdrawn_ns=1,
    )
