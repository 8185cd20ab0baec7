"""Deciding on changes: every step is signed, whole, sent once though asked twice; the last can be undone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.catalog.changes import ChangeVersion
from flycam.change.outlines import Outline, measure_outline, parse_outline
from flycam.change.review import ReviewStep, apply_review_step
from flycam.errors import InputUnusable, NotFound, StoreConflict
from flycam.model.board import REVIEWABLE_STATUSES, ChangeAction, ChangeKind, ChangeStatus
from flycam.model.flight import Event, EventKind
from flycam.workspace import Workspace
from tests.serve.world import LAT, LON, add_communes, make_workspace
from tests.suites.change_suite import FOUND


def ring(west: float, south: float, size: float = 0.001) -> Outline:
    east, north = west + size, south + size
    return [[[(west, south), (east, south), (east, north), (west, north), (west, south)]]]


def wkb(outline: Outline) -> bytes:
    return shapely.to_wkb(parse_outline(outline))


WHOLE = ring(LON, LAT, 0.002)
PARTS = [ring(LON, LAT), ring(LON + 0.001, LAT + 0.001)]
ONE, TWO = "change-00000001", "change-00000002"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return _house(tmp_path)


def _house(folder: Path) -> Workspace:
    one = make_workspace(folder / "house")
    add_communes(one)
    for event_id in ("e1", "e2"):
        one.catalog.flights.put_event(
            Event(event_id=event_id, name=event_id, kind=EventKind.STORM, is_drill=False)
        )
    one.catalog.changes.append([_found(ONE, WHOLE), _found(TWO, ring(LON + 0.002, LAT))])
    return one


def _found(change_id: str, outline: Outline) -> ChangeVersion:
    shape = parse_outline(outline)
    west, south, east, north = (float(side) for side in shape.bounds)
    box = (west, south, east, north)
    return replace(FOUND, change_id=change_id, wkb=shapely.to_wkb(shape), bounds_lonlat_deg=box)


def step(number: int, action: ChangeAction, **more: object) -> ReviewStep:
    return ReviewStep(step_id=f"step-{number:08x}", action=action, **more)  # type: ignore[arg-type]


ACCEPT = step(1, ChangeAction.ACCEPT, changes={ONE: 1})


def last(workspace: Workspace, change_id: str) -> ChangeVersion:
    return workspace.catalog.changes.history(change_id)[-1]


def standing(workspace: Workspace) -> list[ChangeVersion]:
    return workspace.catalog.changes.current("e1", statuses=REVIEWABLE_STATUSES)


def test_a_decision_is_signed_and_in_the_audit_log(workspace: Workspace) -> None:
    (line,) = apply_review_step(workspace, replace(ACCEPT, note="rõ vách <b>trượt</b>\u0000"), "Lan")
    assert (line.status, line.author, line.version) == (ChangeStatus.ACCEPTED, "Lan", 2)
    assert line.note == "rõ vách <b>trượt</b>"
    assert last(workspace, ONE) == line
    (entry,) = workspace.catalog.audit.lines()
    assert (entry.who, entry.what, entry.subject) == ("Lan", "change", ONE)
    assert "accepted" in entry.detail
    assert workspace.catalog.audit.verify() is None


@pytest.mark.parametrize(
    ("decision", "other"),
    [
        (step(1, ChangeAction.ACCEPT, changes={ONE: 1}), {"kind": ChangeKind.FLOOD}),
        (step(1, ChangeAction.ACCEPT, changes={ONE: 1}), {"changes": {TWO: 1}}),
        (step(1, ChangeAction.REDRAW, changes={ONE: 1}, outlines=PARTS[:1]), {"outlines": PARTS[1:]}),
        (
            step(1, ChangeAction.DRAW, outlines=PARTS[:1], event_id="e1", kind=ChangeKind.OTHER),
            {"outlines": PARTS[1:]},
        ),
        (
            step(1, ChangeAction.DRAW, outlines=PARTS[:1], event_id="e1", kind=ChangeKind.OTHER),
            {"kind": ChangeKind.FLOOD},
        ),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else one.action.value,
)
def test_a_steps_id_is_taken_for_the_very_decision_only(
    workspace: Workspace, decision: ReviewStep, other: dict[str, object]
) -> None:
    first = {line.change_id: line for line in apply_review_step(workspace, decision, "Lan")}
    assert {line.change_id: line for line in apply_review_step(workspace, decision, "Lan")} == first
    with pytest.raises(StoreConflict):
        apply_review_step(workspace, replace(decision, **other), "Lan")  # type: ignore[arg-type]
    assert {line.change_id: line for line in workspace.catalog.changes.step(decision.step_id)} == first


@pytest.mark.parametrize("seen", [0, 2, 9])
def test_nobody_decides_on_what_was_not_seen(workspace: Workspace, seen: int) -> None:
    with pytest.raises(StoreConflict):
        apply_review_step(workspace, step(1, ChangeAction.REJECT, changes={TWO: 1, ONE: seen}), "Lan")
    assert workspace.catalog.changes.stamp() == 2


def test_a_change_redrawn_is_measured_again(workspace: Workspace) -> None:
    (line,) = apply_review_step(
        workspace, step(1, ChangeAction.REDRAW, changes={ONE: 1}, outlines=[PARTS[0]]), "Lan"
    )
    assert line.wkb == wkb(PARTS[0])
    ground = measure_outline(parse_outline(PARTS[0]), workspace, is_drill=False)
    assert (line.area_m2, line.commune) == (ground.area_m2, ground.commune)
    # a thousandth of a degree is 111 m north, and 103 m east at this latitude
    assert line.area_m2 == pytest.approx(110.7 * 103.3, rel=0.01)
    assert (line.status, line.score) == (ChangeStatus.PROPOSED, None), "the score was of the outline before"
    assert line.no_score == "drawn"
    assert (line.before_shown, line.rmse_m, line.is_drawn) == (FOUND.before_shown, FOUND.rmse_m, False)
    (back,) = apply_review_step(workspace, step(2, ChangeAction.UNDO, undoes=line.step_id), "Lan")
    assert back.score == FOUND.score
    same = step(3, ChangeAction.REDRAW, changes={ONE: 3}, outlines=[WHOLE])
    (left,) = apply_review_step(workspace, same, "Lan")
    assert (left.area_m2, left.length_m) == (FOUND.area_m2, FOUND.length_m)
    assert (left.probability, left.slope_deg) == (FOUND.score, FOUND.slope_deg), "nobody moved a corner"
    assert (left.tie_m, left.error_m) == (FOUND.tie_m, FOUND.error_m)


def test_a_score_is_of_the_kind_that_was_scored(workspace: Workspace) -> None:
    """A landslide of 0.7 that is accepted as a flood is no flood of 0.7."""
    (line,) = apply_review_step(workspace, replace(ACCEPT, kind=ChangeKind.FLOOD), "Lan")
    assert (line.probability, line.no_score, line.is_kind_sure) == (None, "kind_changed", True)
    assert not line.is_drawn and line.score == FOUND.score, "the outline is the detector's still"
    again = step(2, ChangeAction.COMMENT, changes={ONE: 2}, note="bùn", kind=ChangeKind.OTHER)
    (line,) = apply_review_step(workspace, again, "Minh")
    assert (line.probability, line.scored_as) == (None, "landslide")
    (back,) = apply_review_step(
        workspace, step(3, ChangeAction.REJECT, changes={ONE: 3}, kind=FOUND.kind), "Minh"
    )
    assert (back.probability, back.no_score) == (FOUND.score, "")
    (undone,) = apply_review_step(workspace, step(4, ChangeAction.UNDO, undoes=back.step_id), "Minh")
    assert (undone.kind, undone.scored_as) == (ChangeKind.OTHER, "landslide")


def test_what_is_drawn_keeps_the_pictures_it_was_drawn_over(workspace: Workspace) -> None:
    over = {"before": FOUND.before_shown, "after": "sau.tif"}
    decision = step(
        1, ChangeAction.DRAW, outlines=[PARTS[0]], event_id="e1", kind=ChangeKind.LANDSLIDE, **over
    )
    with pytest.raises(InputUnusable, match="m1@2"):
        apply_review_step(workspace, decision, "Lan")
    files = {"before_shown": "truoc.tif", "after_shown": "sau.tif"}
    workspace.catalog.changes.append([replace(_found("change-00000003", WHOLE), **files)])
    with pytest.raises(InputUnusable):
        apply_review_step(workspace, replace(decision, before=""), "Lan")
    known = replace(decision, before="truoc.tif")
    (line,) = apply_review_step(workspace, known, "Lan")
    assert (line.before_shown, line.after_shown) == ("truoc.tif", "sau.tif")
    assert line.is_drawn and line.no_score == "drawn"
    assert apply_review_step(workspace, known, "Lan") == [line]
    with pytest.raises(StoreConflict):
        apply_review_step(workspace, replace(known, before="", after=""), "Lan")


def _stripped(lines: list[ChangeVersion]) -> dict[str, ChangeVersion]:
    """How changes stand, without who last wrote to them."""
    bare = {"version": 0, "step_id": "", "action": ChangeAction.FOUND, "author": "", "at_ns": 0, "undoes": ""}
    return {one.change_id: replace(one, **bare) for one in lines}  # type: ignore[arg-type]


CHOICES = {
    "accept": lambda n, seen: step(n, ChangeAction.ACCEPT, changes=dict(seen[:1])),
    "reject": lambda n, seen: step(n, ChangeAction.REJECT, changes=dict(seen)),
    "comment": lambda n, seen: step(n, ChangeAction.COMMENT, changes=dict(seen[:1]), note=f"số {n}"),
    "redraw": lambda n, seen: step(n, ChangeAction.REDRAW, changes=dict(seen[:1]), outlines=[PARTS[n % 2]]),
    "draw": lambda n, _seen: step(
        n, ChangeAction.DRAW, outlines=[PARTS[n % 2]], event_id="e1", kind=ChangeKind.OTHER
    ),
}


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(sorted(CHOICES)), st.booleans()), min_size=1, max_size=5))
def test_undoing_the_last_step_leads_back_and_is_not_undone(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[tuple[str, bool]]
) -> None:
    workspace = _house(tmp_path_factory.mktemp("undo"))
    for number, (name, is_undone) in enumerate(chosen):
        before = standing(workspace)
        seen = [(one.change_id, one.version) for one in before]
        (line, *_) = apply_review_step(workspace, CHOICES[name](number, seen), "Lan")
        if not is_undone:
            continue
        signs = workspace.catalog.changes.list_attributions(before)
        undo = step(100 + number, ChangeAction.UNDO, undoes=line.step_id)
        apply_review_step(workspace, undo, "Lan")
        assert _stripped(standing(workspace)) == _stripped(before)
        assert workspace.catalog.changes.list_attributions(standing(workspace)) == signs
        for wrong in (undo.step_id, line.step_id):
            with pytest.raises((NotFound, StoreConflict)):
                apply_review_step(workspace, step(200 + number, ChangeAction.UNDO, undoes=wrong), "Lan")


def test_only_ones_own_decision_while_it_is_the_last_on_a_change_can_be_undone(workspace: Workspace) -> None:
    apply_review_step(workspace, ACCEPT, "Lan")
    with pytest.raises(StoreConflict):
        apply_review_step(workspace, step(3, ChangeAction.UNDO, undoes=ACCEPT.step_id), "Minh")
    apply_review_step(workspace, step(2, ChangeAction.REJECT, changes={ONE: 2}), "Minh")
    with pytest.raises(StoreConflict):
        apply_review_step(workspace, step(3, ChangeAction.UNDO, undoes=ACCEPT.step_id), "Lan")
    apply_review_step(workspace, step(5, ChangeAction.UNDO, undoes="step-00000002"), "Minh")
    with pytest.raises(StoreConflict):
        apply_review_step(workspace, step(3, ChangeAction.UNDO, undoes=ACCEPT.step_id), "Lan")
    assert last(workspace, ONE).status is ChangeStatus.ACCEPTED
    for unknown in ("step-99999999", FOUND.step_id):
        with pytest.raises(NotFound):
            apply_review_step(workspace, step(4, ChangeAction.UNDO, undoes=unknown), "Lan")


@pytest.mark.parametrize(
    "wrong",
    [
        {"step_id": "../../etc"},
        {"action": ChangeAction.FOUND},
        {"changes": {}},
        {"outlines": [WHOLE]},
        {"action": ChangeAction.REDRAW, "outlines": PARTS},
        {"undoes": "step-00000009"},
        {"action": ChangeAction.UNDO, "changes": {}},
        {"action": ChangeAction.COMMENT},
        {"action": ChangeAction.REDRAW},
        {"action": ChangeAction.DRAW, "changes": {}, "outlines": [WHOLE], "event_id": "e1"},
        {"note": "x" * 1001},
        {"action": ChangeAction.REDRAW, "outlines": [[]]},
        {"action": ChangeAction.REDRAW, "outlines": [[[[(LON, LAT), (LON, LAT + 0.1)]]]]},
        {"action": ChangeAction.REDRAW, "outlines": [[[[(LON, LAT)] * 4]]]},
        {"action": ChangeAction.REDRAW, "outlines": [ring(float("nan"), LAT)]},
        {"action": ChangeAction.REDRAW, "outlines": [ring(LAT, LON)]},
        {"action": ChangeAction.REDRAW, "outlines": [ring(LON, LAT, 1.0)]},
        {"action": ChangeAction.REDRAW, "outlines": [[*WHOLE, *PARTS[0]]]},
        {"action": ChangeAction.REDRAW, "outlines": [[[[*WHOLE[0][0][:4]] * 1251]]]},
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    workspace: Workspace, wrong: dict[str, object]
) -> None:
    with pytest.raises(InputUnusable):
        apply_review_step(workspace, replace(ACCEPT, **wrong), "Lan")  # type: ignore[arg-type]
    assert workspace.catalog.changes.stamp() == 2
