"""One place at several dates: only what was measured against the same picture is said to grow or fall."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import shapely

from flycam.analysis import fitted
from flycam.analysis.place_error import HAND_RIM_M
from flycam.answers.changes import of_series
from flycam.catalog.withholding import Allowed, Withholding
from flycam.errors import NotFound
from flycam.frame.change import ChangeAction, ChangeKind, ChangeStatus
from flycam.pipeline.change.impact_words import series_said
from flycam.pipeline.change.series import Series, series_at, series_of
from flycam.pipeline.workspace import Workspace
from tests.pipeline.impacted import changed, square
from tests.serve.world import REAL, World, add_flight, make_world
from tests.suites.comparison_suite import compared_on


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A slide that grew from one flight after the storm to the next, and what else there is."""
    made = make_world(tmp_path_factory.mktemp("series"))
    workspace = made.workspace
    third = add_flight(workspace, REAL, "Bay lần ba", "2024-09-14 02:00", shift=(1, 1), storm=True)
    shown = {
        one: f"{workspace.catalog.tiles.mosaics(one)[0].mosaic_id}@0"
        for one in (made.before, made.after, third)
    }
    first = {"event_id": REAL, "before_shown": shown[made.before], "after_shown": shown[made.after]}
    later = {**first, "after_shown": shown[third]}
    between = {**first, "before_shown": shown[made.after], "after_shown": shown[third]}
    accepted = {"status": ChangeStatus.ACCEPTED}
    lines = [
        changed("change-00000001", square(0, 0, 100), **first, **accepted),
        replace(changed("change-00000002", square(0, 0, 150), **later, **accepted), area_m2=22_500.0),
        replace(changed("change-00000003", square(90, 90, 60), **between), area_m2=3_600.0),
        changed("change-00000004", square(0, 0, 90), kind=ChangeKind.FLOOD, **later, **accepted),
        changed("change-00000005", square(149, 0, 90), **first, **accepted),
        changed("change-00000006", square(0, 0, 100), status=ChangeStatus.REJECTED, **later),
    ]
    workspace.catalog.changes.append(lines)
    return made


def test_a_slide_that_grew(world: World) -> None:
    event = world.workspace.catalog.flights.event(REAL)
    (slide,) = series_of(world.workspace, event, [ChangeStatus.ACCEPTED])
    assert slide.kind is ChangeKind.LANDSLIDE
    assert [round(one.area_m2) for one in slide.points] == [10_000, 22_500]
    assert [one.growth_pct for one in slide.points] == [None, pytest.approx(125.0)]
    times = [one.after_ns for one in slide.points]
    assert None not in times and times == sorted(times)  # type: ignore[type-var]


def test_what_was_measured_against_another_picture_is_no_growth(world: World) -> None:
    slide = series_at(world.workspace, "change-00000003")
    assert [(round(one.area_m2), one.growth_pct, one.is_confirmed) for one in slide.points] == [
        (10_000, None, True),
        (22_500, pytest.approx(125.0), True),
        (3_600, None, False),
    ]
    assert [one.is_new for one in slide.points] == [False, False, True]
    answer, said = of_series([series_said(slide)], {})
    (place,) = answer["series"]
    assert [one["new"] for one in place["points"]] == [False, False, True]
    assert "new since 10/09/2024 10:15" in said[-1]
    assert ": +0.36 ± 0.03 ha, of a mosaic that was not finished (until 14/09/2024 09:" in said[-1]
    assert not any("T0" in line or "Z" in line for line in said), "nobody here reckons in UTC"
    _, said = of_series([series_said(slide)], {}, "vi")
    assert "mới thêm từ 10/09/2024 10:15" in said[-1]
    assert "+0,36 ± 0,03 ha, có bản chưa hoàn thiện" in said[-1]


def test_of_several_pictures_before_the_earliest_tells_how_large_a_place_was(world: World) -> None:
    workspace = world.workspace
    event = workspace.catalog.flights.event(REAL)
    workspace.catalog.flights.put_event(replace(event, event_id="e-old", name="Vệ tinh"))
    after = f"{workspace.catalog.tiles.mosaics(world.after)[0].mosaic_id}@0"
    same = {"event_id": "e-old", "after_shown": after, "status": ChangeStatus.ACCEPTED}
    before = f"{workspace.catalog.tiles.mosaics(world.before)[0].mosaic_id}@0"
    workspace.catalog.changes.append(
        [
            changed("change-00000021", square(0, 900, 90), before_shown="ve-tinh@1.tif", **same),
            changed("change-00000022", square(0, 900, 100), before_shown=before, **same),
            changed("change-00000023", square(0, 900, 80), before_shown="ve-tinh@2.tif", **same),
        ]
    )
    points = series_at(workspace, "change-00000021").points
    assert [(one.before, one.is_new) for one in points] == [
        (before, False),
        ("ve-tinh@1.tif", True),
        ("ve-tinh@2.tif", True),
    ]


