"""A box's token, and a stick: what they say of others' flights opens, hides and replaces nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import shapely

from flycam.access.restrictions import add_restricted_area
from flycam.catalog.access import RedactionRecord, hash_token
from flycam.catalog.flights import derive_placement_id
from flycam.catalog.peers import ClaimKind
from flycam.catalog.retention import HoldRecord, PurgeRecord
from flycam.drill.photo_drill import DrillReport
from flycam.http.guards import Services
from flycam.model.access import (
    Account,
    HoldStep,
    PurgeStep,
    RedactionReason,
    RedactionStep,
    RetainedKind,
    Role,
)
from flycam.model.flight import Classification, Layer, derive_live_mosaic_id
from flycam.model.frame import derive_frame_id
from flycam.model.records import FrameRecord, FrameStatus, Withdrawal
from flycam.mosaic.tiles.codec import read_tile
from flycam.operations.retention import list_due_originals
from flycam.sync.exchange_import import SyncApplyHooks
from flycam.sync.records import FlightRecords
from flycam.sync.revocation import list_revocable, revoke_claims
from flycam.sync.step_planner import StepPlanner
from flycam.workspace import Workspace
from tests.attack.doctored import (
    make_offer,
    move_frame,
    name_sha256,
    read_records,
    send_by_line,
    send_by_stick,
)
from tests.houses import House
from tests.serve.running import running

MakeHouse = Callable[..., House]
TOKENS = {role: f"token-{role.value}" for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN)}
EAST_M = 2500.0


class World:
    """A province to which `field` brought a flight with its originals, and a thief with a box of its own."""

    def __init__(self, field: House, province: House, thief: House, drill: DrillReport, root: Path) -> None:
        self.root, self.drill = root, drill
        self.field, self.province, self.thief = (
            replace(one.workspace, box=name)
            for one, name in ((field, "field"), (province, "province"), (thief, "thief"))
        )
        self.flight_id = replace(field, workspace=self.field).ingest(drill.photos).flight.flight_id
        self.bring(self.field, "box-1")
        self.restrict()
        for role, token in TOKENS.items():
            self.province.catalog.accounts.put(
                Account(name=role.value, role=role, token_hash=hash_token(token), created_ns=0)
            )

    def bring(self, box: Workspace, account: str) -> None:
        """All that a box has, with originals, as steps of an account."""
        planner = StepPlanner(box, originals=True)
        send_by_line(self.province, planner.build_bundle({}), self.root, account)

    def restrict(self) -> None:
        """All of the flight's ground is for administrators alone."""
        shapes = [shapely.from_wkb(one.footprint_wkb) for one in self.frames if one.footprint_wkb]
        ground = json.loads(shapely.to_geojson(shapely.union_all(shapes).convex_hull))
        path = self.root / "barracks.geojson"
        feature = {"type": "Feature", "properties": {}, "geometry": ground}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
        add_restricted_area(self.province, path, "admin", "Doanh trại", "Quản trị")

    @property
    def frames(self) -> list[FrameRecord]:
        return self.province.catalog.frames.list_for_flight(self.flight_id, FrameStatus.USED)

    @property
    def records(self) -> FlightRecords:
        return read_records(self.field, self.flight_id)

    def moved(self, east_m: float = EAST_M) -> FlightRecords:
        """The flight's records, with every photo placed elsewhere."""
        placements = tuple(move_frame(one, east_m, 7) for one in self.records.frames)
        return replace(self.records, placements=placements)

    def count_readable(self, role: Role, part: str = "") -> int:
        """Originals (or previews) of the flight that a role reads."""
        hashes = [one.header.provenance.source_sha256 for one in self.frames]
        with (
            running(Services(workspace=self.province)) as url,
            httpx.Client(base_url=url, timeout=60) as line,
        ):
            headers = {"Authorization": f"Bearer {TOKENS[role]}"}
            codes = [line.get(f"/api/evidence/{one}{part}", headers=headers).status_code for one in hashes]
        assert set(codes) <= {200, 403, 404}, codes
        return codes.count(200)

    def state(self) -> tuple[object, ...]:
        """Everything of the flight that a peer could have changed."""
        catalog = self.province.catalog
        mosaic_id = derive_live_mosaic_id(self.flight_id, Layer.COLOUR)
        return (
            catalog.flights.flight(self.flight_id),
            catalog.frames.list_for_flight(self.flight_id),
            catalog.frames.withdrawals(),
            catalog.placements.list_for_flight(self.flight_id),
            catalog.redactions.lines(),
            catalog.retention.lines(),
            catalog.retention.holds(),
            catalog.restrictions.level(self.flight_id),
            {str(one.tile_id): one.content_hash for one in catalog.tiles.heads(mosaic_id, 0)},
        )

    def shown_frames(self) -> set[str]:
        """Frames with a pixel in a tile of the flight's map."""
        mosaic_id = derive_live_mosaic_id(self.flight_id, Layer.COLOUR)
        heads = self.province.catalog.tiles.heads(mosaic_id, 0)
        return {one for head in heads for one in read_tile(self.province.store, head).frames}


