"""Two honest boxes, a province, and a peer that says anything in the wire's grammar: it changes nothing of
theirs, and they converge to the last byte.

The thief knows all that is at the province, ids and tiles, and has a key and an account of its own; it makes
up the rest. It does not know a photo before it is here: ids are hashes of photos, and who brings one first
speaks for it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from flycam.catalog.access import RedactionRecord
from flycam.catalog.flights import to_placement
from flycam.catalog.retention import HoldRecord, PurgeRecord
from flycam.errors import FlycamError
from flycam.geometry.grid import TileId
from flycam.model.access import HoldStep, PurgeStep, RedactionReason, RedactionStep, RetainedKind
from flycam.model.flight import Classification, FlightState, Layer
from flycam.model.frame import MosaicTile
from flycam.model.records import FrameStatus, Withdrawal
from flycam.mosaic.tiles.codec import compute_content_hash, encode_tile
from flycam.sync.authority import allow_peer
from flycam.sync.exchange import EMPTY_DIGEST, LogRange, ManifestItem, ObjectKind, TileLogEntry
from flycam.sync.node_keys import get_own_key, require_node_key
from flycam.sync.records import FlightRecords
from tests.attack.doctored import make_offer, read_records, send_by_line, send_by_stick
from tests.laws.recorded import ORIGIN_X, ORIGIN_Y, ZOOM
from tests.sync.boxes import NUMBERS, WAYS, Box, mosaic_of, new_box, record
from tests.sync.lines import Wire, sync
from tests.sync.test_two_boxes import TwoBoxes

_OWN = range(6, 12)
"""Frames that the thief flies."""
_HUGE = 1 << 62
TRIED: Counter[str] = Counter()
"""Hostile steps of this run, by what came of them."""


class HostilePeer(TwoBoxes):
    """What the honest hold is looked at before and after each of the thief's steps."""

    is_wary = True
    steps_at_once = 4

    def __init__(self) -> None:
        super().__init__()
        self.thief = new_box(self.folder, "thief")
        for box in self.boxes.values():
            self.admit(box)

    def admit(self, box: Box) -> None:
        """A crew of the province's: its name has a key here, and somebody allows it all, for they overlap."""
        name, province = box.workspace.box, self.province.workspace
        require_node_key(province, name, get_own_key(box.workspace), self.folder)
        allow_peer(province, name, None, "Hoa")

    @rule(numbers=st.sets(st.sampled_from(list(_OWN)), min_size=1))
    def fly_as_thief(self, numbers: set[int]) -> None:
        """It has flights of its own, and brings them as everybody."""
        self.thief.lay(numbers, "t1")
        before = project(self.province)
        sync(self.thief, Wire(self.province, self.folder / "thief"))
        assert project(self.province) == before

    @rule(seed=st.integers(0, 1 << 32))
    def lie(self, seed: int) -> None:
        """Several steps by line and stick, of which each says something else."""
        before = project(self.province)
        for number in range(self.steps_at_once):
            TRIED[self.say(Random(f"{seed} {number}"))] += 1
        assert project(self.province) == before
        assert self.province.catalog.audit.verify() is None

    def say(self, chance: Random) -> str:
        """Say something; return what came of it."""
        records = [self.make_records(chance) for _ in range(chance.choice((1, 1, 2)))]
        tiles, ranges = make_tiles(records[0], chance, self.province) if chance.random() < 0.3 else ([], {})
        name = chance.choice(("thief",) * 8 + ("one", "province"))
        try:
            offer = make_offer(name, [one for one in records if one is not None], tiles, ranges)
            if name == "thief" and chance.random() < 0.7:
                # over a line it is bound to its name: `NodeIdentities`, tests/sync/test_step_routes.py
                taken = send_by_line(self.province.workspace, offer, self.folder, "thief", self.province)
            else:
                taken = send_by_stick(
                    self.province.workspace, offer, self.folder, self.thief.workspace, self.province
                ).applied
        except (FlycamError, ValueError) as error:
            return f"refused: {type(error).__name__}"
        barred = any(one.barred for one in taken.conflicts)
        return "another's flight" if barred else "apart" if taken.conflicts else "its own"

    def make_records(self, chance: Random) -> FlightRecords:
        """Records of a flight of the honest, of the thief, or of none, with some of it doctored."""
        sources = [
            (box, flight.flight_id)
            for box in (self.province, self.thief)
            for flight in box.catalog.flights.flights()
        ]
        if not sources:
            self.thief.lay({6}, "t1")
            sources = [(self.thief, "t1")]
        box, flight_id = chance.choice(sources)
        said = read_records(box.workspace, flight_id)
        known = read_records(*self._choose_honest(chance, (box, flight_id)))
        for doctor in chance.sample(_DOCTORS, chance.randint(1, 5)):
            said = doctor(said, known, chance)
        return said

    def _choose_honest(self, chance: Random, otherwise: tuple[Box, str]) -> tuple[Any, str]:
        flights = [one.flight_id for one in self.province.catalog.flights.flights()]
        box, flight_id = (self.province, chance.choice(flights)) if flights else otherwise
        return box.workspace, flight_id