def test_neighbours_and_other_kinds_are_other_places(world: World) -> None:
    def ids(one: Series) -> list[str]:
        return sorted(name for point in one.points for name in point.change_ids)

    assert ids(series_at(world.workspace, "change-00000004")) == ["change-00000004"]
    assert ids(series_at(world.workspace, "change-00000005")) == ["change-00000005"]
    for unknown in ("change-00000006", "change-00000009"):
        with pytest.raises(NotFound) as failure:
            series_at(world.workspace, unknown)
        assert failure.value.vi


def test_two_parts_at_one_date_are_counted_together_and_shared_ground_once(world: World) -> None:
    workspace = world.workspace
    shown = {
        "event_id": "e-parts",
        "before_shown": "a.tif",
        "after_shown": "b.tif",
        "status": ChangeStatus.ACCEPTED,
    }
    event = workspace.catalog.flights.event(REAL)
    workspace.catalog.flights.put_event(replace(event, event_id="e-parts", name="Phần"))
    parts = [changed(f"change-0000001{n}", square(50 * n, 500, 100), **shown) for n in range(2)]
    workspace.catalog.changes.append(parts)
    (point,) = series_at(workspace, "change-00000010").points
    assert point.area_m2 == pytest.approx(15_000.0, rel=0.02)
    assert (point.after_ns, point.after) == (None, "b.tif"), "a picture without a date"


PAIR = {"before_shown": "a.tif", "after_shown": "b.tif"}
LATER = {**PAIR, "after_shown": "c.tif"}


def _event(world: World, event_id: str) -> Workspace:
    workspace = world.workspace
    event = workspace.catalog.flights.event(REAL)
    workspace.catalog.flights.put_event(replace(event, event_id=event_id, name=f"Đợt {event_id}"))
    return workspace


def _compared(workspace: Workspace, event_id: str, ground: shapely.MultiPolygon, **shown: str) -> None:
    pair = shown["before_shown"], shown["after_shown"]
    one = compared_on(f"compared-{event_id}-{'-'.join(pair)}", event_id, ground, *pair)
    assert workspace.catalog.comparisons.add([one]) == 1


def test_a_flood_that_has_fallen_is_told_and_not_imaged_is_told_from_nothing_found(world: World) -> None:
    workspace = _event(world, "e-flood")
    flood = {"event_id": "e-flood", "kind": ChangeKind.FLOOD, "status": ChangeStatus.ACCEPTED}
    ids = [world.before, world.after, world.drill]
    first, second, third = (f"{workspace.catalog.tiles.mosaics(one)[0].mosaic_id}@0" for one in ids)
    workspace.catalog.changes.append(
        [changed("change-00000031", square(0, 0, 110), before_shown=first, after_shown=second, **flood)]
    )
    whole, half = square(-500, -500, 2000), square(-500, -500, 555)
    _compared(workspace, "e-flood", whole, before_shown=first, after_shown=second)
    (point,) = series_at(workspace, "change-00000031").points
    assert (point.compared, point.is_part) == (pytest.approx(1.0), False)
    event = workspace.catalog.flights.event("e-flood")
    assert series_of(workspace, event) == [], "one date is no series"

    _compared(workspace, "e-flood", whole, before_shown=first, after_shown="sau.tif")
    _compared(workspace, "e-flood", half, before_shown=first, after_shown=third)
    (place,) = series_of(workspace, event)
    told = {one.after: one for one in place.points}
    assert (told["sau.tif"].area_m2, told["sau.tif"].change_ids) == (0.0, ())
    assert told[third].area_m2 is None and told[third].is_part, "a quarter of it was looked at"
    answer, said = of_series([series_said(place)], {})
    assert [one["state"] for one in answer["series"][0]["points"]].count("none") == 1
    assert any("compared, none found" in line for line in said)
    assert any("not compared" in line for line in said)
    _, said = of_series([series_said(place)], {}, "vi")
    assert any("đã so, không thấy" in line for line in said)
    assert any("không được so" in line for line in said)


