"""One place at several dates: only what was measured against the same picture is said to grow or fall."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flycam.answers.changes import of_series
from flycam.errors import NotFound
from flycam.frame.change import ChangeKind, ChangeStatus
from flycam.pipeline.change_series import Series, series_at, series_of
from flycam.pipeline.impact_words import series_said
from tests.pipeline.impacted import changed, square
from tests.serve.world import REAL, World, add_flight, make_world


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
    assert "new since 2024-09-10T03:15" in said[-1] and ": +0.36 ha (until 2024-09-14" in said[-1]
    _, said = of_series([series_said(slide)], {}, "vi")
    assert "mới thêm từ 2024-09-10" in said[-1] and "+0,36 ha" in said[-1]


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