def tiles_of(box: Box, flight_id: str) -> dict[str, str]:
    heads = box.catalog.tiles.heads(mosaic_of(flight_id).mosaic_id, 0)
    return {str(head.tile_id): head.content_hash for head in heads}


def project(box: Box) -> dict[str, object]:
    """All that a house holds of the honest: nothing of it may change by the thief's word."""
    catalog = box.catalog
    honest = {frame_id for frame_id, number in NUMBERS.items() if number not in _OWN}
    numbers = [number for number in NUMBERS.values() if number not in _OWN]
    shas = {record(number).header.provenance.source_sha256 for number in numbers}
    frames = catalog.frames.get_many(sorted(honest))
    flights = sorted({one.flight_id for one in frames})
    return {
        "frames": sorted(frames, key=lambda one: one.frame_id),
        "flights": [catalog.flights.flight(one) for one in flights],
        "events": [catalog.flights.event(catalog.flights.flight(one).event_id) for one in flights],
        "withdrawals": [one for one in catalog.frames.withdrawals() if one.frame_id in honest],
        "placements": [one for each in flights for one in catalog.placements.list_for_flight(each)],
        "unverified": sorted(catalog.placements.find_unverified(honest)),
        "masks": [one for one in catalog.redactions.lines() if one.frame_id in honest],
        "holds": [one for one in catalog.retention.holds() if one.subject in {*flights, "yagi"}],
        "purges": [one for one in catalog.retention.lines() if one.sha256 in shas],
        "levels": {one: catalog.restrictions.level(one) for one in flights},
        "grants": [one for one in catalog.peers.grants() if one.flight_id in {*flights, "*"}],
        "tiles": {one: tiles_of(box, one) for one in flights},
        "mosaics": [one for each in flights for one in catalog.tiles.mosaics(each)],
    }


# -- what the thief says -------------------------------------------------------------------------------

Doctor = Callable[[FlightRecords, FlightRecords, Random], FlightRecords]


def _some(items: Any, chance: Random) -> list[Any]:
    every = list(items)
    return chance.sample(every, chance.randint(0, len(every)))


def place_anew(said: FlightRecords, known: FlightRecords, chance: Random) -> FlightRecords:
    placements = []
    for frame in _some((*said.frames, *known.frames), chance):
        if frame.exterior is None:
            continue
        version = chance.choice((0, 1, 2, 99, _HUGE))
        moved = replace(to_placement(frame), version=version, authority="x", placed_ns=chance.choice((0, 1)))
        moved = replace(
            moved,
            flight_id=said.flight.flight_id,
            exterior=replace(frame.exterior, version=version),
            dem_id=chance.choice((*WAYS, "dem-9", None)),
            footprint_wkb=shapely.box(10.0, 10.0, 10.1, 10.1).wkb,
        )
        if chance.random() < 0.2:
            moved = replace(moved, exterior=None, interior=None, dem_id=None, footprint_wkb=None, tiles=None)
        placements.append(moved)
    return replace(said, placements=(*said.placements, *placements))


def withdraw_frames(said: FlightRecords, known: FlightRecords, chance: Random) -> FlightRecords:
    gone = [
        Withdrawal(
            frame_id=one.frame_id,
            flight_id=chance.choice((said.flight.flight_id, known.flight.flight_id, "")),
            reason="x",
            authority="x",
            withdrawn_ns=chance.choice((-_HUGE, 0, _HUGE)),
        )
        for one in _some((*said.frames, *known.frames), chance)
    ]
    return replace(said, withdrawals=(*said.withdrawals, *gone))


