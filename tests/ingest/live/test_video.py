"""Recorded video and the newest picture of a live flight, under the rules of everything else on the map."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import shapely

from flycam.access.policy import iterate_ground_projections
from flycam.catalog.access import RedactionFootprint, RedactionRecord, RestrictedArea
from flycam.catalog.flights import VideoSegment
from flycam.http.guards import Services
from flycam.model.access import RedactionReason, RedactionStep, Role
from flycam.model.flight import FlightState
from flycam.model.records import AuditEntry, Withdrawal
from flycam.storage import keys
from tests.ingest.live.test_live_flights import TOLD
from tests.serve.running import running
from tests.serve.world import World, add_account, make_world

SECOND = 1_000_000_000


def keep_piece(world: World, flight_id: str, began_ns: int, data: bytes) -> VideoSegment:
    sha256 = hashlib.sha256(data).hexdigest()
    world.workspace.store.put(keys.format_recording_key(sha256), data)
    piece = VideoSegment(
        sha256=sha256,
        flight_id=flight_id,
        began_ns=began_ns,
        seconds=10.0,
        pictures=300,
        size_bytes=len(data),
        codec="avc1.64001F",
    )
    world.workspace.catalog.recordings.put(piece)
    return piece


@pytest.fixture
def filmed(tmp_path: Path) -> tuple[World, list[VideoSegment]]:
    """Four pieces, ten seconds each, of the world's second flight; its first photo is of the third."""
    world = make_world(tmp_path)
    frame = world.workspace.catalog.frames.list_for_flight(world.after)[0]
    began_ns = frame.header.captured_ns - 25 * SECOND
    pieces = [
        keep_piece(world, world.after, began_ns + k * 10 * SECOND, bytes([k]) * (2_000_000 + k))
        for k in range(4)
    ]
    return world, pieces


@pytest.fixture
def client(filmed: tuple[World, list[VideoSegment]]) -> Iterator[httpx.Client]:
    world, _ = filmed
    add_account(world.workspace, "Lan", Role.VIEWER, "lan")
    add_account(world.workspace, "Quản trị", Role.ADMIN, "admin")
    with running(Services(workspace=world.workspace)) as url, httpx.Client(base_url=url, timeout=60) as one:
        yield one


LAN, ADMIN = ({"Authorization": f"Bearer {name}"} for name in ("lan", "admin"))


def test_the_last_seconds_are_listed_and_each_piece_comes_back_whole_and_in_ranges(
    client: httpx.Client, filmed: tuple[World, list[VideoSegment]]
) -> None:
    world, pieces = filmed
    every = client.get(f"/api/video/{world.after}", headers=LAN).json()
    assert [one["sha256"] for one in every] == [piece.sha256 for piece in pieces]
    last = client.get(f"/api/video/{world.after}?last_s=15", headers=LAN).json()
    assert last == every[2:] and last[0]["codec"] == "avc1.64001F"
    answer = client.get(last[0]["url"], headers=LAN)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert hashlib.sha256(answer.content).hexdigest() == pieces[2].sha256
    part = client.get(last[1]["url"], headers={**LAN, "Range": "bytes=5-1999999", "Accept-Encoding": "gzip"})
    assert part.status_code == 206 and part.content == bytes([3]) * 1_999_995
    assert part.headers["content-range"] == "bytes 5-1999999/2000003"
    assert "content-encoding" not in part.headers
    beyond = client.get(last[1]["url"], headers={**LAN, "Range": "bytes=9999999-"})
    assert beyond.status_code == 416
    opened = [line for line in world.workspace.catalog.audit.lines() if line.what == "video opened"]
    assert [(line.who, line.subject) for line in opened] == [("Lan", world.after)]
    assert client.get("/api/video/nobody", headers=LAN).json() == []


def test_what_was_let_go_is_listed_and_said_to_be_gone(
    client: httpx.Client, filmed: tuple[World, list[VideoSegment]]
) -> None:
    world, pieces = filmed
    world.workspace.catalog.recordings.mark_deleted(pieces[0].sha256, 1)
    first, second, *_ = client.get(f"/api/video/{world.after}", headers=LAN).json()
    assert (first["let_go"], first["url"], second["let_go"]) == (True, None, False)
    gone = client.get(f"/api/video/{world.after}/{pieces[0].sha256}.mp4", headers=LAN)
    assert gone.status_code == 404 and "không còn giữ" in gone.text
    # a hash of another kind of evidence, or of another flight, is no video of this one
    photo = world.workspace.catalog.frames.list_for_flight(world.after)[0].header.provenance.source_sha256
    for flight_id, sha256 in ((world.after, photo), (world.before, pieces[1].sha256)):
        assert client.get(f"/api/video/{flight_id}/{sha256}.mp4", headers=LAN).status_code == 404


