"""The contract of the catalogue, executable. SQLite's and PostgreSQL's test classes inherit it.

A subclass gives the fixture `url`: the address of an empty catalogue of the test's own.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import shapely

from flycam.catalog import database, migrations
from flycam.catalog.access import Guest, Person, RestrictedArea, generate_token, hash_token
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.flights import AircraftState, LinkState, LiveFlightPhase, LiveFlightReport, VideoSegment
from flycam.errors import (
    AccessDenied,
    BoundaryInvalid,
    CatalogUnavailable,
    FlightBusy,
    InputUnusable,
    NameTaken,
    NotFound,
    StoreConflict,
)
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.messages import Message, verbatim
from flycam.model.access import Account, Role
from flycam.model.flight import Classification, Event, EventKind, Flight, FlightState, Layer
from flycam.model.frame import FrameHeader, Provenance, TileRecord, derive_frame_id
from flycam.model.records import (
    AuditEntry,
    CommuneRecord,
    Coverage,
    DemRecord,
    FrameRecord,
    FrameStatus,
    MosaicInfo,
    RevisionFrame,
    RevisionRecord,
    RevisionState,
    Withdrawal,
)
from tests.waiting import until

SECOND = 1_000_000_000
STORM_NS = 1_725_900_000 * SECOND

INTERIOR = InteriorOrientation(
    model=LensModel.BROWN,
    image_size_px=(4000, 3000),
    focal_length_px=(3000.0 / 7, 3000.1),
    principal_point_px=(1999.5, 1499.5),
    distortion=(0.1, -0.2, 1e-17, 0.0, 1 / 3),
    readout_s=None,
    calibration_id="file:DewarpData",
)
EXTERIOR = ExteriorOrientation(
    projection_centre_m=(480_000 + 1 / 3, 2_422_000 + 1 / 7, 812.1),
    rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 1e-300), (0.0, 0.1 + 0.2, -1.0)),
    work_crs="EPSG:32648",
    vertical_datum="EGM96",
    grid_scale=0.9996,
    sigma_position_m=(2.0, 2.0, 5.0),
    sigma_attitude_rad=(0.01, 0.01, 0.02),
    source=PoseSource.GNSS,
)


def photo_of(number: int) -> bytes:
    """What stands for the bytes of the photo of `frame(number)`."""
    return f"photo {number}".encode()


def frame(number: int, flight_id: str = "f1", **changes: object) -> FrameRecord:
    header = FrameHeader(
        frame_id=derive_frame_id(f"{flight_id}-{number}"),
        captured_ns=STORM_NS + number * SECOND,
        layer=Layer.COLOUR,
        interior=INTERIOR,
        exterior_prior=EXTERIOR,
        provenance=Provenance(
            source_name=f"DJI_{number:04d}.JPG",
            source_sha256=hashlib.sha256(photo_of(number)).hexdigest(),
            camera="DJI FC6310",
            settled=("góc lăn 180° là bay thẳng đứng",),
        ),
    )
    values: dict[str, object] = {
        "header": header,
        "flight_id": flight_id,
        "status": FrameStatus.USED,
        "exterior": replace(EXTERIOR, version=1),
        "dem_id": "dem-1",
        "footprint_wkb": shapely.box(104.8, 21.9, 104.81, 21.91).wkb,
        "gsd_m": 0.1 / 3,
        "tiles": TileRange(z=20, x_start=number, y_start=100, x_stop=number + 4, y_stop=104),
    }
    return FrameRecord(**(values | changes))  # type: ignore[arg-type]


def rejected(number: int) -> FrameRecord:
    return frame(
        number,
        status=FrameStatus.REJECTED,
        reason="horizon_in_view",
        message="x.jpg: looks at the sky; skip it",
        exterior=None,
        dem_id=None,
        footprint_wkb=None,
        gsd_m=None,
        tiles=None,
    )


def flight(flight_id: str = "f1", name: str = "Bản Lầu sáng", **changes: object) -> Flight:
    values: dict[str, object] = {
        "flight_id": flight_id,
        "name": name,
        "event_id": "yagi",
        "state": FlightState.INGESTING,
        "work_crs": "EPSG:32648",
        "vertical_datum": "EGM96",
        "dem_id": "dem-1",
        "gsd_m": 0.05,
        "first_ns": STORM_NS,
        "last_ns": STORM_NS + 600 * SECOND,
        "bounds_lonlat_deg": (104.8, 21.9, 104.9, 22.0),
        "operator": "Trần Thị Bưởi",
        "warnings": ("không có địa hình",),
    }
    return Flight(**(values | changes))  # type: ignore[arg-type]


AIRBORNE = LiveFlightReport(
    flight_id="f1",
    event_id="e-asked",
    name="Bay trực tiếp",
    is_drill=False,
    is_recording=False,
    run="a1",
    beat=7,
    told_ns=STORM_NS + 1,
    aircraft=AircraftState(lonlat_deg=(104.8, 21.9), heading_deg=359.5, above_m=120.0, age_s=0.1),
    track=((104.79, 21.9), (104.8, 21.9)),
    footprint=((104.79, 21.89), (104.81, 21.89), (104.8, 21.91), (104.79, 21.89)),
    picture_ns=STORM_NS,
    picture_age_s=0.2,
    video=LinkState(silent_s=0.1, connections=2),
    telemetry=LinkState(is_lost=True),
    left_out={"overrun": 3},
    remarks=(Message("{video}: dated here", {"video": "bay1"}),),
)
MOSAIC = MosaicInfo(mosaic_id="m1", flight_id="f1", layer=Layer.COLOUR, base_zoom=20, min_zoom=8)


def _covered(flight_id: str, code: str) -> Coverage:
    return Coverage(
        flight_id=flight_id,
        commune_code=code,
        covered_m2=1.0,
        covered_pct=1.0,
        gsd_m=0.1,
        first_ns=STORM_NS,
        last_ns=STORM_NS + 1,
    )


def _renamed(flight_id: str) -> AuditEntry:
    return AuditEntry(who="Lan", what="flight renamed", subject=flight_id, detail="", at_ns=STORM_NS)


def tile(number: int, content: str, *, origin: str = "box-1", revision: int = 0, z: int = 20) -> TileRecord:
    return TileRecord(
        seq=0,
        origin=origin,
        mosaic_id="m1",
        revision=revision,
        epoch="0",
        tile_id=TileId(z=z, x=800_000 + number % 7, y=450_000 + number // 7),
        key=f"mosaics/m1/r{revision}/{number}/{content}.tile",
        content_hash=content,
        written_ns=STORM_NS,
    )


def withdrawal(number: int, reason: str = "nhà dân", at: int = STORM_NS) -> Withdrawal:
    return Withdrawal(
        frame_id=frame(number).frame_id, flight_id="f1", reason=reason, authority="UBND tỉnh", withdrawn_ns=at
    )


def used(number: int, **changes: object) -> RevisionFrame:
    """A frame as a finished revision holds it."""
    values: dict[str, object] = {
        "frame_id": frame(number).frame_id,
        "exterior": replace(EXTERIOR, source=PoseSource.ADJUSTED, version=2),
        "interior": INTERIOR,
        "state": "tied",
        "ties": 412,
        "rms_px": 0.1 + 0.2,
        "cells_pct": 100 / 3,
    }
    return RevisionFrame(**(values | changes))  # type: ignore[arg-type]


def finished(number: int, **changes: object) -> RevisionRecord:
    """A revision ready to be published."""
    values: dict[str, object] = {
        "mosaic_id": "m1",
        "revision": number,
        "made_ns": STORM_NS + 60 * SECOND,
        "inputs_hash": "hash-a",
        "options": {"surface": True, "gsd_m": 0.1 / 3},
        "stats": {"reprojection_px": 0.1 + 0.2, "check_m": [None, None, None], "why": "đã cải thiện"},
        "reports": {"vi.html": "products/m1/r1/báo-cáo.html"},
        "dem_id": "dem-2",
        "support_key": "products/m1/r1/support.tif",
    }
    return RevisionRecord(**(values | changes))  # type: ignore[arg-type]


def commune(code: str, name: str, box: tuple[float, float, float, float], valid_from: date) -> CommuneRecord:
    return CommuneRecord(
        code=code, name=name, valid_from=valid_from, wkb=shapely.box(*box).wkb, area_m2=1e6 / 3
    )


BEFORE, REFORM, LATER = date(2020, 1, 1), date(2025, 7, 1), date(2026, 7, 1)
OLD_COMMUNES = [
    commune("90001", "Bản Đôn", (104.0, 21.0, 104.5, 21.5), BEFORE),
    commune("90002", "Mường Hoa", (104.5, 21.0, 105.0, 21.5), BEFORE),
    commune("90003", "Tả Phìn", (104.0, 21.5, 104.5, 22.0), BEFORE),
]
NEW_COMMUNES = [commune("90001", "Đôn Hoa", (104.0, 21.0, 105.0, 21.5), REFORM)]  # 90002 was merged into it


class CatalogSuite(ABC):
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as opened:
            yield opened

    # -- events and flights ------------------------------------------------------------------

    def test_events_are_found_by_id_and_name(self, catalog: Catalog) -> None:
        storm = Event(
            event_id="yagi",
            name="Bão số 3",
            kind=EventKind.STORM,
            is_drill=False,
            risk_level=4,
            starts_ns=STORM_NS,
        )
        drill = Event(event_id="drill", name="DIỄN TẬP tháng 10", kind=EventKind.DRILL, is_drill=True)
        for event in (drill, storm, storm):
            catalog.flights.put_event(event)
        assert catalog.flights.events() == [storm, drill]
        assert catalog.flights.event("yagi") == catalog.flights.event("Bão số 3") == storm
        with pytest.raises(NotFound, match="bão số 4"):
            catalog.flights.event("bão số 4")
        with pytest.raises(NameTaken, match="Bão số 3"):
            catalog.flights.put_event(replace(drill, name="Bão số 3"))

    def test_the_newest_picture_of_each_flight_is_told_whatever_became_of_it(self, catalog: Catalog) -> None:
        for one in (flight(), flight("f2", "trưa"), flight("f3", "chiều")):
            catalog.flights.put_flight(one)
        rejected = frame(2, status=FrameStatus.REJECTED, reason="too_blurred", exterior=None)
        catalog.frames.put([frame(1), rejected, frame(5, "f2"), frame(4, "f2")])
        newest = {"f1": rejected.header.provenance, "f2": frame(5, "f2").header.provenance}
        assert catalog.frames.find_latest_originals() == newest, "of the third there is none yet"
        assert catalog.frames.find_latest_originals("f2") == {"f2": newest["f2"]}
        assert catalog.frames.find_latest_originals("f3") == {}
        assert catalog.frames.count_used() == {"f1": 1, "f2": 2}

    def test_a_frame_is_found_by_its_original(self, catalog: Catalog, url: str) -> None:
        """A video's frame too, whose id is not derived from its hash."""
        picture, photo = frame(1), frame(2)
        of_picture, of_photo = (one.header.provenance.source_sha256 for one in (picture, photo))
        photo = replace(photo, header=replace(photo.header, frame_id=derive_frame_id(of_photo)))
        catalog.flights.put_flight(flight())
        catalog.frames.put([picture, photo])
        catalog.close()

        def found(one: Catalog) -> list[str]:
            return [one.frames.get_by_original(sha256).frame_id for sha256 in (of_picture, of_photo)]

        with open_catalog(url) as same:
            assert found(same) == [picture.frame_id, photo.frame_id]
            with pytest.raises(NotFound, match="0" * 64):
                same.frames.get_by_original("0" * 64)

    def test_flights_come_back_as_they_were(self, catalog: Catalog) -> None:
        bare = flight("f2", "trưa", bounds_lonlat_deg=None, operator=None, warnings=(), last_ns=STORM_NS)
        catalog.flights.put_flight(flight())
        catalog.flights.put_flight(bare)
        assert catalog.flights.flight("f1") == catalog.flights.flight("Bản Lầu sáng") == flight()
        assert catalog.flights.flights() == [flight(), bare], "newest capture first"
        ready = flight(state=FlightState.READY)
        catalog.flights.put_flight(ready)
        assert catalog.flights.flights(state=FlightState.READY) == [ready]
        assert catalog.flights.flights(event_id="other") == []
        with pytest.raises(NotFound, match="f3"):
            catalog.flights.flight("f3")

    def test_two_operators_with_one_name_are_told_apart(self, catalog: Catalog) -> None:
        catalog.flights.put_flight(flight())
        with pytest.raises(NameTaken, match=r"Bản Lầu sáng.*--name"):
            catalog.flights.put_flight(flight("f2"))
        with pytest.raises(NameTaken, match="f1"):
            catalog.flights.put_flight(flight("f2", "f1"))
        catalog.flights.put_flight(flight("f2", "trưa"))
        for taken in ("trưa", "f2"):
            with pytest.raises(NameTaken, match=taken):
                catalog.flights.rename("f1", taken, _renamed("f1"))
        with pytest.raises(NotFound, match="f3"):
            catalog.flights.rename("f3", "tối", _renamed("f3"))
        assert catalog.audit.lines() == [], "none tells of what was not done"
        assert catalog.flights.rename("f1", "chiều", _renamed("f1")) == catalog.flights.flight("chiều")
        assert [one.subject for one in catalog.audit.lines()] == ["f1"]
        assert [f.name for f in catalog.flights.flights()] == ["chiều", "trưa"]

    def test_the_flight_that_already_holds_frames(self, catalog: Catalog) -> None:
        catalog.frames.put([*(frame(i) for i in range(5)), *(frame(i, "f2") for i in range(3))])
        ids = [frame(i).frame_id for i in range(5)]
        others = [frame(i, "f2").frame_id for i in range(3)]
        assert catalog.flights.flight_of_frames(ids) == "f1"
        assert catalog.flights.flight_of_frames([*ids[:1], *others]) == "f2"
        assert catalog.flights.flight_of_frames([*ids[:2], *others[:2]]) == "f1"
        assert catalog.flights.flight_of_frames(["unknown"]) is None
        assert catalog.flights.flight_of_frames([]) is None
        assert catalog.flights.find_by_frames([*ids[:1], *others[:1], "unknown"]) == {"f1", "f2"}
        assert catalog.flights.find_by_frames([]) == set()

    def test_a_flight_is_written_by_one_at_a_time(self, catalog: Catalog, url: str) -> None:
        with open_catalog(url) as other:
            with catalog.flights.lock("f1"):
                with pytest.raises(FlightBusy, match="f1"), other.flights.lock("f1"):
                    pytest.fail("two hold one flight")
                with pytest.raises(FlightBusy), catalog.flights.lock("f1"):
                    pytest.fail("two hold one flight")
                with other.flights.lock("f2"):
                    pass
            with other.flights.lock("f1"):
                pass
            with pytest.raises(RuntimeError, match="inside"), catalog.flights.lock("f1"):
                raise RuntimeError("inside")
            with other.flights.lock("f1"):
                pass

    def test_the_lock_dies_with_its_process(self, catalog: Catalog, url: str) -> None:
        program = (
            "import sys, time; from flycam.catalog.catalog import open_catalog\n"
            "with open_catalog(sys.argv[1]).flights.lock('f1'): print('held', flush=True); time.sleep(3600)\n"
        )
        with subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"held\n"
            with pytest.raises(FlightBusy), catalog.flights.lock("f1"):
                pytest.fail("two processes hold one flight")
            child.send_signal(signal.SIGKILL)
        until(lambda: _can_lock(catalog))

    # -- frames ------------------------------------------------------------------------------

    def test_frames_come_back_exactly(self, catalog: Catalog) -> None:
        records = [rejected(3), frame(2), frame(1)]
        assert catalog.frames.put(iter(records)) == records
        assert catalog.frames.list_for_flight("f1") == [frame(1), frame(2), rejected(3)], "by time of capture"
        assert catalog.frames.get(frame(2).frame_id) == frame(2)
        assert catalog.frames.list_for_flight("f1", FrameStatus.REJECTED) == [rejected(3)]
        assert catalog.frames.list_for_flight("f2") == []
        assert catalog.frames.put([]) == []
        with pytest.raises(NotFound, match="nothing"):
            catalog.frames.get("nothing")

    def test_the_pose_first_used_stays(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1)])
        better = frame(1, exterior=replace(EXTERIOR, version=2), dem_id="dem-2")
        assert catalog.frames.put([better]) == [frame(1)]
        assert catalog.frames.put([rejected(1)]) == [frame(1)], "its pixels are in the mosaic already"
        assert catalog.frames.get(frame(1).frame_id) == frame(1)

    def test_a_rejected_frame_may_be_used_later(self, catalog: Catalog) -> None:
        catalog.frames.put([rejected(1)])
        assert catalog.frames.put([frame(1)]) == [frame(1)]
        assert catalog.frames.list_for_flight("f1") == [frame(1)]

    def test_frames_that_touch_a_tile(self, catalog: Catalog) -> None:
        catalog.frames.put([*(frame(i) for i in range(10)), rejected(11), frame(5, "f2")])
        touched = catalog.frames.list_touching_tile("f1", TileId(z=20, x=5, y=103))
        assert touched == [frame(i) for i in (2, 3, 4, 5)]
        assert catalog.frames.list_touching_tile("f1", TileId(z=20, x=5, y=104)) == []
        assert catalog.frames.list_touching_tile("f1", TileId(z=19, x=5, y=103)) == []
        catalog.frames.withdraw([withdrawal(3)])
        assert len(catalog.frames.list_touching_tile("f1", TileId(z=20, x=5, y=103))) == 4
        used = catalog.frames.list_touching_tile("f1", TileId(z=20, x=5, y=103), FrameStatus.USED)
        assert used == [frame(i) for i in (2, 4, 5)]

    def test_a_withdrawn_frame_stays_withdrawn_whichever_came_first(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1)])
        assert catalog.frames.withdraw([withdrawal(1), withdrawal(2)]) == sorted(
            frame(i).frame_id for i in (1, 2)
        )
        standing = catalog.frames.put([frame(1), frame(2), frame(3)])
        assert [f.status for f in standing] == [FrameStatus.WITHDRAWN] * 2 + [FrameStatus.USED]
        assert standing == [catalog.frames.get(frame(i).frame_id) for i in (1, 2, 3)]
        assert standing[0].reason == "withdrawn"
        assert standing[0].message == "nhà dân (UBND tỉnh)"
        assert standing[0].tiles == frame(1).tiles, "the tiles to refold are still known"
        assert catalog.frames.withdraw([withdrawal(1)]) == []
        assert catalog.frames.withdraw([]) == []
        assert {w.frame_id for w in catalog.frames.withdrawals("f1")} == {frame(i).frame_id for i in (1, 2)}
        assert catalog.frames.withdrawals("f2") == []

    def test_where_a_withdrawn_frame_lies_is_learnt_if_it_never_lay_here(self, catalog: Catalog) -> None:
        catalog.frames.put([rejected(1)])
        catalog.frames.withdraw([withdrawal(1)])
        assert catalog.frames.get(frame(1).frame_id).tiles is None
        (standing,) = catalog.frames.put([frame(1)])
        assert (standing.status, standing.tiles) == (FrameStatus.WITHDRAWN, frame(1).tiles)
        assert catalog.frames.put([rejected(1)]) == [standing]

    def test_boxes_that_exchange_withdrawals_agree(self, catalog: Catalog) -> None:
        """Of several withdrawals of one frame the same one is kept, in whatever order they come."""
        several = [withdrawal(1, reason, at) for reason, at in (("b", 5), ("a", 5), ("c", 3), ("d", 9))]
        catalog.frames.put([frame(1)])
        for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
            for i in order:
                catalog.frames.withdraw([several[i]])
            assert catalog.frames.withdrawals() == [several[2]]
            assert catalog.frames.get(frame(1).frame_id).message.startswith("c ")

    def test_two_that_record_the_same_frames_agree_on_the_poses(self, catalog: Catalog, url: str) -> None:
        def put(version: int) -> list[FrameRecord]:
            pose = replace(EXTERIOR, version=version)
            records = [frame(i, exterior=pose) for i in range(50)]
            with open_catalog(url) as other:
                together.wait()
                return [s for r in records[:: (-1) ** version] for s in other.frames.put([r])]

        together = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(put, [1, 2])
        stored = catalog.frames.list_for_flight("f1")
        assert sorted(one, key=lambda r: r.header.captured_ns) == stored
        assert sorted(other, key=lambda r: r.header.captured_ns) == stored

    def test_a_frame_withdrawn_while_it_is_recorded_is_withdrawn(self, catalog: Catalog, url: str) -> None:
        def withdraw() -> None:
            with open_catalog(url) as other:
                together.wait()
                for i in range(50):
                    other.frames.withdraw([withdrawal(i)])

        together = threading.Barrier(2)
        with ThreadPoolExecutor(1) as pool:
            withdrawing = pool.submit(withdraw)
            together.wait()
            for i in range(50):
                catalog.frames.put([frame(i)])
            withdrawing.result()
        assert {f.status for f in catalog.frames.list_for_flight("f1")} == {FrameStatus.WITHDRAWN}

    # -- mosaics and the tile log ------------------------------------------------------------

    def test_the_pointer_moves_in_one_step(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        catalog.tiles.put_mosaic(replace(MOSAIC, revision=1, published=False))
        catalog.tiles.publish("m1", 1)
        assert [m.published for m in catalog.tiles.mosaics("f1")] == [False, True]
        assert catalog.tiles.mosaic("m1").revision == 1
        catalog.tiles.put_mosaic(MOSAIC)
        assert catalog.tiles.mosaic("m1").revision == 1, "opening the live one again does not show it"
        with pytest.raises(NotFound, match="revision 7"):
            catalog.tiles.publish("m1", 7)
        assert catalog.tiles.mosaic("m1").revision == 1
        catalog.tiles.put_mosaic(replace(MOSAIC, revision=2))
        assert [m.published for m in catalog.tiles.mosaics("f1")] == [False, False, True]

    def test_the_base_zoom_is_fixed_when_a_mosaic_opens(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        for other in (replace(MOSAIC, base_zoom=21), replace(MOSAIC, layer=Layer.NIGHT)):
            with pytest.raises(StoreConflict, match=r"m1.*revision"):
                catalog.tiles.put_mosaic(other)
        assert catalog.tiles.mosaic("m1") == MOSAIC

    # -- finished revisions ------------------------------------------------------------------

    def test_a_finished_revision_comes_back_exactly(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        assert catalog.revisions.open(MOSAIC, "hash-a", {"surface": True, "gsd_m": 0.1 / 3}, STORM_NS) == 1
        held = [used(1), used(2, state="carried", ties=0, rms_px=math.nan, cells_pct=0.0)]
        catalog.revisions.put_frames("m1", 1, held)
        made = catalog.revisions.publish(finished(1))
        assert made == replace(finished(1), state=RevisionState.PUBLISHED)
        assert catalog.revisions.get("m1", 1) == made
        assert catalog.revisions.list_for_mosaic("m1") == catalog.revisions.all() == [made]
        by_id = sorted(held, key=lambda one: one.frame_id)
        assert repr(catalog.revisions.frames("m1", 1)) == repr(by_id), "NaN is no equal of itself"
        assert catalog.revisions.frame("m1", 1, used(1).frame_id) == used(1)
        assert catalog.revisions.frame("m1", 1, "nobody") is None
        with pytest.raises(NotFound, match="revision 7"):
            catalog.revisions.get("m1", 7)

    def test_a_revision_is_shown_only_when_it_is_complete(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        number = catalog.revisions.open(MOSAIC, "hash-a", {}, STORM_NS)
        assert catalog.tiles.mosaic("m1").revision == 0
        assert catalog.revisions.find_by_inputs("m1", "hash-a") is None
        catalog.revisions.publish(finished(number))
        assert [m.published for m in catalog.tiles.mosaics("f1")] == [False, True]
        assert catalog.revisions.find_by_inputs("m1", "hash-a") == catalog.revisions.get("m1", number)
        assert catalog.revisions.find_by_inputs("m1", "hash-b") is None

    def test_an_interrupted_revision_goes_on_under_its_number(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        assert catalog.revisions.open(MOSAIC, "hash-a", {}, STORM_NS) == 1
        assert catalog.revisions.open(MOSAIC, "hash-a", {}, STORM_NS + 1) == 1
        assert catalog.revisions.open(MOSAIC, "hash-b", {}, STORM_NS) == 2, "other inputs: another number"
        given_up, going_on = catalog.revisions.list_for_mosaic("m1")
        assert (given_up.state, going_on.state) == (RevisionState.RETIRED, RevisionState.BUILDING)
        with pytest.raises(StoreConflict, match="run finish again"):
            catalog.revisions.publish(finished(1))
        assert catalog.tiles.mosaic("m1").revision == 0

    def test_what_holds_a_withdrawn_frame_is_not_shown_any_more(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        for number, held in enumerate([(1,), (1, 2), (1, 3), (4,)], start=1):
            assert catalog.revisions.open(MOSAIC, f"hash-{number}", {}, STORM_NS) == number
            catalog.revisions.put_frames("m1", number, [used(one) for one in held])
            if number < 4:
                catalog.revisions.publish(finished(number, inputs_hash=f"hash-{number}"))
        retire = catalog.revisions.retire_holding
        assert [one.revision for one in retire([used(2).frame_id], "nhà dân")] == [2]
        assert catalog.tiles.mosaic("m1").revision == 3, "the one on show does not hold it"
        assert [one.revision for one in retire([used(3).frame_id, used(2).frame_id], "nhà dân")] == [3]
        assert catalog.tiles.mosaic("m1").revision == 1, "the newest without it"
        assert [one.revision for one in retire([used(1).frame_id], "nhà dân")] == [1]
        assert catalog.tiles.mosaic("m1").revision == 0, "else the live one"
        assert retire([used(1).frame_id], "nhà dân") == []
        assert [one.why for one in catalog.revisions.list_for_mosaic("m1")] == ["nhà dân"] * 3 + [""]

    def test_a_frame_withdrawn_while_a_revision_is_made_keeps_it_from_being_shown(
        self, catalog: Catalog
    ) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        catalog.frames.put([frame(1)])
        catalog.revisions.open(MOSAIC, "hash-a", {}, STORM_NS)
        catalog.revisions.put_frames("m1", 1, [used(1)])
        catalog.frames.withdraw([withdrawal(1)])
        with pytest.raises(StoreConflict, match=r"1 of its frames.*run finish again"):
            catalog.revisions.publish(finished(1))
        assert catalog.tiles.mosaic("m1").revision == 0

    def test_a_catalogue_of_an_older_revision_is_upgraded(
        self, catalog: Catalog, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        catalog.frames.put([frame(1)])
        catalog.close()
        versions = shutil.copytree(migrations.VERSIONS, tmp_path / "versions")
        (versions / "later.py").write_text(_LATER)
        monkeypatch.setattr(database, "HEAD", "0003")
        monkeypatch.setattr(database, "upgrade_schema", partial(migrations.upgrade_schema, versions=versions))
        for _ in range(2):
            with open_catalog(url) as newer:
                assert newer.frames.list_for_flight("f1") == [frame(1)]
        self.tamper(url, "UPDATE frames SET later = 'there'")

    def test_a_catalogue_of_before_the_baseline_is_refused(self, catalog: Catalog, url: str) -> None:
        catalog.close()
        for statement in (
            "DROP TABLE alembic_version",
            "CREATE TABLE schema_info (name TEXT, value INTEGER)",
        ):
            self.tamper(url, statement)
        with pytest.raises(CatalogUnavailable, match=r"before 0\.1\.0"):
            open_catalog(url)

    def test_a_report_of_a_live_flight_takes_the_place_of_the_one_before(self, catalog: Catalog) -> None:
        catalog.airborne.put(AIRBORNE)
        assert catalog.airborne.list_since(AIRBORNE.told_ns) == [AIRBORNE]
        newer = replace(
            AIRBORNE,
            beat=8,
            told_ns=AIRBORNE.told_ns + SECOND,
            phase=LiveFlightPhase.ENDED,
            aircraft=None,
            footprint=(),
            failure=verbatim("disk full"),
        )
        other = replace(AIRBORNE, flight_id="f2", name="Bay 2", told_ns=AIRBORNE.told_ns - SECOND)
        catalog.airborne.put(other)
        catalog.airborne.put(newer)
        assert catalog.airborne.list_since(0) == [newer, other]
        assert catalog.airborne.list_since(AIRBORNE.told_ns) == [newer]
        catalog.airborne.delete_before(AIRBORNE.told_ns)
        assert catalog.airborne.list_since(0) == [newer]

    def test_recorded_video_is_named_with_its_flight_and_the_oldest_goes_first(
        self, catalog: Catalog
    ) -> None:
        first = VideoSegment(
            sha256="a" * 64,
            flight_id="f1",
            began_ns=STORM_NS,
            seconds=10.0,
            pictures=300,
            size_bytes=5_000_000_000,
            codec="avc1.64001F",
        )
        second = replace(first, sha256="b" * 64, began_ns=STORM_NS + 10 * SECOND)
        other = replace(first, sha256="c" * 64, flight_id="f2", began_ns=STORM_NS + 5 * SECOND)
        for piece in (second, other, first, second):
            catalog.recordings.put(piece)
        assert catalog.recordings.list_for_flight("f1") == [first, second]
        assert catalog.recordings.list_excess(15_000_000_000) == []
        assert catalog.recordings.list_excess(14_999_999_999) == [first]
        assert catalog.recordings.list_excess(0) == [first, other, second]
        catalog.recordings.mark_deleted(first.sha256, STORM_NS + 60 * SECOND)
        catalog.recordings.mark_deleted(first.sha256, STORM_NS + 90 * SECOND)
        assert catalog.recordings.list_for_flight("f1")[0] == replace(first, let_go_ns=STORM_NS + 60 * SECOND)
        assert catalog.recordings.list_excess(9_999_999_999) == [other]
        assert first.ended_ns == second.began_ns
        assert [catalog.recordings.sum_stored_seconds(one) for one in ("f1", "f2", "f3")] == [10.0, 10.0, 0.0]

    def test_a_live_flight_bears_the_name_on_record_and_is_gone_once_it_is_withdrawn(
        self, catalog: Catalog
    ) -> None:
        catalog.airborne.put(AIRBORNE)
        catalog.flights.put_flight(flight("f1"))
        (told,) = catalog.airborne.list_since(0)
        assert (told.name, told.event_id) == (flight("f1").name, flight("f1").event_id)
        catalog.flights.put_flight(flight("f1", state=FlightState.WITHDRAWN))
        assert catalog.airborne.list_since(0) == []

    def test_a_first_append_makes_heads_and_log_lines(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        records = [tile(i, f"a{i}") for i in range(10)]
        logged = catalog.tiles.append(records, {})
        assert logged == [replace(r, seq=i + 1) for i, r in enumerate(records)]
        assert catalog.tiles.log_since("m1", 0) == logged
        assert catalog.tiles.log_since("m1", 7, limit=2) == logged[7:9]
        assert catalog.tiles.last_seq("m1") == 10
        assert catalog.tiles.head("m1", 0, records[3].tile_id) == logged[3]
        assert catalog.tiles.head("m1", 1, records[3].tile_id) is None
        assert catalog.tiles.head("m2", 0, records[3].tile_id) is None
        assert sorted(catalog.tiles.heads("m1", 0), key=lambda r: r.seq) == logged
        assert catalog.tiles.append([], {}) == []
        assert (catalog.tiles.last_seq("m2"), catalog.tiles.log_since("m2", 0)) == (0, [])

    def test_heads_of_a_zoom_a_range_or_some_tiles(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        logged = catalog.tiles.append([*(tile(i, f"a{i}") for i in range(14)), tile(0, "p", z=19)], {})
        base, parent = logged[:14], logged[14]
        assert catalog.tiles.heads("m1", 0, z=20) == base
        assert catalog.tiles.heads("m1", 0, z=19) == [parent]
        some = TileRange(z=20, x_start=800_001, y_start=450_000, x_stop=800_003, y_stop=450_002)
        assert catalog.tiles.heads("m1", 0, tiles=some) == [base[1], base[2], base[8], base[9]]
        wanted = [base[5].tile_id, parent.tile_id, TileId(z=20, x=1, y=1)]
        assert catalog.tiles.get_heads("m1", 0, wanted) == {r.tile_id: r for r in (base[5], parent)}
        assert catalog.tiles.get_heads("m1", 0, []) == {}

    def test_an_append_over_a_head_that_moved_changes_nothing(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        (first,) = catalog.tiles.append([tile(0, "a")], {})
        pair = [tile(1, "b"), tile(0, "b")]
        for expected in ({}, {pair[1].tile_id: None}, {pair[1].tile_id: "z"}):
            with pytest.raises(StoreConflict, match=r"20/800000/450000.*retry"):
                catalog.tiles.append(pair, expected)
        with pytest.raises(StoreConflict):
            catalog.tiles.append([tile(2, "b")], {tile(2, "b").tile_id: "a"})
        assert catalog.tiles.log_since("m1", 0) == [first]
        assert catalog.tiles.heads("m1", 0) == [first]
        logged = catalog.tiles.append(pair, {pair[1].tile_id: "a"})
        assert [r.seq for r in logged] == [2, 3]

    def test_a_resend_changes_nothing(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        records = [tile(i, "a") for i in range(3)]
        logged = catalog.tiles.append(records, {})
        assert catalog.tiles.append(records, {}) == logged, "its answer was lost, so it came again"
        mixed = catalog.tiles.append([*records, tile(3, "a")], {})
        assert [r.seq for r in mixed] == [1, 2, 3, 4]
        assert catalog.tiles.last_seq("m1") == 4

    def test_a_head_said_again_is_the_same_object_at_the_end_of_the_log(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        first, second = catalog.tiles.append([tile(1, "a"), tile(2, "b")], {})
        absent = tile(3, "c").tile_id
        again = catalog.tiles.relog_heads(MOSAIC.mosaic_id, 0, [first.tile_id, absent])
        assert again == [replace(first, seq=second.seq + 1)]
        assert catalog.tiles.head(MOSAIC.mosaic_id, 0, first.tile_id) == again[0]
        assert catalog.tiles.log_since(MOSAIC.mosaic_id, second.seq) == again

    def test_the_log_has_one_numbering_for_all_revisions(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        catalog.tiles.put_mosaic(replace(MOSAIC, revision=1))
        catalog.tiles.append([tile(0, "a")], {})
        catalog.tiles.append([tile(0, "b", revision=1)], {})
        catalog.tiles.append([tile(0, "c")], {tile(0, "a").tile_id: "a"})
        assert [(r.seq, r.revision) for r in catalog.tiles.log_since("m1", 0)] == [(1, 0), (2, 1), (3, 0)]
        head = catalog.tiles.head("m1", 1, tile(0, "b").tile_id)
        assert head is not None
        assert head.content_hash == "b"

    def test_appends_that_make_no_sense_are_refused(self, catalog: Catalog) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        with pytest.raises(NotFound, match="m1 revision 3"):
            catalog.tiles.append([tile(0, "a", revision=3)], {})
        with pytest.raises(ValueError, match="one mosaic"):
            catalog.tiles.append([tile(0, "a"), tile(1, "a", revision=1)], {})
        with pytest.raises(ValueError, match="once"):
            catalog.tiles.append([tile(0, "a"), tile(0, "b")], {})
        for zoom in (21, 7):
            with pytest.raises(ValueError, match="zooms 8-20"):
                catalog.tiles.append([tile(0, "a", z=zoom)], {})
        assert catalog.tiles.last_seq("m1") == 0

    def test_a_reader_never_skips_a_line_that_two_processes_write(self, catalog: Catalog, url: str) -> None:
        """Two processes fold numbers into the same tiles by compare-and-swap while a reader follows."""
        catalog.tiles.put_mosaic(MOSAIC)
        context = multiprocessing.get_context("spawn")
        together, conflicts, stop = context.Barrier(2), context.SimpleQueue(), threading.Event()
        writers = [
            context.Process(target=_count_up, args=(url, origin, together, conflicts))
            for origin in ("box-1", "box-2")
        ]
        with ThreadPoolExecutor(1) as reading:
            seen = reading.submit(_follow, catalog, stop)
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
            stop.set()
            lines = seen.result()
        assert [writer.exitcode for writer in writers] == [0, 0]
        assert [r.seq for r in lines] == list(range(1, len(lines) + 1)), "gapless"
        assert lines == catalog.tiles.log_since("m1", 0, limit=10_000)
        heads = {r.tile_id: int(r.content_hash) for r in catalog.tiles.heads("m1", 0)}
        assert heads == {tile(i, "").tile_id: 2 * _ROUNDS for i in range(_TILES)}, "no update was lost"
        assert conflicts.get() + conflicts.get() > 0, "they never met: the test proves nothing"

    def test_a_writer_killed_at_a_random_moment_leaves_whole_appends(
        self, catalog: Catalog, url: str
    ) -> None:
        catalog.tiles.put_mosaic(MOSAIC)
        for attempt in range(2):
            acknowledged = _kill_an_appender(url, random.Random(attempt).uniform(0.0, 0.2))
            until(lambda: _settled(catalog))
            lines = catalog.tiles.log_since("m1", 0, limit=1_000_000)
            assert [r.seq for r in lines] == list(range(1, len(lines) + 1))
            assert len(lines) % 20 == 0, "an append is all or nothing"
            assert len(lines) >= acknowledged
            last = {r.tile_id: r for r in lines}
            assert {r.tile_id: r for r in catalog.tiles.heads("m1", 0)} == last

    # -- terrain and boundaries --------------------------------------------------------------

    def test_terrain(self, catalog: Catalog) -> None:
        dem = DemRecord(
            dem_id="dem-1",
            name="N21E104.hgt",
            path="/card/N21E104.hgt",
            sha256="00" * 32,
            crs="EPSG:4326",
            vertical_datum="EGM96",
            bounds_lonlat_deg=(104.0, 21.0, 105.0, 22.0),
            post_spacing_m=(28.7, 30.9),
            added_ns=STORM_NS,
        )
        later = replace(dem, dem_id="dem-2", key="evidence/00/00", added_ns=STORM_NS + 1)
        for each in (dem, later, dem):
            catalog.terrain.put_dem(each)
        assert catalog.terrain.dems() == [later, dem]
        assert catalog.terrain.dem("dem-2") == later
        catalog.terrain.put_dem(replace(dem, path="/disk/N21E104.hgt", added_ns=STORM_NS + 9))
        assert catalog.terrain.dem("dem-1") == replace(dem, path="/disk/N21E104.hgt")
        with pytest.raises(NotFound, match=r"dem-3.*dem add"):
            catalog.terrain.dem("dem-3")

    @pytest.mark.parametrize("order", [(OLD_COMMUNES, NEW_COMMUNES), (NEW_COMMUNES, OLD_COMMUNES)])
    def test_boundaries_hold_on_their_dates(
        self, catalog: Catalog, order: Sequence[Sequence[CommuneRecord]]
    ) -> None:
        """A merged commune ends although nothing new carries its code, whichever file came first."""
        for communes in order:
            catalog.boundaries.put_communes(communes)
        now = catalog.boundaries.communes()
        assert [(c.code, c.name, c.valid_to) for c in now] == [
            ("90001", "Đôn Hoa", None),
            ("90003", "Tả Phìn", None),
        ]
        before = catalog.boundaries.communes(date(2024, 9, 7))
        assert [(c.code, c.valid_to) for c in before] == [
            ("90001", REFORM),
            ("90002", REFORM),
            ("90003", None),
        ]
        assert catalog.boundaries.communes(REFORM) == now
        assert catalog.boundaries.communes(date(2019, 12, 31)) == []
        assert catalog.boundaries.commune("90001").name == "Đôn Hoa"
        assert catalog.boundaries.commune("90001", date(2024, 9, 7)).name == "Bản Đôn"
        assert catalog.boundaries.commune("90002").valid_to == REFORM
        with pytest.raises(NotFound, match=r"12345.*communes add"):
            catalog.boundaries.commune("12345")

    def test_a_drills_communes_and_those_that_exist_end_none_of_each_other(self, catalog: Catalog) -> None:
        """They lie on one ground: a drill's, younger by a day, ended real communes, which a younger file of
        real ones gave back and ended the drill's."""
        made_up = commune("DT001", "Nậm Diễn Tập", (104.0, 21.0, 105.0, 21.5), REFORM)
        catalog.boundaries.put_communes([*OLD_COMMUNES, made_up])
        assert [one.code for one in catalog.boundaries.communes()] == ["90001", "90002", "90003", "DT001"]
        catalog.boundaries.put_communes([commune("90001", "Đôn Hoa", (104.0, 21.0, 105.0, 21.5), LATER)])
        assert [one.code for one in catalog.boundaries.communes()] == ["90001", "90003", "DT001"]

    def test_ground_counts_once_where_a_drills_communes_lie_over_others(self, catalog: Catalog) -> None:
        made_up = commune("DT001", "Nậm Diễn Tập", (104.0, 21.0, 104.2, 21.2), REFORM)
        catalog.boundaries.put_communes([*OLD_COMMUNES, made_up])

        def counted(*, is_drill: bool, **given: Any) -> dict[str, CommuneRecord]:
            return {one.code: one for one in catalog.boundaries.list_countable(is_drill=is_drill, **given)}

        real, drill = counted(is_drill=False), counted(is_drill=True)
        assert list(real) == ["90001", "90002", "90003"]
        assert list(drill) == ["90001", "90002", "90003", "DT001"]
        shapes = [shapely.from_wkb(one.wkb) for one in drill.values()]
        together = shapely.union_all([shapely.from_wkb(one.wkb) for one in real.values()])
        assert sum(shape.area for shape in shapes) == pytest.approx(together.area), (
            "each piece of ground once"
        )
        assert shapely.union_all(shapes).equals(together), "and none nowhere"
        share = shapes[0].area / shapely.from_wkb(real["90001"].wkb).area
        assert drill["90001"].area_m2 == pytest.approx(real["90001"].area_m2 * share) and 0.1 < share < 0.9
        assert [drill[code] for code in ("90002", "90003")] == [real[code] for code in ("90002", "90003")]
        beside = counted(is_drill=True, bounds=(104.3, 21.3, 104.4, 21.4))
        assert beside == {"90001": drill["90001"]}, "the same wherever it is asked about"
        assert list(counted(is_drill=True, on_date=BEFORE)) == list(drill), "older than a drill's"
        assert list(counted(is_drill=False, on_date=date(2019, 12, 31))) == list(real)

    def test_search_without_accents(self, catalog: Catalog) -> None:
        catalog.boundaries.put_communes(OLD_COMMUNES)
        for typed, found in (
            ("MƯỜNG hoa", ["Mường Hoa"]),
            ("ta  phin", ["Tả Phìn"]),
            ("don", ["Bản Đôn"]),
            ("đôn", ["Bản Đôn"]),
            ("n", ["Bản Đôn", "Mường Hoa", "Tả Phìn"]),
            ("%", []),
            ("_a", []),
            ("", []),
        ):
            assert [c.name for c in catalog.boundaries.search(typed)] == found, typed

    def test_what_is_no_polygon_is_no_boundary(self, catalog: Catalog) -> None:
        for wkb in (b"", b"\x01nonsense", shapely.Point(1, 2).wkb, shapely.Polygon().wkb):
            with pytest.raises(BoundaryInvalid, match="Tả Phìn"):
                catalog.boundaries.put_communes([*OLD_COMMUNES[:2], replace(OLD_COMMUNES[2], wkb=wkb)])
            assert catalog.boundaries.communes() == []

    def test_coverage_is_replaced_as_a_whole(self, catalog: Catalog) -> None:
        rows = [
            Coverage(
                flight_id="f1",
                commune_code=str(code),
                covered_m2=1000.0 / code,
                covered_pct=0.1,
                gsd_m=0.05,
                first_ns=STORM_NS,
                last_ns=STORM_NS + 1,
                clip_key=None if code == 2 else f"products/{code}",
            )
            for code in (1, 2, 3)
        ]
        catalog.boundaries.put_coverage("f1", rows[::-1])
        catalog.boundaries.put_coverage("f2", [replace(rows[0], flight_id="f2")])
        assert catalog.boundaries.coverage("f1") == rows
        catalog.boundaries.put_coverage("f1", rows[:1])
        assert catalog.boundaries.coverage("f1") == rows[:1]
        assert len(catalog.boundaries.coverage("f2")) == 1
        with pytest.raises(ValueError, match="another flight"):
            catalog.boundaries.put_coverage("f2", rows)

    def test_what_a_boundary_cut_is_not_kept_once_it_is_redrawn(self, catalog: Catalog) -> None:
        catalog.boundaries.put_communes(OLD_COMMUNES)
        rows = [
            Coverage(
                flight_id="f1", commune_code=one.code, covered_m2=1000.0, covered_pct=0.1, gsd_m=0.05,
                first_ns=STORM_NS, last_ns=STORM_NS + 1, clip_key=f"products/{one.code}",
            )
            for one in OLD_COMMUNES
        ]  # fmt: skip
        catalog.boundaries.put_coverage("f1", rows)
        catalog.boundaries.put_communes([*OLD_COMMUNES, *NEW_COMMUNES])
        assert catalog.boundaries.coverage("f1") == rows
        smaller = shapely.box(104.0, 21.0, 104.2, 21.2).wkb
        catalog.boundaries.put_communes([replace(OLD_COMMUNES[0], wkb=smaller), *OLD_COMMUNES[1:]])
        assert catalog.boundaries.coverage("f1") == [replace(rows[0], clip_key=None), *rows[1:]]
        assert catalog.boundaries.editions("90001")[0].wkb == smaller
        assert [one.code for one in catalog.boundaries.editions("90001")] == ["90001", "90001"]

    # -- people ------------------------------------------------------------------------------

    def test_accounts_are_known_by_their_token(self, catalog: Catalog, url: str) -> None:
        assert catalog.accounts.is_empty()
        tokens = [generate_token() for _ in range(3)]
        accounts = [
            Account(name=f"người {i}", role=role, token_hash=hash_token(token), created_ns=STORM_NS)
            for i, (token, role) in enumerate(zip(tokens, Role, strict=False))
        ]
        for account in accounts:
            catalog.accounts.put(account)
        assert catalog.accounts.all() == accounts
        assert [catalog.accounts.find_by_token(token) for token in tokens] == accounts
        for wrong in ("", "x", tokens[0][:-1], hash_token(tokens[0]), "\udcff"):
            assert catalog.accounts.find_by_token(wrong) is None
        renewed = replace(accounts[0], token_hash=hash_token("renewed"))
        catalog.accounts.put(renewed)
        assert catalog.accounts.find_by_token(tokens[0]) is None
        assert catalog.accounts.find_by_token("renewed") == renewed
        catalog.accounts.remove("người 1", "test", 0)
        assert catalog.accounts.find_by_token(tokens[1]) is None
        with pytest.raises(NotFound, match="người 1"):
            catalog.accounts.remove("người 1", "test", 0)
        assert not catalog.accounts.is_empty()

    def test_what_an_account_made_ends_with_it_and_what_it_did_stays_told(
        self, catalog: Catalog, url: str
    ) -> None:
        for name, role in (("Lan", Role.OPERATOR), ("Minh", Role.ADMIN)):
            catalog.accounts.put(
                Account(name=name, role=role, token_hash=hash_token(name), created_ns=STORM_NS)
            )
        link = Guest(
            guest_id="guest-1",
            secret_hash="1",
            event_id="",
            communes=(),
            made_by="Lan",
            made_ns=STORM_NS,
            expires_ns=STORM_NS + 100,
        )
        catalog.guests.put(link)
        catalog.guests.put(replace(link, guest_id="guest-2", secret_hash="2", made_by="Minh"))
        catalog.guests.put(replace(link, guest_id="guest-3", secret_hash="3", expires_ns=STORM_NS + 1))
        catalog.audit.append("Lan", "withdraw", "frame 1")
        before = catalog.audit.lines()
        gone, ended = catalog.accounts.remove("Lan", "Minh", STORM_NS + 1)
        assert (gone.name, gone.role, ended.guest_ids) == ("Lan", Role.OPERATOR, ("guest-1",))
        assert {one.guest_id for one in catalog.guests.all() if one.is_valid(STORM_NS)} == {
            "guest-2",
            "guest-3",
        }
        told = catalog.audit.lines()
        assert told[: len(before)] == before and catalog.audit.verify() is None
        assert [(one.who, one.what, one.subject, one.detail) for one in told[len(before) :]] == [
            ("Minh", "user remove", "Lan", "operator"),
            ("Minh", "guest revoked", "guest-1", ""),
        ]

    def test_the_last_administrator_stays(self, catalog: Catalog, url: str) -> None:
        for name, role in (("Lan", Role.ADMIN), ("Minh", Role.ADMIN), ("Tú", Role.VIEWER)):
            catalog.accounts.put(
                Account(name=name, role=role, token_hash=hash_token(name), created_ns=STORM_NS)
            )
        catalog.accounts.remove("Lan", "Minh", STORM_NS)
        told = catalog.audit.lines()
        with pytest.raises(InputUnusable, match="last administrator"):
            catalog.accounts.remove("Minh", "Tú", STORM_NS)
        assert [one.name for one in catalog.accounts.all()] == ["Minh", "Tú"]
        assert catalog.audit.lines() == told
        catalog.accounts.remove("Tú", "Minh", STORM_NS)

    def test_people_of_a_sign_in_service_are_known_by_its_word_for_them(
        self, catalog: Catalog, url: str
    ) -> None:
        lan = Person(issuer="https://id", subject="1", name="Lan", role=Role.VIEWER, communes=("99000",))
        with pytest.raises(AccessDenied, match="no account yet"):
            catalog.identities.sign_in(lan, STORM_NS)
        token = hash_token("local")
        catalog.accounts.put(Account(name="Lan", role=Role.ADMIN, token_hash=token, created_ns=STORM_NS))
        first = catalog.identities.sign_in(lan, STORM_NS + 1)
        assert (first.name, first.role, first.communes) == ("Lan (2)", Role.VIEWER, ("99000",))
        assert first.created_ns == STORM_NS + 1 and first.token_hash not in ("", token)
        told = catalog.audit.lines()
        assert [(one.who, one.what, one.detail) for one in told] == [
            ("Lan (2)", "user by sign-in service", "viewer, 99000, 1 of https://id")
        ]
        renamed = replace(lan, name="Lan Anh")
        assert catalog.identities.sign_in(renamed, STORM_NS + 2) == first and catalog.audit.lines() == told
        more = catalog.identities.sign_in(replace(lan, role=Role.ANALYST, communes=()), STORM_NS + 3)
        assert more == replace(first, role=Role.ANALYST, communes=()) and more in catalog.accounts.all()
        others = [replace(lan, subject="2"), replace(lan, issuer="https://other")]
        names = [catalog.identities.sign_in(one, STORM_NS + 4).name for one in others]
        assert names == ["Lan (3)", "Lan (4)"]
        assert catalog.audit.verify() is None

    def test_a_person_whose_account_was_taken_away_waits_for_an_administrator(
        self, catalog: Catalog, url: str
    ) -> None:
        minh = Account(name="Minh", role=Role.ADMIN, token_hash=hash_token("x"), created_ns=STORM_NS)
        catalog.accounts.put(minh)
        lan = Person(issuer="https://id", subject="1", name="Lan", role=Role.VIEWER)
        catalog.identities.sign_in(lan, STORM_NS)
        catalog.accounts.remove("Lan", "Minh", STORM_NS)
        with pytest.raises(AccessDenied, match="flycam account add Lan"):
            catalog.identities.sign_in(lan, STORM_NS)
        assert catalog.accounts.all() == [minh]
        rude = replace(lan, subject="3", name="x; rm -rf ~")
        catalog.identities.sign_in(rude, STORM_NS)
        catalog.accounts.remove("x; rm -rf ~", "Minh", STORM_NS)
        with pytest.raises(AccessDenied, match="flycam account add 'x; rm -rf ~'"):
            catalog.identities.sign_in(rude, STORM_NS)
        namesake = replace(lan, subject="2")
        assert catalog.identities.sign_in(namesake, STORM_NS).name == "Lan (2)", "a name is one person's"
        catalog.accounts.put(replace(minh, name="Lan", token_hash=hash_token("y")))
        assert catalog.identities.sign_in(lan, STORM_NS).role is Role.VIEWER

    def test_restricted_areas_and_levels_are_kept_replaced_and_forgotten(
        self, catalog: Catalog, url: str
    ) -> None:
        square = shapely.box(104.0, 22.0, 104.1, 22.1)
        area = RestrictedArea(
            area_id="area-1",
            name="Doanh trại",
            roles=frozenset({Role.ADMIN, Role.ANALYST}),
            sha256="0" * 64,
            added_ns=STORM_NS,
            wkb=shapely.to_wkb(square),
            bounds_lonlat_deg=square.bounds,
        )
        catalog.restrictions.put(replace(area, roles=frozenset({Role.ADMIN})))
        catalog.restrictions.put(area)
        assert catalog.restrictions.areas() == [area]
        assert catalog.restrictions.remove("Doanh trại") == area
        with pytest.raises(NotFound, match="area-1"):
            catalog.restrictions.remove("area-1")
        assert catalog.restrictions.level("f1") is Classification.OPEN
        catalog.restrictions.classify("f1", Classification.INTERNAL, STORM_NS)
        catalog.restrictions.classify("f1", Classification.RESTRICTED, STORM_NS + 1)
        assert catalog.restrictions.levels() == {"f1": Classification.RESTRICTED}
        assert catalog.restrictions.level("f1") is Classification.RESTRICTED

    def test_a_guest_link_holds_until_it_expires_or_is_revoked_elsewhere(
        self, catalog: Catalog, url: str
    ) -> None:
        guest = Guest(
            guest_id="guest-1",
            secret_hash=hash_token("secret"),
            event_id="e1",
            communes=("99000",),
            made_by="Lan",
            made_ns=STORM_NS,
            expires_ns=STORM_NS + 100,
        )
        catalog.guests.put(guest)
        assert catalog.guests.find_by_secret("secret", STORM_NS) == guest == catalog.guests.all()[0]
        assert catalog.guests.find_by_secret("secret", STORM_NS + 100) is None
        assert catalog.guests.find_by_secret(hash_token("secret"), STORM_NS) is None
        with open_catalog(url) as other:
            revoked = other.guests.revoke("guest-1", STORM_NS + 1)
            assert other.guests.revoke("guest-1", STORM_NS + 2) == revoked
            assert revoked.revoked_ns == STORM_NS + 1
            with pytest.raises(NotFound, match="guest-2"):
                other.guests.revoke("guest-2", STORM_NS)
        until(lambda: catalog.guests.find_by_secret("secret", STORM_NS) is None)

    def test_an_account_taken_away_elsewhere_is_refused_soon(self, catalog: Catalog, url: str) -> None:
        token = generate_token()
        catalog.accounts.put(
            Account(name="a", role=Role.VIEWER, token_hash=hash_token(token), created_ns=STORM_NS)
        )
        assert catalog.accounts.find_by_token(token) is not None
        with open_catalog(url) as other:
            other.accounts.remove("a", "test", 0)
        until(lambda: catalog.accounts.find_by_token(token) is None)

    def test_the_audit_log_is_a_chain(self, catalog: Catalog, url: str) -> None:
        lines = [catalog.audit.append("bưởi", "withdraw", f"frame {i}", "nhà dân") for i in range(5)]
        assert [line.seq for line in lines] == [1, 2, 3, 4, 5]
        assert catalog.audit.lines() == lines
        assert catalog.audit.lines(since=2, limit=2) == lines[2:4]
        assert catalog.audit.verify() is None
        self.tamper(url, "UPDATE audit_log SET detail = 'khác' WHERE seq = 3")
        assert catalog.audit.verify() == 3
        self.tamper(url, "UPDATE audit_log SET detail = 'nhà dân' WHERE seq = 3")
        assert catalog.audit.verify() is None
        self.tamper(url, "DELETE FROM audit_log WHERE seq = 4")
        assert catalog.audit.verify() == 4

    # -- the database ------------------------------------------------------------------------

    def test_several_processes_open_a_new_catalogue_at_once(self, url: str) -> None:
        with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert list(pool.map(_open_and_put, [url] * 3, range(3))) == [True] * 3
        with open_catalog(url) as catalog:
            assert len(catalog.frames.list_for_flight("f1")) == 3

    def test_a_failure_inside_leaves_nothing(self, catalog: Catalog) -> None:
        def records() -> Iterator[FrameRecord]:
            yield from (frame(i) for i in range(2500))
            raise RuntimeError("the card was pulled")

        with pytest.raises(RuntimeError, match="card"):
            catalog.frames.put(records())
        assert catalog.frames.list_for_flight("f1") == []

    @abstractmethod
    def tamper(self, url: str, statement: str) -> None:
        """Change the database behind the catalogue's back."""


_LATER = """
from alembic import op
from sqlalchemy import Column, Text

revision = "0003"
down_revision = "0002"


def upgrade():
    op.add_column("frames", Column("later", Text))
"""
_TILES, _ROUNDS = 12, 30


def _count_up(url: str, origin: str, together: Barrier, told: SimpleQueue[int]) -> None:
    conflicts = 0
    with open_catalog(url) as catalog:
        together.wait()
        for _ in range(_ROUNDS):
            while True:
                heads = catalog.tiles.get_heads("m1", 0, [tile(i, "").tile_id for i in range(_TILES)])
                expected = {tile_id: head.content_hash for tile_id, head in heads.items()}
                records = []
                for i in range(_TILES):
                    count = int(expected.get(tile(i, "").tile_id, "0")) + 1
                    # the key tells the boxes apart, so equal counts are not taken for a resend
                    record = tile(i, str(count), origin=origin)
                    records.append(replace(record, key=f"{record.key}-{origin}"))
                try:
                    catalog.tiles.append(records, expected)
                except StoreConflict:
                    conflicts += 1
                else:
                    break
    told.put(conflicts)


def _follow(catalog: Catalog, stop: threading.Event) -> list[TileRecord]:
    lines: list[TileRecord] = []
    while True:
        last_round = stop.is_set()
        cursor = lines[-1].seq if lines else 0
        lines += catalog.tiles.log_since("m1", cursor, limit=7)
        if last_round and catalog.tiles.last_seq("m1") == (lines[-1].seq if lines else 0):
            return lines


_APPENDER = """
import sys
from dataclasses import replace
from flycam.catalog.catalog import open_catalog
from tests.suites.catalog_suite import tile
with open_catalog(sys.argv[1]) as catalog:
    begun = catalog.tiles.last_seq("m1")
    expected = {r.tile_id: r.content_hash for r in catalog.tiles.heads("m1", 0)}
    for turn in range(100_000):
        records = [tile(i, f"{begun}-{turn}") for i in range(20)]
        logged = catalog.tiles.append(records, expected)
        expected = {r.tile_id: r.content_hash for r in records}
        print(logged[-1].seq, flush=True)
"""


def _kill_an_appender(url: str, after_s: float) -> int:
    with subprocess.Popen([sys.executable, "-c", _APPENDER, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        last = int(child.stdout.readline())
        time.sleep(after_s)
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            if line.endswith("\n"):
                last = int(line)
    return last


def _settled(catalog: Catalog) -> bool:
    """A server notices a dead client only when it next speaks to it: its last append may still commit."""
    before = catalog.tiles.last_seq("m1")
    time.sleep(0.05)
    return catalog.tiles.last_seq("m1") == before


def _open_and_put(url: str, number: int) -> bool:
    with open_catalog(url) as catalog:
        return catalog.frames.put([frame(number)]) == [frame(number)]


def _can_lock(catalog: Catalog) -> bool:
    try:
        with catalog.flights.lock("f1"):
            return True
    except FlightBusy:
        return False