def test_a_flood_that_falls_shrinks_to_nothing(world: World) -> None:
    workspace = _event(world, "e-falls")
    flood = {"event_id": "e-falls", "kind": ChangeKind.FLOOD, "status": ChangeStatus.ACCEPTED}
    third = add_flight(workspace, "e-falls", "Ngập lần ba", "2024-09-15 02:00", shift=(1, 1), storm=True)
    fourth = add_flight(workspace, "e-falls", "Ngập lần bốn", "2024-09-16 02:00", shift=(1, 1), storm=True)
    ids = [world.before, world.after, third, fourth]
    before, *after = (f"{workspace.catalog.tiles.mosaics(one)[0].mosaic_id}@0" for one in ids)
    large = changed("change-00000041", square(0, 0, 100), before_shown=before, after_shown=after[0], **flood)
    small = changed("change-00000042", square(0, 0, 50), before_shown=before, after_shown=after[1], **flood)
    workspace.catalog.changes.append([large, replace(small, area_m2=2500.0)])
    for shown in after:
        _compared(workspace, "e-falls", square(-50, -50, 300), before_shown=before, after_shown=shown)
    points = series_at(workspace, "change-00000041").points
    assert [(one.area_m2, one.growth_pct) for one in points] == [
        (10_000.0, None),
        (2500.0, pytest.approx(-75.0)),
        (0.0, pytest.approx(-100.0)),
    ]


@pytest.mark.parametrize(
    ("error_m", "revision", "growth_pct"),
    [(None, 1, 21.0), (3.2, 1, 21.0), (3.4, 1, None), (1.2, 0, 21.0), (1.3, 0, None)],
    ids=["place unknown", "more", "no more", "live, more", "live, no more"],
)
def test_growth_is_not_told_that_is_no_more_than_errors_come_to(
    world: World, error_m: float | None, revision: int, growth_pct: float | None
) -> None:
    """10 000 and 12 100 square metres, outlines of 400 and 440 m: one sigma of both is 2 100 at a rim of
    3.53 m, to which the detector's of 1.25 m and a place 3.30 m off come together; of live mosaics two sigma
    are, at 1.77 m."""
    name = f"e-error-{error_m}"
    workspace = _event(world, name)
    same = {"event_id": name, "status": ChangeStatus.ACCEPTED, "before_shown": "a.tif", "error_m": error_m}
    first, later = (
        f"{workspace.catalog.tiles.mosaics(one)[0].mosaic_id}@{revision}"
        for one in (world.before, world.after)
    )
    number = 700 + round(100 * (error_m or 0.0))
    large = changed(f"change-{number + 1:08}", square(0, 0, 110), after_shown=later, **same)
    small = changed(f"change-{number:08}", square(0, 0, 100), after_shown=first, **same)
    workspace.catalog.changes.append([small, replace(large, area_m2=12_100.0)])
    points = series_at(workspace, small.change_id).points
    assert [one.area_m2 for one in points] == [10_000.0, 12_100.0]
    assert points[1].growth_pct == (None if growth_pct is None else pytest.approx(growth_pct))
    rim_m = math.hypot(fitted.RIM_M["landslide"], error_m or 0.0)
    assert [one.area_error_m2 for one in points] == pytest.approx([400 * rim_m, 440 * rim_m], rel=0.01)


@pytest.mark.parametrize(("size_m", "growth_pct"), [(6.0, -100.0), (4.0, None)])
def test_what_may_have_been_nothing_is_not_told_to_be_gone(
    world: World, size_m: float, growth_pct: float | None
) -> None:
    """A rim of 1.25 m all around: 36 ± 30 and 16 ± 20 square metres."""
    name = f"e-gone-{size_m:.0f}"
    workspace = _event(world, name)
    first, later = (
        f"{workspace.catalog.tiles.mosaics(one)[0].mosaic_id}@1" for one in (world.before, world.after)
    )
    same = {"event_id": name, "status": ChangeStatus.ACCEPTED, "before_shown": "a.tif", "after_shown": first}
    small = changed(f"change-{800 + round(size_m):08}", square(0, 0, size_m), **same)
    workspace.catalog.changes.append([replace(small, area_m2=size_m**2)])
    for after in (first, later):
        _compared(workspace, name, square(-50, -50, 300), before_shown="a.tif", after_shown=after)
    points = series_at(workspace, small.change_id).points
    assert [one.area_m2 for one in points] == [size_m**2, 0.0]
    assert points[1].growth_pct == growth_pct