def mask_photos(said: FlightRecords, _known: FlightRecords, chance: Random) -> FlightRecords:
    lines = [
        RedactionRecord(
            mask_id=f"mask-{chance.randint(0, 99):08}",
            step=chance.choice(list(RedactionStep)),
            frame_id=one.frame_id,
            reason=RedactionReason.HOME,
            author="x",
            at_ns=chance.choice((0, _HUGE)),
            wkb=shapely.box(1, 1, 90, 90).wkb,
        )
        for one in _some(said.frames, chance)
    ]
    return replace(said, redactions=(*said.redactions, *lines))


def hold_and_release(said: FlightRecords, _known: FlightRecords, chance: Random) -> FlightRecords:
    subjects = (said.flight.flight_id, said.event.event_id)
    lines = [
        HoldRecord(
            hold_id=f"hold-{chance.randint(0, 3):08}",
            step=step,
            subject=chance.choice(subjects),
            reason="x",
            author="x",
            at_ns=1,
        )
        for step in _some([*HoldStep, *HoldStep], chance)
    ]
    return replace(said, holds=(*said.holds, *lines))


def delete_originals(said: FlightRecords, known: FlightRecords, chance: Random) -> FlightRecords:
    lines = [
        PurgeRecord(
            act_id=f"act-{chance.randint(0, 3)}",
            step=chance.choice(list(PurgeStep)),
            kind=chance.choice(list(RetainedKind)),
            sha256=one.header.provenance.source_sha256,
            flight_id=said.flight.flight_id,
            name="x",
            list_digest="d",
            reason="x",
            author="x",
            box=chance.choice(("thief", "one", "province")),
            at_ns=1,
        )
        for one in _some((*said.frames, *known.frames), chance)
    ]
    return replace(said, purges=(*said.purges, *lines))


def rename_flight(said: FlightRecords, known: FlightRecords, chance: Random) -> FlightRecords:
    flight = replace(
        said.flight,
        name=chance.choice((known.flight.name, "ㅤ", "x" * 400, known.flight.flight_id)),
        bounds_lonlat_deg=chance.choice((None, (0.0, 0.0, 1.0, 1.0))),
        gsd_m=chance.choice((1e-9, 1e9)),
        first_ns=-_HUGE,
        last_ns=_HUGE,
        state=chance.choice(list(FlightState)),
        warnings=("x" * 1000,),
    )
    event = replace(said.event, name=chance.choice((known.event.name, "khác")), is_drill=True)
    return replace(said, flight=flight, event=event)


def classify(said: FlightRecords, _known: FlightRecords, chance: Random) -> FlightRecords:
    return replace(said, classification=chance.choice(list(Classification)))


def take_id(said: FlightRecords, known: FlightRecords, chance: Random) -> FlightRecords:
    """The flight under another's id, or a new one."""
    flight_id = chance.choice((known.flight.flight_id, "t1", f"t{chance.randint(2, 9)}"))
    return replace(
        said,
        flight=replace(said.flight, flight_id=flight_id),
        mosaics=tuple(replace(one, flight_id=flight_id) for one in said.mosaics),
        frames=tuple(replace(one, flight_id=flight_id) for one in said.frames),
        placements=tuple(replace(one, flight_id=flight_id) for one in said.placements),
        holds=tuple(replace(one, subject=flight_id) for one in said.holds),
        purges=tuple(replace(one, flight_id=flight_id) for one in said.purges),
    )


def mix_frames(said: FlightRecords, known: FlightRecords, chance: Random) -> FlightRecords:
    """Some frames of another's among its own, fewer of them, rejected ones, or ones of another pose."""
    frames = []
    for one in {one.frame_id: one for one in (*said.frames, *_some(known.frames, chance))}.values():
        change = chance.choice(("", "", "rejected", "withdrawn", "posed", "filmed", "dropped"))
        frame = replace(one, flight_id=said.flight.flight_id)
        if change == "rejected":
            frame = replace(frame, status=FrameStatus.REJECTED, reason="x", exterior=None, tiles=None)
        elif change == "withdrawn":
            frame = replace(frame, status=FrameStatus.WITHDRAWN, reason="withdrawn")
        elif change == "posed" and frame.exterior is not None:
            frame = replace(frame, exterior=replace(frame.exterior, version=_HUGE), dem_id=WAYS[1])
        elif change == "filmed":  # a frame of its own that names another's original
            digest = hashlib.sha256(frame.frame_id.encode()).hexdigest()[:32]
            frame = replace(frame, header=replace(frame.header, frame_id=digest))
        if change != "dropped":
            frames.append(frame)
    return replace(said, frames=tuple(frames))


