"""What a live mosaic found and a finished revision did not show again is marked, where that looked there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import shapely

from flycam.catalog.changes import ChangeVersion
from flycam.change.comparison import find_superseded_candidates
from flycam.model.board import ChangeAction, ChangeKind
from tests.change.impacted import changed, square
from tests.suites.comparison_suite import compared_on

LIVE = changed("change-00000001", square(0, 0, 100), before_shown="m1@0", after_shown="m2@0", event_id="e1")
WHOLE, HALF = square(-50, -50, 300), square(-50, -50, 100)


@pytest.mark.parametrize(
    ("ground", "shown", "is_unfound"),
    [
        (WHOLE, ("m1@1", "m2@1"), True),
        (WHOLE, ("m1@0", "m2@1"), True),
        (WHOLE, ("m1@0", "m2@0"), False),
        (HALF, ("m1@1", "m2@1"), False),
        (WHOLE, ("m1@1", "m3@1"), False),
    ],
    ids=["finished", "one side finished", "the same revisions", "not looked at", "other pictures"],
)
def test_a_newer_revision_that_looked_there_did_not_show_it(
    ground: shapely.MultiPolygon, shown: tuple[str, str], is_unfound: bool
) -> None:
    made = [compared_on("compared-1", "e1", ground, *shown)]
    assert find_superseded_candidates([LIVE], made) == (
        frozenset({LIVE.change_id}) if is_unfound else frozenset()
    )


def test_what_was_found_without_terrain_and_not_again_with_it_is_marked() -> None:
    bare = replace(LIVE, slope_deg=None, kind=ChangeKind.OTHER)
    made = [compared_on("compared-1", "e1", WHOLE, "m1@0", "m2@0")]
    judged = changed(
        "change-00000002",
        square(200, 0, 50),
        before_shown="m1@0",
        after_shown="m2@0",
        event_id="e1",
        at_ns=99,
    )
    assert find_superseded_candidates([bare], made) == frozenset(), "nobody compared them again"
    assert find_superseded_candidates([bare, replace(judged, slope_deg=None)], made) == frozenset()
    assert find_superseded_candidates([bare, judged], made) == {bare.change_id}
    assert find_superseded_candidates([bare, replace(judged, after_shown="m3@0")], made) == frozenset()
    assert (
        find_superseded_candidates([bare, judged], [compared_on("compared-1", "e1", HALF, "m1@0", "m2@0")])
        == frozenset()
    )


@pytest.mark.parametrize(
    "touched",
    [
        replace(LIVE, version=2, action=ChangeAction.COMMENT, note="xem lại"),
        replace(LIVE, action=ChangeAction.DRAW, before_shown="", after_shown=""),
        replace(LIVE, event_id="e2"),
        replace(LIVE, before_shown="m1@1", after_shown="m2@1"),
    ],
    ids=["commented", "drawn", "another event", "of the newer revision"],
)
def test_what_somebody_touched_or_the_newer_one_found_is_not_marked(touched: ChangeVersion) -> None:
    assert (
        find_superseded_candidates([touched], [compared_on("compared-1", "e1", WHOLE, "m1@1", "m2@1")])
        == frozenset()
    )