def test_what_shows_a_withdrawn_picture_is_for_administrators(
    client: httpx.Client, filmed: tuple[World, list[VideoSegment]]
) -> None:
    world, pieces = filmed
    catalog = world.workspace.catalog
    frame = catalog.frames.list_for_flight(world.after)[0]
    catalog.frames.withdraw(
        [
            Withdrawal(
                frame_id=frame.frame_id, flight_id=world.after, reason="victim", authority="UBND",
                withdrawn_ns=1,
            )
        ]
    )  # fmt: skip
    listed = client.get(f"/api/video/{world.after}", headers=LAN).json()
    assert [one["withheld"] for one in listed] == [False, False, True, False] and listed[2]["url"] is None
    path = f"/api/video/{world.after}/{pieces[2].sha256}.mp4"
    assert client.get(path, headers=LAN).status_code == 403
    assert client.get(path, headers=ADMIN).status_code == 200
    catalog.flights.put_flight(replace(catalog.flights.flight(world.after), state=FlightState.WITHDRAWN))
    listed = client.get(f"/api/video/{world.after}", headers=LAN).json()
    assert all(one["withheld"] for one in listed)
    assert all(one["url"] for one in client.get(f"/api/video/{world.after}", headers=ADMIN).json())


def withhold(world: World, kind: str, north_m: float) -> None:
    """An area, or ground that a mask covers, so far north of the flight."""
    west, _, east, north = world.workspace.catalog.flights.flight(world.after).bounds_lonlat_deg
    ground = shapely.box(west, north + north_m / 111_320.0, east, north + north_m / 111_320.0 + 1e-4)
    if kind == "area":
        area = RestrictedArea(
            area_id="area-1", name="Doanh trại", roles=frozenset({Role.ADMIN}), sha256="0" * 64, added_ns=1,
            wkb=shapely.to_wkb(ground), bounds_lonlat_deg=ground.bounds,
        )  # fmt: skip
        entry = AuditEntry(who="x", what="restricted add", subject="area-1", detail="", at_ns=1)
        world.workspace.catalog.restrictions.put(area, entry)
        return
    frame = world.workspace.catalog.frames.list_for_flight(world.drill)[0]
    line = RedactionRecord(
        mask_id="mask-00000001", step=RedactionStep.MADE, frame_id=frame.frame_id,
        reason=RedactionReason.HOME, author="Lan", at_ns=1, wkb=shapely.to_wkb(shapely.box(1, 1, 9, 9)),
    )  # fmt: skip
    (lay,) = iterate_ground_projections(world.workspace.catalog, frame)
    world.workspace.catalog.redactions.append([line])
    world.workspace.catalog.redactions.put_footprints(
        [RedactionFootprint(line_id=line.line_id, lay=lay.name, wkb=shapely.to_wkb(ground))]
    )


@pytest.mark.parametrize(
    ("kind", "north_m", "withheld"),
    [
        # in the reach of a camera 290 m above the ground
        ("area", 2000.0, [True] * 5),
        # a hundred seconds before the first frame on the map it may have been anywhere within 3 km
        ("area", 4500.0, [True, False, False, False, False]),
        ("area", 20_000.0, [False] * 5),
        ("mask", 50.0, [True] * 5),
        ("mask", 1000.0, [True, False, False, False, False]),
    ],
)
def test_video_of_which_nothing_is_on_the_map_is_withheld_where_it_may_have_strayed(
    filmed: tuple[World, list[VideoSegment]], kind: str, north_m: float, withheld: list[bool]
) -> None:
    world, pieces = filmed
    strayed = keep_piece(world, world.after, pieces[0].began_ns - 75 * SECOND, b"what it saw elsewhere")
    withhold(world, kind, north_m)
    add_account(world.workspace, "Lan", Role.VIEWER, "lan")
    with running(Services(workspace=world.workspace)) as url, httpx.Client(base_url=url, timeout=60) as one:
        listed = one.get(f"/api/video/{world.after}", headers=LAN).json()
        assert [one["withheld"] for one in listed] == withheld
        for piece, is_withheld in zip([strayed, *pieces], withheld, strict=True):
            path = f"/api/video/{world.after}/{piece.sha256}.mp4"
            for part in ({}, {"Range": "bytes=0-3"}, {"If-Range": f'"{piece.sha256}"', "Range": "bytes=-3"}):
                assert (one.get(path, headers=LAN | part).status_code == 403) is is_withheld


def test_the_newest_picture_that_was_withdrawn_is_for_administrators(
    client: httpx.Client, filmed: tuple[World, list[VideoSegment]]
) -> None:
    world, _ = filmed
    workspace, catalog = world.workspace, world.workspace.catalog
    frame = catalog.frames.list_for_flight(world.after)[0]
    report = replace(TOLD, flight_id=world.after, told_ns=workspace.clock_ns())
    catalog.frames.withdraw(
        [
            Withdrawal(
                frame_id=frame.frame_id, flight_id=world.after, reason="victim", authority="UBND",
                withdrawn_ns=1,
            )
        ]
    )  # fmt: skip
    for beat, (after_s, seen) in enumerate(((-5, 200), (-1, 403), (1, 403), (5, 200))):
        key = keys.format_latest_image_key(world.after, frame.header.captured_ns + after_s * SECOND)
        workspace.store.put(key, b"\xff\xd8")
        catalog.airborne.put(replace(report, beat=beat, picture_key=key))
        time.sleep(1.2)  # the sky is looked at once a second
        path = f"/api/airborne/{world.after}/picture"
        (listed,) = client.get("/api/airborne", headers=LAN).json()
        assert (listed["picture_url"] is None) == (seen == 403)
        assert [client.get(path, headers=who).status_code for who in (LAN, ADMIN)] == [seen, 200]