def test_a_date_says_whether_it_is_a_live_mosaic_or_a_hands(world: World) -> None:
    workspace = _event(world, "e-hands")
    same = {"event_id": "e-hands", "status": ChangeStatus.ACCEPTED, "before_shown": "a@1"}
    found = changed("change-00000091", square(0, 0, 100), after_shown="b@2", **same)
    live = changed("change-00000092", square(0, 0, 100), after_shown="c@1 + d@0", **same)
    redrawn = replace(changed("change-00000093", square(0, 0, 100), after_shown="e.tif", **same), score=None)
    workspace.catalog.changes.append([found, live, redrawn])
    slide = series_at(workspace, found.change_id)
    marks = {one.after: (one.is_live, one.is_by_hand) for one in slide.points}
    assert marks == {"b@2": (False, False), "c@1 + d@0": (True, False), "e.tif": (False, True)}
    errors = {one.after: one.area_error_m2 for one in slide.points}
    assert errors["e.tif"] == pytest.approx(400 * HAND_RIM_M, rel=0.01)
    assert errors["b@2"] == pytest.approx(400 * fitted.RIM_M["landslide"], rel=0.01)
    answer, _ = of_series([series_said(slide)], {})
    assert {
        one["after_shown"]: (one["live"], one["by_hand"]) for one in answer["series"][0]["points"]
    } == marks
    for language, words in (("en", ["not finished", "by hand"]), ("vi", ["chưa hoàn thiện", "vẽ tay"])):
        text = "\n".join(of_series([series_said(slide)], {}, language)[1])
        assert [text.count(one) for one in words] == [1, 1], text
    assert text.count("1,00 ± 0,05 ha") == 2 and text.count("1,00 ± 0,04 ha") == 1


def test_growth_is_not_told_of_what_was_compared_in_part(world: World) -> None:
    workspace = _event(world, "e-part")
    same = {"event_id": "e-part", "status": ChangeStatus.ACCEPTED, "before_shown": "a.tif"}
    mosaics = [workspace.catalog.tiles.mosaics(one)[0].mosaic_id for one in (world.before, world.after)]
    whole, part = (f"{one}@0" for one in mosaics)
    workspace.catalog.changes.append(
        [
            changed("change-00000051", square(0, 0, 100), after_shown=whole, **same),
            replace(changed("change-00000052", square(0, 0, 60), after_shown=part, **same), area_m2=3600.0),
        ]
    )
    _compared(workspace, "e-part", square(-50, -50, 110), before_shown="a.tif", after_shown=part)
    series = series_at(workspace, "change-00000051")
    (cut,) = [one for one in series.points if one.after == part]
    assert cut.is_part and cut.growth_pct is None
    answer = series_said(series)
    shares = sorted(one["compared_pct"] or 0.0 for one in answer["points"])
    assert shares == [0.0, pytest.approx(36.0, abs=0.2)]
    _, said = of_series([answer], {})
    assert any("36 % of the place compared" in line for line in said)


def test_nothing_found_is_not_said_where_something_waits_or_was_drawn(world: World) -> None:
    workspace = _event(world, "e-waits")
    accepted = {"event_id": "e-waits", "status": ChangeStatus.ACCEPTED}
    later = changed("change-00000062", square(0, 0, 80), **LATER, event_id="e-waits")
    workspace.catalog.changes.append([changed("change-00000061", square(0, 0, 100), **PAIR, **accepted)])
    workspace.catalog.changes.append([later])
    for shown in (PAIR, LATER):
        _compared(workspace, "e-waits", square(-50, -50, 300), **shown)
    confirmed = [ChangeStatus.ACCEPTED]
    assert len(series_at(workspace, "change-00000061", confirmed).points) == 1, "a candidate waits"
    rejected = replace(later, version=2, status=ChangeStatus.REJECTED, step_id="step-62")
    workspace.catalog.changes.append([rejected])
    points = series_at(workspace, "change-00000061", confirmed).points
    assert [one.area_m2 for one in points] == [10_000.0, 0.0]
    drawn = changed("change-00000063", square(20, 20, 90), before_shown="", after_shown="", **accepted)
    workspace.catalog.changes.append([drawn])
    points = series_at(workspace, "change-00000061", confirmed).points
    assert all(one.change_ids for one in points), "people drew there what the detector did not find"
    by_hand = {"action": ChangeAction.DRAW, "score": None, "rmse_m": None, "tie_m": None}
    over = replace(drawn, version=2, step_id="step-63", **by_hand, **LATER)  # type: ignore[arg-type]
    workspace.catalog.changes.append([over])
    again = series_at(workspace, "change-00000061", confirmed).points
    assert [(one.before, one.after, one.change_ids, one.area_m2) for one in again] == [
        (one.before, one.after, one.change_ids, one.area_m2) for one in points
    ], "whatever it was drawn over"
    assert [one.is_by_hand for one in again] == [one.change_ids == ("change-00000063",) for one in again]