@pytest.fixture
def world(drill: DrillReport, make_house: MakeHouse, tmp_path: Path) -> Iterator[World]:
    yield World(
        make_house(drill, "field"), make_house(drill, "province"), make_house(name="thief"), drill, tmp_path
    )


def test_a_boxs_token_uncovers_no_original_of_another(world: World) -> None:
    """The attack: records of another's flight, each photo placed kilometres away by version + 1."""
    assert world.count_readable(Role.ADMIN) == len(world.frames) == 6
    assert (world.count_readable(Role.OPERATOR), world.count_readable(Role.VIEWER, "/preview")) == (0, 0)
    before = world.state()
    taken = send_by_line(world.province, make_offer("thief", [world.moved()]), world.root, "thief")
    assert [one.barred for one in taken.conflicts] == [(world.flight_id,)]
    assert (world.count_readable(Role.OPERATOR), world.count_readable(Role.VIEWER, "/preview")) == (0, 0)
    assert world.state() == before
    (waiting,) = world.province.catalog.peers.requests()
    assert (waiting.node, waiting.flight_id, waiting.claims) == ("thief", world.flight_id, {"placement": 6})
    refused = [one for one in world.province.catalog.audit.lines() if one.what == "peer refused"]
    assert [(one.who, one.subject) for one in refused] == [("thief", world.flight_id)]
    send_by_line(world.province, make_offer("thief", [world.moved()]), world.root, "thief")
    lines = [one.what for one in world.province.catalog.audit.lines()]
    assert lines.count("peer refused") == 1, "who repeats himself fills no log"


def test_a_doctored_stick_uncovers_no_original(world: World) -> None:
    before = world.state()
    offer = make_offer("thief", [world.moved()])
    taken = send_by_stick(world.province, offer, world.root, world.thief).applied
    assert [one.barred for one in taken.conflicts] == [(world.flight_id,)]
    assert world.count_readable(Role.OPERATOR) == 0 and world.state() == before


def test_who_brought_a_flight_uncovers_nothing_of_it_by_placing_it_anew(world: World) -> None:
    """A stolen box speaks of its own flight: the house keeps what it knew of the ground."""
    taken = send_by_line(world.province, make_offer("field", [world.moved()]), world.root, "box-1")
    assert not taken.conflicts
    placed = world.province.catalog.placements.list_for_frames(world.frames)
    assert {len(some) for some in placed.values()} == {2}, "it is placed anew"
    assert world.count_readable(Role.OPERATOR) == world.count_readable(Role.VIEWER, "/preview") == 0
    assert world.count_readable(Role.ADMIN) == 6


