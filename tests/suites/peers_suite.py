"""The contract of peers in the catalogue: who may speak, what was claimed, what waits, what is unverified.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import shapely

from flycam.catalog import database
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.flights import derive_placement_id, to_placement
from flycam.catalog.peers import (
    ALL_FLIGHTS,
    ClaimKind,
    PeerClaim,
    PeerGrant,
    PeerRequest,
    Permission,
)
from flycam.model.records import AuditEntry, FrameStatus
from tests.suites.catalog_suite import frame, withdrawal

BROUGHT = PeerGrant(flight_id="f1", node="one", permission=Permission.BROUGHT, who="box-1", at_ns=3)
ALLOWED = PeerGrant(flight_id="f1", node="two", permission=Permission.ALLOWED, who="Hoa", at_ns=9)
CLAIM = PeerClaim(
    node="one", kind=ClaimKind.FRAME, item=frame(1).frame_id, flight_id="f1", account="box-1", at_ns=5
)
REQUEST = PeerRequest(
    node="two", flight_id="f1", name="sáng", account="box-2", claims={"mask": 2}, first_ns=4, last_ns=4
)
ENTRY = AuditEntry(who="box-2", what="peer refused", subject="f1", detail="", at_ns=4)


class PeersSuite:
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as catalog:
            yield catalog

    def tamper(self, url: str, statement: str) -> None:
        raise NotImplementedError

    def test_a_peer_speaks_for_what_it_brought_and_for_what_it_is_allowed(self, catalog: Catalog) -> None:
        peers = catalog.peers
        peers.add_grant(BROUGHT)
        peers.add_grant(replace(BROUGHT, who="another", at_ns=8))
        assert peers.grants() == [BROUGHT], "the first time counts"
        assert peers.find_permissions("one", ["f1", "f2"]) == {"f1": Permission.BROUGHT}
        assert peers.find_permissions("two", ["f1"]) == {}
        peers.add_grant(ALLOWED)
        peers.add_grant(replace(BROUGHT, permission=Permission.ALLOWED))
        assert peers.find_permissions("one", ["f1"]) == {"f1": Permission.ALLOWED}
        peers.add_grant(replace(ALLOWED, flight_id=ALL_FLIGHTS))
        assert peers.find_permissions("two", ["f1", "f9"]) == dict.fromkeys(("f1", "f9"), Permission.ALLOWED)
        peers.remove_grants("two", ENTRY)
        assert peers.find_permissions("two", ["f1", "f9"]) == {}
        assert peers.grants("one") == [replace(BROUGHT, permission=Permission.ALLOWED)]

    def test_a_claim_keeps_its_time_and_is_undone_once(self, catalog: Catalog) -> None:
        peers = catalog.peers
        peers.note_claims([CLAIM])
        peers.note_claims([replace(CLAIM, at_ns=99), replace(CLAIM, node="two", at_ns=7)])
        assert {(one.node, one.at_ns) for one in peers.find_claims(ClaimKind.FRAME, [CLAIM.item])} == {
            ("one", 5),
            ("two", 7),
        }
        assert peers.list_claims(node="one", since_ns=6) == []
        assert peers.list_claims(node="one", since_ns=5) == [CLAIM]
        peers.mark_undone([CLAIM], 11)
        assert [one.node for one in peers.list_claims(flight_id="f1")] == ["two"]
        peers.note_claims([CLAIM])
        (again, _) = sorted(peers.find_claims(ClaimKind.FRAME, [CLAIM.item]), key=lambda one: one.node)
        assert again.undone_ns == 11, "said again, it stays undone"
        peers.adopt_claims(ClaimKind.FRAME, [CLAIM.item])
        assert peers.find_claims(ClaimKind.FRAME, [CLAIM.item]) == []

    def test_frames_that_another_brought_are_told(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1), frame(2), frame(3, flight_id="f2")])
        catalog.peers.note_claims([CLAIM])
        assert catalog.peers.find_foreign_frames("f1", "one") == {frame(2).frame_id}
        assert catalog.peers.find_foreign_frames("f1", "two") == {frame(1).frame_id, frame(2).frame_id}

    def test_a_request_is_audited_when_it_is_new_and_settled_by_a_person(self, catalog: Catalog) -> None:
        peers = catalog.peers
        assert peers.note_request(REQUEST, ENTRY)
        assert not peers.note_request(replace(REQUEST, last_ns=5), ENTRY), "said again"
        assert peers.note_request(replace(REQUEST, claims={"mask": 3}, first_ns=6, last_ns=6), ENTRY)
        (waiting,) = peers.requests()
        assert (waiting.claims, waiting.first_ns, waiting.last_ns) == ({"mask": 3}, 4, 6)
        assert [one.what for one in catalog.audit.lines()] == ["peer refused"] * 2
        assert peers.settle_request("two", "f1", 8, replace(ENTRY, what="box dismiss"))
        assert not peers.settle_request("two", "f1", 9, ENTRY)
        assert peers.requests() == [] and len(peers.requests(has_settled=True)) == 1
        peers.note_request(replace(REQUEST, claims={"mask": 4}), ENTRY)
        assert len(peers.requests()) == 1, "something else waits again"
        peers.add_grant(ALLOWED)
        assert peers.requests() == []

    def test_a_footprint_is_unverified_until_it_is_computed_here(self, catalog: Catalog) -> None:
        catalog.frames.put([frame(1)])
        names = frame(1).frame_id, derive_placement_id(to_placement(frame(1)))
        catalog.peers.note_unverified("f1", [names, names])
        assert catalog.peers.list_unverified("f1") == [names]
        assert catalog.peers.list_flights_unverified() == {"f1"}
        assert catalog.placements.find_unverified([frame(1).frame_id, frame(2).frame_id]) == {names[0]}
        computed = shapely.to_wkb(shapely.box(104.0, 21.0, 104.1, 21.1))
        catalog.placements.put_footprints({names: computed})
        assert catalog.frames.get(names[0]).footprint_wkb == computed
        assert catalog.placements.find_unverified([names[0]]) == set()
        assert catalog.peers.list_flights_unverified() == set()

    def test_a_placement_and_a_withdrawal_are_taken_back(self, catalog: Catalog) -> None:
        (before,) = catalog.frames.put([frame(1)])
        moved = replace(frame(1), dem_id="dem-2")
        catalog.placements.supersede([moved], "x", "box", 1)
        placed = catalog.placements.list_for_frames([catalog.frames.get(before.frame_id)])[before.frame_id]
        assert len(placed) == 2
        (second,) = [one for one in placed if one.dem_id == "dem-2"]
        catalog.placements.remove({(before.frame_id, derive_placement_id(second))})
        assert catalog.frames.get(before.frame_id) == before
        catalog.frames.withdraw([withdrawal(1)])
        assert catalog.frames.list_withdrawals([before.frame_id, "none"]) == [withdrawal(1)]
        catalog.frames.lift_withdrawals([before.frame_id])
        assert catalog.frames.withdrawals() == []
        assert catalog.frames.get(before.frame_id).status is FrameStatus.USED

    def test_frames_that_name_one_original_are_all_told_the_proven_one_first(self, catalog: Catalog) -> None:
        first, second = frame(1), frame(2)
        sha256 = first.header.provenance.source_sha256
        both = replace(
            second,
            header=replace(second.header, provenance=replace(second.header.provenance, source_sha256=sha256)),
        )
        catalog.frames.put([first])
        catalog.frames.put([both])
        names = {first.frame_id: "f1", second.frame_id: "f1"}
        assert catalog.frames.find_by_originals([sha256, "b" * 64]) == {sha256: names, "b" * 64: {}}
        assert {one.frame_id for one in catalog.frames.list_by_original(sha256)} == set(names)

    def test_a_catalogue_of_before_claims_is_upgraded(self, catalog: Catalog, url: str) -> None:
        catalog.frames.put([frame(1)])
        sha256 = frame(1).header.provenance.source_sha256
        catalog.close()
        assert database.HEAD == "0002"
        for name in ("peer_grants", "peer_claims", "peer_requests", "unverified_footprints", "film_pictures"):
            self.tamper(url, f"DROP TABLE {name}")
        self.tamper(
            url, "CREATE TABLE film_pictures (source_sha256 TEXT PRIMARY KEY, frame_id TEXT NOT NULL)"
        )
        self.tamper(url, f"INSERT INTO film_pictures VALUES ('{sha256}', '{frame(1).frame_id}')")
        self.tamper(url, "UPDATE alembic_version SET version_num = '0001'")
        for _ in range(2):
            with open_catalog(url) as newer:
                assert newer.frames.get_by_original(sha256) == frame(1)
                newer.peers.add_grant(BROUGHT)
                assert newer.peers.grants() == [BROUGHT]
