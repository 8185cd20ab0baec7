"""Leaving out what cannot win changes no byte of the mosaic, also when frames do not keep their promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import FrameUnreadable
from flycam.geometry.grid import TileId
from flycam.model.frame import FrameHeader
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify import frame_merge
from flycam.mosaic.orthorectify.frame_merge import Checkpoint
from flycam.mosaic.orthorectify.visibility import VisibilitySolver
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.houses import House

MakeHouse = Callable[..., House]


def everything(_claims: VisibilitySolver, _tile: TileId, highest: np.ndarray) -> np.ndarray:
    """Each frame is made wherever it has pixels."""
    return highest > 0


def test_mosaic_is_the_same_as_from_whole_patches(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    patch_of = frame_merge.orthorectify_frame

    def counted(*arguments: object) -> object:
        patch = patch_of(*arguments)
        made.append(cv2.countNonZero(patch.quality))
        return patch

    monkeypatch.setattr(frame_merge, "orthorectify_frame", counted)
    quick, whole = make_house(drill, "quick"), make_house(drill, "whole")
    flight_id = quick.ingest(drill.photos).flight.flight_id
    of_claims = sum(made)
    monkeypatch.setattr(VisibilitySolver, "_winnable", everything)
    assert whole.ingest(drill.photos).flight.flight_id == flight_id
    assert of_claims < 0.7 * (sum(made) - of_claims)
    assert quick.tiles(f"{flight_id}-colour") == whole.tiles(f"{flight_id}-colour")


class Killed(Exception):
    """The machine is gone."""


def test_what_a_killed_run_brought_into_the_log_is_not_made_again(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_merge, "MAX_INTERVAL_S", 0.0)
    monkeypatch.setattr(frame_merge, "_SHARE", 0.0)
    made: list[str] = []
    patch_of, laid = frame_merge.orthorectify_frame, Checkpoint.mark_merged

    def counted(header: FrameHeader, *arguments: object) -> object:
        made.append(header.frame_id)
        return patch_of(header, *arguments)

    at, noted = 4, [set[str]()]

    def killed(one: Checkpoint, frame_id: str, tiles: Iterable[TileId]) -> None:
        if len(noted) >= at:
            raise Killed
        laid(one, frame_id, tiles)
        noted.append(set(one.list_completed()))

    monkeypatch.setattr(frame_merge, "orthorectify_frame", counted)
    calm, house = make_house(drill, "calm"), make_house(drill, "killed")
    flight_id = calm.ingest(drill.photos).flight.flight_id
    whole = set(made)
    made.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "mark_merged", killed)
        with pytest.raises(Killed):
            house.ingest(drill.photos)
    assert len(noted[-1]) == at - 1
    made.clear()
    report = house.ingest(drill.photos)
    assert set(made) == whole - noted[-1]
    assert report.new == drill.frames
    assert house.tiles(f"{flight_id}-colour") == calm.tiles(f"{flight_id}-colour")
    made.clear()
    house.ingest(drill.photos)
    assert made == []


def test_frames_that_turn_out_unreadable_leave_no_hole(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = sorted(drill.photos.iterdir())
    spoiled = {photos[0].name, photos[4].name}
    keep_and_decode = frame_merge.store_and_decode_original

    def failing(workspace: Workspace, path: Path, sha256: str) -> object:
        if path.name in spoiled:
            raise FrameUnreadable(f"{path}: spoiled for this test")
        return keep_and_decode(workspace, path, sha256)

    monkeypatch.setattr(frame_merge, "store_and_decode_original", failing)
    broken, whole = make_house(drill, "broken"), make_house(drill, "whole")
    report = broken.ingest(drill.photos)
    assert (report.new, report.rejected) == (drill.frames - 2, {"unreadable": 2})
    monkeypatch.setattr(VisibilitySolver, "_winnable", everything)
    whole.ingest(drill.photos)
    mosaic_id = f"{report.flight.flight_id}-colour"
    assert broken.tiles(mosaic_id) == whole.tiles(mosaic_id)


def test_no_tile_is_named_before_the_records_and_originals_of_its_frames(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(drill)
    catalog, store = house.workspace.catalog, house.workspace.store
    append, flush = type(catalog.tiles).append, type(store).flush
    durable: set[str] = set()
    named: list[int] = []

    def noting(self: object) -> None:
        flush(self)
        durable.update(store.list("evidence/"))

    def checked(self: object, records: list, expected: object) -> object:
        frames = catalog.frames.list_for_flight(catalog.flights.flights()[0].flight_id, FrameStatus.USED)
        assert frames
        assert {keys.format_original_key(f.header.provenance.source_sha256) for f in frames} <= durable
        named.append(len(frames))
        return append(self, records, expected)

    monkeypatch.setattr(type(store), "flush", noting)
    monkeypatch.setattr(type(catalog.tiles), "append", checked)
    house.ingest(drill.photos)
    assert named[-1] == drill.frames


def test_a_photo_is_on_the_map_before_the_others_are_read_and_the_map_comes_out_the_same(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, house = make_house(drill, "calm"), make_house(drill, "shown early")
    flight_id = calm.ingest(drill.photos).flight.flight_id
    mosaic_id = f"{flight_id}-colour"
    shown: list[tuple[int, set[str]]] = []
    read = frame_merge.store_and_decode_original

    def seen(workspace: Workspace, path: Path, sha256: str) -> object:
        catalog = house.workspace.catalog
        if path.name != min(one.name for one in drill.photos.iterdir()):
            used = catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
            names = {one.header.provenance.source_name for one in used}
            shown.append((catalog.tiles.last_seq(mosaic_id), names))
        return read(workspace, path, sha256)

    monkeypatch.setattr(frame_merge, "_GROUP_TILES", 4)
    monkeypatch.setattr(frame_merge, "store_and_decode_original", seen)
    house.ingest(drill.photos)
    first, names = shown[0]
    assert first > 0
    assert names == {min(one.name for one in drill.photos.iterdir())}
    assert house.tiles(mosaic_id) == calm.tiles(mosaic_id)
