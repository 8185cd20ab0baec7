"""Settlements are unknown until a person says; cut roads propose; every word stays, signed and in the log."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyogrio
import pytest

from flycam.access.policy import load_access_policy
from flycam.board.marks import (
    AccessReport,
    Settlement,
    export_settlements,
    list_access_history,
    list_event_settlements,
    report_access,
)
from flycam.change.review import ReviewStep, apply_review_step
from flycam.errors import InputUnusable, OptionUnusable, StoreConflict
from flycam.model.access import Account, Role
from flycam.model.board import Access, ChangeAction, LayerKind, RoadStatus
from flycam.model.flight import Classification
from flycam.workspace import Workspace
from tests.change.impacted import FLOOD, add_things, impacted_house, line, point

MAIN = ("ĐT 153", line((-3000, -500), (3000, -500)))
"""The main road passes south of the slide (0 to 100 m east and north) and of the flood (400 m to 500 m)."""

VALLEY = ("Đường vào bản", line((50, -500), (50, 900)))
FAR_VALLEY = ("Đường bản xa", line((450, -500), (450, 900)))
PLACES = [
    ("Nậm Lúc Thượng", point(50, 780)),
    ("Nậm Lúc Hạ", point(50, -400)),
    ("Bản Xa", point(450, 780)),
    ("Bản Không Đường", point(-2500, 4000)),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = impacted_house(tmp_path)
    add_things(one, tmp_path, "Đường", LayerKind.ROAD, [MAIN, VALLEY, FAR_VALLEY])
    add_things(one, tmp_path, "Thôn bản", LayerKind.SETTLEMENT, PLACES)
    return one


def of(workspace: Workspace, event: str = "e1", reach_m: float = 200.0) -> dict[str, Settlement]:
    found = list_event_settlements(workspace, workspace.catalog.flights.event(event), reach_m)
    return {one.name: one for one in found}


def report(workspace: Workspace, name: str, access: Access, who: str = "Lan", **more: object) -> None:
    report_access(workspace, AccessReport(event="e1", settlement=name, access=access, **more), who)  # type: ignore[arg-type]


def test_a_settlement_behind_a_confirmed_slide_is_proposed_and_stays_unknown(workspace: Workspace) -> None:
    found = of(workspace)
    above = found["Nậm Lúc Thượng"]
    assert (above.road_evidence, above.access, above.is_proposed) == (
        RoadStatus.CUT_OFF,
        Access.UNKNOWN,
        True,
    )
    assert found["Nậm Lúc Hạ"].road_evidence is RoadStatus.JOINED
    assert found["Bản Xa"].road_evidence is RoadStatus.JOINED, "its flood waits: nobody has confirmed it"
    assert found["Bản Không Đường"].road_evidence is RoadStatus.NO_ROAD
    assert {one.access for one in found.values()} == {Access.UNKNOWN}
    assert next(iter(found)) == "Nậm Lúc Thượng", "what is proposed comes first"
    assert (above.commune, above.commune_name) == ("99002", "Mường Đăng")


def test_what_was_reachable_and_is_cut_off_later_is_proposed_again(workspace: Workspace) -> None:
    report(workspace, "Bản Xa", Access.REACHABLE)
    report(workspace, "Nậm Lúc Thượng", Access.REACHABLE, note="đã thông đường tạm")
    assert not any(one.is_proposed for one in of(workspace).values()), "said with the cut in sight"
    apply_review_step(
        workspace, ReviewStep(step_id="step-00000001", action=ChangeAction.ACCEPT, changes={FLOOD: 1}), "Lan"
    )
    found = of(workspace)
    assert [one.name for one in found.values() if one.is_proposed] == ["Bản Xa"]
    assert next(iter(found)) == "Bản Xa", "what is proposed comes first"
    report(workspace, "Bản Xa", Access.REACHABLE)
    assert not of(workspace)["Bản Xa"].is_proposed
    report(workspace, "Bản Xa", Access.ISOLATED)
    assert not of(workspace)["Bản Xa"].is_proposed


def test_a_node_without_roads_and_a_reach_that_is_none(tmp_path: Path) -> None:
    bare = impacted_house(tmp_path / "bare")
    assert of(bare) == {}
    add_things(bare, tmp_path, "Thôn bản", LayerKind.SETTLEMENT, PLACES)
    assert {one.road_evidence for one in of(bare).values()} == {RoadStatus.NO_LAYER}
    for reach in (0.0, -1.0, float("nan"), 6000.0):
        with pytest.raises(InputUnusable):
            of(bare, reach_m=reach)


def test_a_word_is_signed_kept_and_in_the_audit_log(workspace: Workspace) -> None:
    report(workspace, "Nậm Lúc Thượng", Access.ISOLATED, note="gọi trưởng bản")
    report(workspace, "Nậm Lúc Thượng", Access.REACHABLE, "Minh", note="đã thông đường tạm", based_on=1)
    one = of(workspace)["Nậm Lúc Thượng"]
    assert one.line is not None
    assert (one.access, one.line.author, one.line.version) == (Access.REACHABLE, "Minh", 2)
    assert one.line.roads_said is RoadStatus.CUT_OFF, "what the roads said then is kept beside it"
    history = workspace.catalog.settlements.history("e1", one.settlement_id)
    assert [(line.access, line.author) for line in history] == [
        (Access.ISOLATED, "Lan"),
        (Access.REACHABLE, "Minh"),
    ]
    lines = [line for line in workspace.catalog.audit.lines() if line.what == "settlement"]
    assert [line.who for line in lines] == ["Lan", "Minh"]
    assert workspace.catalog.audit.verify() is None
    assert of(workspace, "e2")["Nậm Lúc Thượng"].access is Access.UNKNOWN, (
        "another event's word is not this one's"
    )


def test_the_same_said_twice_is_written_once_and_nobody_overwrites_unseen(workspace: Workspace) -> None:
    for _ in range(2):
        report(workspace, "Bản Xa", Access.ISOLATED, based_on=0)
    assert workspace.catalog.settlements.stamp() == 1
    with pytest.raises(StoreConflict):
        report(workspace, "Bản Xa", Access.REACHABLE, "Minh", based_on=0)


@pytest.mark.parametrize("is_removed", [False, True])
def test_what_was_said_of_a_withheld_layers_place_stays_withheld(
    workspace: Workspace, tmp_path: Path, is_removed: bool
) -> None:
    secret = add_things(workspace, tmp_path, "Kho", LayerKind.SETTLEMENT, [("Kho 5", point(200, 300))])
    report(workspace, "Kho 5", Access.ISOLATED)
    report(workspace, "Bản Xa", Access.ISOLATED)
    places = workspace.catalog.settlements.current("e1")
    secret_id = next(line.settlement_id for line in places if line.name == "Kho 5")
    if is_removed:
        workspace.catalog.layers.remove(secret.layer_id)
    else:
        workspace.catalog.layers.put(secret, [])
    workspace.catalog.restrictions.classify(secret.layer_id, Classification.RESTRICTED, 1)
    viewer, analyst = (
        load_access_policy(workspace.catalog, Account(name=role, role=role, token_hash="", created_ns=0))
        for role in (Role.VIEWER, Role.ANALYST)
    )
    event = workspace.catalog.flights.event("e1")
    for policy, is_listed in ((viewer, False), (analyst, True)):
        names = {one.name for one in list_event_settlements(workspace, event, policy=policy)}
        assert ("Kho 5" in names) is is_listed
        assert names >= {name for name, _ in PLACES}
        assert bool(list_access_history(workspace, event, secret_id, policy)) is is_listed


def test_exports_say_unknown_where_nobody_has_said(workspace: Workspace, tmp_path: Path) -> None:
    report(workspace, "Bản Xa", Access.ISOLATED, note="=x")
    for ending in (".csv", ".geojson", ".gpkg"):
        assert export_settlements(workspace, tmp_path / f"a{ending}", "e1") == 4
    rows = {
        row["name"]: row for row in csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig")))
    }
    assert (rows["Bản Xa"]["access"], rows["Bản Xa"]["note"]) == ("isolated", "'=x")
    assert (rows["Nậm Lúc Thượng"]["access"], rows["Nậm Lúc Thượng"]["proposed"]) == ("unknown", "isolated")
    meta, _, _, fields = pyogrio.raw.read(tmp_path / "a.gpkg")
    assert sorted(fields[list(meta["fields"]).index("access")]) == [
        "isolated",
        "unknown",
        "unknown",
        "unknown",
    ]
    with pytest.raises(OptionUnusable):
        export_settlements(workspace, tmp_path / "a.txt", "e1")
