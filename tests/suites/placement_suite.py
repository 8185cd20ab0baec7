"""The contract of placements: a grow-only set for each frame, whose greatest member is in force.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.flights import derive_placement_id, select_current_placement, to_placement
from flycam.errors import NotFound
from flycam.geometry.grid import TileRange
from flycam.model.flight import Layer
from flycam.model.records import FrameRecord, FrameStatus, Placement, Withdrawal
from tests.suites.catalog_suite import EXTERIOR, SECOND, STORM_NS, frame

FRAME = frame(1).frame_id


def laid(number: int, dem_id: str, height_m: float, shift: int = 0) -> FrameRecord:
    """A frame at another height, on other terrain, over other tiles."""
    east, north, _ = EXTERIOR.projection_centre_m
    exterior = replace(EXTERIOR, projection_centre_m=(east, north, height_m))
    record = frame(number, exterior=exterior, dem_id=dem_id, gsd_m=height_m / 1000)
    tiles = TileRange(z=20, x_start=number + shift, y_start=100, x_stop=number + shift + 4, y_stop=104)
    return replace(record, tiles=tiles, header=replace(record.header, exterior_prior=exterior))


def set_aside(number: int, message: str = "sees no known ground") -> FrameRecord:
    return replace(
        frame(number),
        status=FrameStatus.REJECTED,
        reason="set_aside",
        message=message,
        exterior=None,
        dem_id=None,
        footprint_wkb=None,
        gsd_m=None,
        tiles=None,
    )


class PlacementSuite:
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as catalog:
            yield catalog

    def supersede(self, catalog: Catalog, *records: FrameRecord, at: int = 1) -> list[FrameRecord]:
        return catalog.placements.supersede(records, "laid on dem-2", "Bưởi", STORM_NS + at * SECOND)

    def test_a_frame_laid_again_is_as_the_record_says_and_the_old_pose_stays_known(
        self, catalog: Catalog
    ) -> None:
        catalog.frames.put([frame(1), frame(2)])
        (now,) = self.supersede(catalog, laid(1, "dem-2", 900.0, shift=2))
        assert catalog.frames.get(FRAME) == now
        assert (now.dem_id, now.gsd_m, now.status) == ("dem-2", 0.9, FrameStatus.USED)
        assert now.exterior is not None and now.exterior.version == 2, "above the first, which was 1"
        assert now.header.exterior_prior == replace(now.exterior, version=0)
        first, second = catalog.placements.list_for_flight("f1")
        assert (first.exterior, first.dem_id, first.tiles) == (
            frame(1).exterior,
            frame(1).dem_id,
            frame(1).tiles,
        )
        assert (first.reason, first.authority, first.placed_ns) == ("", "", 0)
        assert second == to_placement(
            now, reason="laid on dem-2", authority="Bưởi", placed_ns=STORM_NS + SECOND
        )
        assert catalog.frames.get(frame(2).frame_id) == frame(2)

    def test_what_was_laid_before_does_not_come_back_by_putting_it(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1)])
        (now,) = self.supersede(catalog, laid(1, "dem-2", 900.0))
        assert catalog.frames.put([frame(1)]) == [now]
        (again,) = self.supersede(catalog, laid(1, "dem-1", 700.0))
        assert again.exterior is not None and again.exterior.version == 3
        assert len(catalog.placements.list_for_flight("f1")) == 3

    def test_a_frame_set_aside_comes_back_only_by_being_laid_again(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1)])
        (aside,) = self.supersede(catalog, set_aside(1))
        assert (aside.status, aside.message, aside.tiles) == (
            FrameStatus.REJECTED,
            "sees no known ground",
            None,
        )
        assert catalog.frames.put([frame(1)]) == [aside]
        (back,) = self.supersede(catalog, laid(1, "dem-3", 800.0))
        assert (back.status, back.dem_id) == (FrameStatus.USED, "dem-3")
        assert catalog.frames.get(FRAME) == back

    def test_a_withdrawn_frame_stays_withdrawn(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1)])
        self.supersede(catalog, laid(1, "dem-2", 900.0, shift=2))
        gone = Withdrawal(frame_id=FRAME, flight_id="f1", reason="r", authority="a", withdrawn_ns=1)
        assert catalog.frames.withdraw([gone]) == [FRAME]
        (still,) = self.supersede(catalog, laid(1, "dem-3", 800.0))
        assert still.status is FrameStatus.WITHDRAWN
        assert catalog.frames.get(FRAME).status is FrameStatus.WITHDRAWN

    def test_a_frame_that_nobody_knows_is_not_laid_again(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(2)])
        with pytest.raises(NotFound, match=FRAME):
            self.supersede(catalog, laid(2, "dem-2", 900.0), laid(1, "dem-2", 900.0))
        assert catalog.frames.get(frame(2).frame_id) == frame(2), "all or none"

    def test_a_frame_moved_to_another_layer_is_there_and_stays_there_when_it_is_laid_again(
        self, catalog: Catalog
    ) -> None:
        catalog.frames.put([frame(1)])
        first = frame(1)
        moved = replace(first, header=replace(first.header, layer=Layer.INFRARED))
        (now,) = self.supersede(catalog, moved)
        assert (now.header.layer, now.dem_id, now.tiles) == (Layer.INFRARED, first.dem_id, first.tiles)
        before, after = catalog.placements.list_for_flight("f1")
        assert (before.layer, after.layer) == (Layer.COLOUR, Layer.INFRARED)
        assert derive_placement_id(before) != derive_placement_id(replace(before, layer=Layer.INFRARED))
        (stored,) = catalog.frames.put([first])
        assert stored == now == catalog.frames.get(FRAME), "nor does putting it move it back"
        again = laid(1, "dem-2", 900.0)
        (relaid,) = self.supersede(
            catalog, replace(again, header=replace(again.header, layer=Layer.INFRARED)), at=2
        )
        assert (relaid.header.layer, relaid.dem_id) == (Layer.INFRARED, "dem-2")

    def test_boxes_that_learn_the_same_in_another_order_agree(self, catalog: Catalog) -> None:
        """Whatever the order and the number of times, and whether the frame came first or last."""
        first = frame(1)
        others = [
            to_placement(
                replace(laid(1, dem, height), exterior=replace(EXTERIOR, version=version)),
                reason=dem,
                authority=box,
                placed_ns=at,
            )
            for dem, height, version, box, at in [
                ("dem-2", 900.0, 2, "box-1", 5),
                ("dem-3", 910.0, 2, "box-2", 4),
                ("dem-4", 920.0, 3, "box-2", 6),
                ("dem-2", 900.0, 2, "box-3", 3),
            ]
        ]
        aside = Placement(frame_id=FRAME, flight_id="f1", version=3, reason="no ground", placed_ns=7)
        rng = random.Random(1)
        seen = set()
        for number in range(12):
            flight_id = f"order-{number}"
            mine = replace(
                first, flight_id=flight_id, header=replace(first.header, frame_id=f"{number:032x}")
            )
            steps: list[object] = [mine]
            steps += [
                replace(one, flight_id=flight_id, frame_id=mine.frame_id)
                for one in [*others, aside, *rng.sample(others, 2)]
            ]
            rng.shuffle(steps)
            for step in steps:
                if isinstance(step, Placement):
                    catalog.placements.learn([step])
                else:
                    catalog.frames.put([mine])
            record = catalog.frames.get(mine.frame_id)
            known = catalog.placements.list_for_flight(flight_id)
            assert select_current_placement(known).version == 3
            assert len(known) == 5
            assert {one.reason: one.placed_ns for one in known if one.reason == "dem-2"} == {"dem-2": 3}
            seen.add((record.status, record.dem_id, record.gsd_m, tuple(one.reason for one in known)[:1]))
        assert {one[:3] for one in seen} == {(FrameStatus.USED, "dem-4", 0.92)}, "a pose beats none"

    def test_many_at_once_lose_nothing(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1)])
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: self.supersede(catalog, laid(1, f"dem-{i}", 900.0 + i)), range(8)))
        known = catalog.placements.list_for_flight("f1")
        assert [one.version for one in known] == list(range(1, 10))
        assert catalog.frames.get(FRAME).dem_id == known[-1].dem_id