def test_a_footprint_is_computed_here_and_what_only_a_peer_states_is_everywhere(world: World) -> None:
    """The pose as it was, the ground that it shows stated elsewhere."""
    true = {one.frame_id: one.footprint_wkb for one in world.frames}
    assert all(
        shapely.from_wkb(one.footprint_wkb).equals_exact(shapely.from_wkb(footprint), 1e-6)
        for one in world.records.frames
        if (footprint := true[one.frame_id]) is not None and one.footprint_wkb is not None
    )
    first = world.records.frames[0]
    lie = move_frame(first, EAST_M, 3)
    assert first.exterior is not None
    lie = replace(lie, exterior=replace(first.exterior, version=3))
    said = replace(world.records, placements=(lie,))
    send_by_line(world.province, make_offer("field", [said]), world.root, "box-1")
    here = world.province.catalog.frames.get(first.frame_id)
    assert here.exterior is not None and here.exterior.version == 3
    stated, computed = (shapely.from_wkb(one) for one in (lie.footprint_wkb, here.footprint_wkb))
    assert not computed.intersects(stated) and computed.intersects(shapely.from_wkb(true[first.frame_id]))
    unknown = replace(lie, version=4, exterior=replace(first.exterior, version=4), dem_id="f" * 24)
    send_by_line(
        world.province, make_offer("field", [replace(said, placements=(unknown,))]), world.root, "box-1"
    )
    assert world.province.catalog.placements.find_unverified([first.frame_id]) == {first.frame_id}
    assert world.count_readable(Role.OPERATOR) == 0


def test_no_original_here_is_laid_where_a_peer_alone_says(world: World) -> None:
    """The attack: cameras moved 170 m, and the house draws the withheld houses beside their place."""
    assert world.shown_frames()
    send_by_line(world.province, make_offer("field", [world.moved(170.0)]), world.root, "box-1")
    assert world.shown_frames() == set(), "until the box's own tiles come, nothing is drawn"
    moved = {one.frame_id: derive_placement_id(move_frame(one, 170.0, 7)) for one in world.records.frames}
    claims = world.province.catalog.peers.find_claims(ClaimKind.PLACEMENT, moved.values())
    assert {(one.node, one.account, one.detail) for one in claims} == {
        ("field", "box-1", frame_id) for frame_id in moved
    }


def purge(frame: FrameRecord, box: str, step: PurgeStep = PurgeStep.PURGED) -> PurgeRecord:
    return PurgeRecord(
        act_id=f"act-{box}",
        step=step,
        kind=RetainedKind.PHOTO,
        sha256=frame.header.provenance.source_sha256,
        flight_id=frame.flight_id,
        name=frame.header.provenance.source_name,
        list_digest="d",
        author="x",
        box=box,
        at_ns=1,
    )


def say_all(records: FlightRecords, box: str) -> FlightRecords:
    """Records in which everything that can be said of a flight is said."""
    frames, flight_id = records.frames, records.flight.flight_id
    withdrawals = [
        Withdrawal(frame_id=one.frame_id, flight_id=flight_id, reason="x", authority="x", withdrawn_ns=1)
        for one in frames
    ]
    masks = [
        RedactionRecord(
            mask_id=f"mask-{number:08}",
            step=RedactionStep.MADE,
            frame_id=one.frame_id,
            reason=RedactionReason.HOME,
            author="x",
            at_ns=1,
            wkb=shapely.to_wkb(shapely.box(1, 1, 200, 200)),
        )
        for number, one in enumerate(frames)
    ]
    hold = HoldRecord(
        hold_id="hold-00000001", step=HoldStep.HELD, subject=flight_id, reason="x", author="x", at_ns=1
    )
    return replace(
        records,
        event=replace(records.event, name="khác"),
        flight=replace(records.flight, name="khác", bounds_lonlat_deg=(0.0, 0.0, 1.0, 1.0)),
        placements=tuple(move_frame(one, EAST_M, 9) for one in frames),
        withdrawals=tuple(withdrawals),
        classification=Classification.RESTRICTED,
        redactions=tuple(masks),
        holds=(hold, replace(hold, step=HoldStep.RELEASED, at_ns=2)),
        purges=tuple(purge(one, box) for one in frames),
    )


