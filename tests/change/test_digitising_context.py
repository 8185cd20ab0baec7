"""What of an outline that a person drew lies on ground that its two pictures do not show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import shapely

from flycam.access.policy import UNRESTRICTED, AccessPolicy, IdFilter
from flycam.change.comparison import make_comparison_reader
from flycam.change.review import compute_uncompared_shares, require_event_images
from flycam.errors import InputUnusable, NotFound
from tests.serve.world import DRILL, REAL, make_workspace, make_world
from tests.suites.change_suite import FOUND
from tests.suites.comparison_suite import COMPARED, compared_on


def test_a_spike_onto_ground_that_was_not_compared_is_told_of_drawn_outlines_only(tmp_path: Path) -> None:
    catalog = make_workspace(tmp_path / "house").catalog
    compared = shapely.MultiPolygon([shapely.box(104.8, 21.9, 104.81, 21.91)])
    catalog.comparisons.add([replace(COMPARED, wkb=shapely.to_wkb(compared))])

    def line(number: int, west: float, **more: object) -> object:
        wkb = shapely.to_wkb(shapely.MultiPolygon([shapely.box(west, 21.901, west + 0.004, 21.902)]))
        return replace(FOUND, change_id=f"change-{number}", wkb=wkb, score=None, **more)  # type: ignore[arg-type]

    lines = [
        line(1, 104.809),
        line(2, 104.804),
        replace(line(3, 104.809), score=0.5),  # type: ignore[type-var]
        line(4, 104.809, before_shown="", after_shown=""),
        line(5, 104.809, before_shown="m9@1"),
        line(7, 104.809, before_shown="m1@7"),
        replace(line(7, 104.807), score=0.5, before_shown="m1@7"),  # type: ignore[type-var]
    ]
    shares = compute_uncompared_shares(make_comparison_reader(catalog), lines)  # type: ignore[arg-type]
    # another revision of the same mosaic shows the same ground; one change is told in several of its outlines
    share = pytest.approx(0.75)
    assert shares == [share, None, None, None, None, share, None]


def test_it_is_drawn_over_pictures_of_its_own_event_that_who_draws_may_see(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    catalog = world.workspace.catalog
    before, after, drill = (
        f"{world.mosaic_of(one).mosaic_id}@{world.mosaic_of(one).revision}"
        for one in (world.before, world.after, world.drill)
    )
    hiding = AccessPolicy(mosaics=IdFilter(hidden=frozenset({after.split("@")[0]})))

    def is_refused(event: str, over: tuple[str, str], policy: AccessPolicy = UNRESTRICTED) -> bool:
        try:
            require_event_images(catalog, event, over, policy)
        except InputUnusable as refused:
            assert catalog.flights.event(event).name in str(refused)
            return True
        return False

    assert not is_refused(REAL, (before, after))
    assert is_refused(REAL, (before, after), hiding), "to them it is not there"
    assert is_refused(REAL, (before, drill)), "a drill's"
    assert is_refused(DRILL, (before, drill)), "nobody compared the two in the drill"
    ground = shapely.MultiPolygon([shapely.box(104.8, 21.9, 104.81, 21.91)])
    catalog.comparisons.add(
        [
            compared_on("compared-1", DRILL, ground, before, drill),
            compared_on("compared-2", REAL, ground, "truoc.tif", drill),
        ]
    )
    assert not is_refused(DRILL, (before, drill))
    assert is_refused(REAL, (before, drill)), "never beside real ones, whatever was compared"
    assert not is_refused(REAL, ("truoc.tif", after)) and is_refused(DRILL, ("truoc.tif", drill))
    with pytest.raises(NotFound):
        require_event_images(catalog, "e9", (before, after), UNRESTRICTED)