def open_mosaics(said: FlightRecords, known: FlightRecords, chance: Random) -> FlightRecords:
    layer = chance.choice((Layer.COLOUR, Layer.INFRARED))
    mosaics = [
        replace(
            one,
            flight_id=said.flight.flight_id,
            layer=layer,
            base_zoom=chance.choice((one.base_zoom, 19, 20, 21)),
        )
        for one in (*said.mosaics, *known.mosaics)
    ]
    return replace(said, mosaics=tuple(mosaics[: chance.randint(0, 2)]))


def repeat(said: FlightRecords, _known: FlightRecords, _chance: Random) -> FlightRecords:
    """As it was: what is here already, said once more."""
    return said


_DOCTORS: tuple[Doctor, ...] = (
    place_anew,
    withdraw_frames,
    mask_photos,
    hold_and_release,
    delete_originals,
    rename_flight,
    classify,
    take_id,
    mix_frames,
    open_mosaics,
    repeat,
)


def make_tiles(
    records: FlightRecords, chance: Random, province: Box
) -> tuple[list[tuple[ManifestItem, bytes]], dict[str, LogRange]]:
    """Tiles of the best quality there is over all of the world, of any frames."""
    if not records.mosaics:
        return [], {}
    mosaic_id = chance.choice(
        [one.mosaic_id for one in (*records.mosaics, *province.catalog.tiles.mosaics())]
    )
    names = sorted({*(one.frame_id for one in records.frames), *NUMBERS})
    shown = [tuple(chance.sample(names, chance.randint(1, 2))) for _ in range(chance.randint(1, 4))]
    until = chance.choice((4, 4, 4, 1, 1 << 40))
    return make_tile_objects(mosaic_id, shown, until)


def make_tile_objects(
    mosaic_id: str, shown: Sequence[tuple[str, ...]], until: int = 4
) -> tuple[list[tuple[ManifestItem, bytes]], dict[str, LogRange]]:
    """Tiles of these frames, one after another, and the stretch of the log that they are of."""
    items = []
    for number, frames in enumerate(shown):
        tile = make_tile(ORIGIN_X + number % 3, ORIGIN_Y + number // 3, tuple(sorted(frames)))
        data = encode_tile(tile)
        entry = TileLogEntry(
            mosaic_id=mosaic_id,
            tile_id=tile.tile_id,
            seq=min(number + 1, until),
            content_hash=compute_content_hash(tile),
        )
        sha256 = hashlib.sha256(data).hexdigest()
        item = ManifestItem(kind=ObjectKind.TILE, sha256=sha256, size_bytes=len(data), tile=entry)
        items.append((item, data))
    if until > 1000:
        return items, {}
    stretch = LogRange(
        since=0,
        until=until,
        since_digest=EMPTY_DIGEST,
        until_digest="0" * 32,
        marks="0" * 8 * until,
    )
    return items, {mosaic_id: stretch}


def make_tile(x: int, y: int, frames: tuple[str, ...]) -> MosaicTile:
    shape = (256, 256)
    source = np.ones(shape, np.uint16)
    source[:, :128] = len(frames)
    return MosaicTile(
        tile_id=TileId(z=ZOOM, x=x, y=y),
        rgb=np.full((*shape, 3), 255, np.uint8),
        quality=np.full(shape, 65535, np.uint16),
        source=source,
        frames=frames,
        epoch="0",
    )


TestHostilePeer = HostilePeer.TestCase
TestHostilePeer.settings = settings(max_examples=4, stateful_step_count=12)


@pytest.mark.soak
class TestHostilePeerForLong(HostilePeer.TestCase):
    """A hundred thousand hostile steps and more; what came of them is printed."""

    settings = settings(max_examples=120, stateful_step_count=60)

    def runTest(self) -> None:
        HostilePeer.steps_at_once = 60
        try:
            super().runTest()
        finally:
            HostilePeer.steps_at_once = 4
            print(f"\n{sum(TRIED.values())} hostile steps:", dict(TRIED.most_common()))