@pytest.mark.parametrize("way", ["line", "stick"])
def test_nothing_that_is_said_of_anothers_flight_changes_it(world: World, way: str) -> None:
    before, said = world.state(), make_offer("thief", [say_all(world.records, "thief")])
    if way == "line":
        send_by_line(world.province, said, world.root, "thief")
    else:
        send_by_stick(world.province, said, world.root, world.thief)
    assert world.state() == before
    (waiting,) = world.province.catalog.peers.requests()
    assert waiting.claims == {
        "classification": 1,
        "hold": 2,
        "mask": 6,
        "placement": 6,
        "purge": 6,
        "withdrawal": 6,
    }


def test_a_flight_of_its_own_says_nothing_of_anothers_photos(world: World) -> None:
    """Under an id of its own, another's photos left out or said to be rejected: none is matched by them."""
    frames = world.records.frames
    own = say_all(world.records, "thief")
    own = replace(
        own,
        event=world.records.event,
        flight=replace(own.flight, flight_id="thiefs", name="thief's"),
        mosaics=(),
        frames=tuple(
            replace(
                one,
                flight_id="thiefs",
                status=FrameStatus.REJECTED,
                reason="no_height",
                exterior=None,
                dem_id=None,
                footprint_wkb=None,
                gsd_m=None,
                tiles=None,
            )
            for one in frames
        ),
        placements=tuple(replace(one, flight_id="thiefs") for one in own.placements),
        withdrawals=tuple(replace(one, flight_id="thiefs") for one in own.withdrawals),
        holds=tuple(replace(one, subject="thiefs") for one in own.holds),
        purges=tuple(replace(one, flight_id="thiefs") for one in own.purges),
    )
    before = world.state()
    taken = send_by_line(world.province, make_offer("thief", [own]), world.root, "thief")
    assert taken.flights == ("thiefs",)
    assert world.province.catalog.frames.list_for_flight("thiefs") == []
    after = world.state()
    holds = world.province.catalog.retention.holds()
    assert {one.subject for one in holds} == {"thiefs"}, "its own flight may be held"
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [([], holds)]


def test_what_is_said_before_a_photo_is_here_does_not_wait_for_it(
    drill: DrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    """The attack: a thief who knows the ids places, withdraws and deletes what the box has yet to bring."""
    world = World(
        make_house(drill, "field"), make_house(drill, "empty"), make_house(name="thief"), drill, tmp_path
    )
    honest = world.state()
    late = make_house(drill, "province")
    world.province = replace(late.workspace, box="province")
    said = say_all(world.records, "thief")
    own = replace(
        said,
        flight=replace(said.flight, flight_id="thiefs", name="thief's"),
        frames=(),
        mosaics=(),
        redactions=(),
        placements=tuple(replace(one, flight_id="thiefs") for one in said.placements),
        withdrawals=tuple(replace(one, flight_id="thiefs") for one in said.withdrawals),
        holds=(),
        purges=tuple(replace(one, flight_id="thiefs") for one in said.purges),
    )
    send_by_line(world.province, make_offer("thief", [own]), world.root, "thief")
    assert world.province.catalog.retention.lines() == []
    world.bring(world.field, "box-1")
    assert world.state()[1:] == honest[1:]


def test_a_card_is_read_whatever_a_box_says_that_it_deleted(world: World, make_house: MakeHouse) -> None:
    """The attack: an original that was deleted in 1970, by a box's word, is refused at every card."""
    other = make_house(world.drill, "other")
    province = replace(other.workspace, box="province")
    frames = world.records.frames
    flight = replace(world.records.flight, flight_id="thiefs", name="thief's")
    own = replace(
        world.records,
        flight=flight,
        frames=(),
        mosaics=(),
        purges=tuple(replace(purge(one, "thief"), flight_id="thiefs") for one in frames),
    )
    send_by_line(province, make_offer("thief", [own]), world.root, "thief")
    assert list_due_originals(province).originals == ()
    report = replace(other, workspace=province).ingest(world.drill.photos)
    assert len(province.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)) == 6
    send_by_line(world.province, make_offer("thief", [own]), world.root, "thief")
    assert list_due_originals(world.province).originals == ()