def test_what_was_rejected_is_told_as_that_with_who_rejected_it(world: World) -> None:
    workspace = _event(world, "e-rejected")
    changes = workspace.catalog.changes
    later = changed("change-00000082", square(0, 0, 80), **LATER, event_id="e-rejected")
    said_no = replace(
        later, version=2, action=ChangeAction.REJECT, status=ChangeStatus.REJECTED, step_id="no", author="Hoa"
    )
    noted = replace(
        said_no, version=3, action=ChangeAction.COMMENT, note="nương cày", step_id="why", author="Minh"
    )
    beside = replace(
        said_no, change_id="change-00000083", wkb=shapely.to_wkb(square(98, 0, 80)), author="Nam"
    )
    one = changed("change-00000081", square(0, 0, 100), **PAIR, event_id="e-rejected")
    changes.append([one, later, beside])
    changes.append([said_no])
    changes.append([noted])
    for shown in (PAIR, LATER):
        _compared(workspace, "e-rejected", square(-50, -50, 300), **shown)
    series = series_at(workspace, "change-00000081")
    assert [point.rejected_by for point in series.points] == [(), ("Hoa",)], (
        "not Nam, who rejected a neighbour"
    )
    answer, said = of_series([series_said(series)], {})
    assert answer["series"][0]["points"][1]["state"] == "rejected"
    assert said[-1].endswith("rejected by Hoa") and not any("none found" in line for line in said)
    _, said = of_series([series_said(series)], {}, "vi")
    assert said[-1].endswith("bác bỏ, Hoa")
    changes.append([replace(one, version=2, status=ChangeStatus.ACCEPTED, step_id="yes")])
    told = series_at(workspace, "change-00000081", [ChangeStatus.ACCEPTED]).points
    assert [point.rejected_by for point in told] == [(), ()], "who rejected what is for analysts"


def test_rejected_is_no_growth(world: World) -> None:
    workspace = _event(world, "e-no-growth")
    ids = [world.before, world.after, world.drill]
    first, second, third = (f"{workspace.catalog.tiles.mosaics(one)[0].mosaic_id}@0" for one in ids)
    pair, later = ({"before_shown": first, "after_shown": one} for one in (second, third))
    accepted = changed("change-00000086", square(0, 0, 100), **pair, event_id="e-no-growth")
    rejected = changed("change-00000087", square(0, 0, 100), **later, event_id="e-no-growth")
    workspace.catalog.changes.append([accepted, replace(rejected, status=ChangeStatus.REJECTED)])
    _compared(workspace, "e-no-growth", square(-50, -50, 300), **later)
    assert [one.growth_pct for one in series_at(workspace, "change-00000086").points] == [None, None]


def test_what_was_compared_on_a_flight_that_is_withheld_is_not_told(world: World) -> None:
    workspace = _event(world, "e-hidden")
    mosaic = workspace.catalog.tiles.mosaics(world.after)[0].mosaic_id
    workspace.catalog.changes.append(
        [changed("change-00000071", square(0, 0, 100), **PAIR, event_id="e-hidden")]
    )
    hidden = {"before_shown": "a.tif", "after_shown": f"{mosaic}@0"}
    _compared(workspace, "e-hidden", square(-50, -50, 300), **hidden)
    assert len(series_at(workspace, "change-00000071").points) == 2
    sees = Withholding(mosaics=Allowed(hidden=frozenset({mosaic})))
    assert len(series_at(workspace, "change-00000071", withholding=sees).points) == 1