def test_a_box_lets_its_own_originals_go_and_a_person_confirms_it(world: World) -> None:
    said = replace(world.records, purges=tuple(purge(one, "field") for one in world.records.frames[:2]))
    said = replace(said, purges=(*said.purges, purge(world.records.frames[2], "another")))
    send_by_line(world.province, make_offer("field", [said]), world.root, "box-1")
    due = list_due_originals(world.province)
    assert [one.ordered_by for one in due.originals] == ["field"] * 2
    refused = world.province.catalog.peers.requests()
    assert [(one.node, one.claims) for one in refused] == [("field", {"purge": 1})]


def test_an_original_is_as_withheld_as_the_strictest_frame_that_names_it(world: World) -> None:
    """The attack: a film's picture of the thief's, far away, names the original of another's photo."""
    photo = world.records.frames[0]
    sha256 = photo.header.provenance.source_sha256
    far = move_frame(photo, EAST_M, 0)
    assert far.exterior is not None
    frame_id = derive_frame_id(name_sha256("film"), "1")
    header = replace(
        photo.header,
        frame_id=frame_id,
        exterior_prior=far.exterior,
        provenance=replace(photo.header.provenance, film="x.mp4"),
    )
    picture = replace(
        photo,
        header=header,
        flight_id="thiefs",
        exterior=far.exterior,
        footprint_wkb=far.footprint_wkb,
    )
    flight = replace(world.records.flight, flight_id="thiefs", name="thief's")
    own = replace(world.records, flight=flight, frames=(picture,), mosaics=(), placements=())
    send_by_line(world.province, make_offer("thief", [own]), world.root, "thief")
    assert world.province.catalog.frames.list_for_flight("thiefs") == []
    assert world.count_readable(Role.OPERATOR) == 0
    # and where it was first to name it: the photo's own frame is asked too
    world.province.catalog.flights.put_flight(flight)
    world.province.catalog.frames.put([picture])
    named = [one.frame_id for one in world.province.catalog.frames.list_by_original(sha256)]
    assert named == [photo.frame_id, frame_id]
    assert world.count_readable(Role.OPERATOR) == 0


def test_a_box_is_allowed_by_a_person_and_revoked_by_one(world: World) -> None:
    """It was stolen, withdraws, masks, moves and deletes; all of that goes, and the map is as it was."""
    province, catalog = world.province, world.province.catalog
    before = world.state()
    since_ns = province.clock_ns()
    said = say_all(world.records, "field")
    send_by_line(province, make_offer("field", [said]), world.root, "box-1")
    assert world.state() != before and world.shown_frames() == set()
    listed = list_revocable(province, "field", since_ns)
    assert listed.claims == {
        "classification": 1,
        "hold": 1,
        "mask": 6,
        "placement": 6,
        "purge": 6,
        "withdrawal": 6,
    }
    done = revoke_claims(province, "field", since_ns, "Hoa", SyncApplyHooks(province))
    assert done.claims == listed.claims and done.lines > 0
    after = world.state()
    assert after[-1] == before[-1], "the same tiles, byte for byte"
    assert catalog.frames.withdrawals() == []
    assert {one.status for one in catalog.frames.list_for_flight(world.flight_id)} == {FrameStatus.USED}
    assert catalog.restrictions.level(world.flight_id) is Classification.OPEN
    assert list_due_originals(province).originals == ()
    assert list_revocable(province, "field", since_ns).claims == {}
    again = send_by_line(province, make_offer("field", [said]), world.root, "box-1")
    assert [one.barred for one in again.conflicts] == [(world.flight_id,)], "it speaks for nothing any more"
    assert world.state() == after
    audited = [one for one in catalog.audit.lines() if one.what == "box revoke"]
    assert [(one.who, one.subject) for one in audited] == [("Hoa", "field")]
    assert catalog.audit.verify() is None
