"""Redaction masks: lines that only grow, and what they withhold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import shapely
import sqlalchemy

from flycam.access.policy import (
    REDACTION_MARGIN_M,
    AccessPolicy,
    RedactedGround,
    RedactedGroundCache,
    iterate_ground_projections,
    load_access_policy,
    load_redacted_ground,
)
from flycam.access.shown_ground import expand_geometry
from flycam.catalog.access import (
    RedactionFootprint,
    RedactionRecord,
    select_active_redactions,
    select_revocation_requests,
)
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.geometry.grid import find_tile_at, lonlat_to_mercator
from flycam.model.access import Account, RedactionReason, RedactionStep, Role
from flycam.model.records import FrameRecord, MosaicInfo
from tests.suites.catalog_suite import finished, flight, frame, rejected, used

HOME = shapely.Polygon([(10, 10), (40, 10), (40, 30), (10, 30)])
GROUND = shapely.box(104.8, 21.9, 104.8001, 21.9001)


def line(mask: int = 1, step: RedactionStep = RedactionStep.MADE, at_ns: int = 1) -> RedactionRecord:
    return RedactionRecord(
        mask_id=f"mask-{mask:08}",
        step=step,
        frame_id=frame(1).frame_id,
        reason=RedactionReason.HOME,
        author="Lan",
        at_ns=at_ns,
        wkb=shapely.to_wkb(HOME),
    )


LINES = [line(), line(2), line(step=RedactionStep.REVOKED, at_ns=5), line(1, at_ns=9)]
"""The first mask was taken back, and is told of once more by a box whose clock is later."""


def all_it_may_show(photo: FrameRecord) -> bytes:
    """Its footprint, with the margin around."""
    assert photo.footprint_wkb is not None
    return bytes(shapely.to_wkb(expand_geometry(shapely.from_wkb(photo.footprint_wkb), REDACTION_MARGIN_M)))


@contextmanager
def reads() -> Iterator[list[str]]:
    """The questions that catalogues are asked inside, by this thread: others may still end what they do."""
    requested: list[str] = []
    mine = threading.get_ident()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement != "BEGIN" and threading.get_ident() == mine:
            requested.append(statement)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    yield requested
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as one:
        one.flights.put_flight(flight())
        yield one


def test_in_whatever_order_lines_come_the_same_masks_hold(tmp_path: Path) -> None:
    for number, order in enumerate(list(permutations(LINES))[::5]):
        with open_catalog(f"sqlite:///{tmp_path / f'{number}.sqlite'}") as catalog:
            for one in order:
                assert catalog.redactions.append([one]) == [one]
            assert catalog.redactions.append(order) == []
            assert [one.mask_id for one in select_active_redactions(catalog.redactions.lines())] == [
                "mask-00000002"
            ]
            assert len(catalog.redactions.history("mask-00000001")) == 3


def test_until_its_ground_is_known_all_that_the_photo_shows_is_withheld(catalog: Catalog) -> None:
    catalog.frames.put([frame(1)])
    assert load_redacted_ground(catalog).photos == {}
    catalog.redactions.append([line()])
    photo = catalog.frames.get(frame(1).frame_id)
    assert load_redacted_ground(catalog).grounds == ((photo.frame_id, all_it_may_show(photo)),)
    (projection,) = iterate_ground_projections(catalog, photo)
    wkb = shapely.to_wkb(GROUND)
    catalog.redactions.put_footprints(
        [RedactionFootprint(line_id=line().line_id, lay=projection.name, wkb=wkb)]
    )
    assert load_redacted_ground(catalog) == RedactedGround(
        {photo.frame_id: (line().wkb,)}, ((photo.frame_id, wkb),)
    )
    catalog.redactions.append([line(step=RedactionStep.REVOKED, at_ns=2)])
    assert load_redacted_ground(catalog) == RedactedGround({}, ())


def test_a_photo_laid_otherwise_keeps_the_ground_of_before_and_waits_for_the_new(catalog: Catalog) -> None:
    catalog.frames.put([frame(1)])
    catalog.redactions.append([line()])
    photo = catalog.frames.get(frame(1).frame_id)
    (projection,) = iterate_ground_projections(catalog, photo)
    wkb = shapely.to_wkb(GROUND)
    catalog.redactions.put_footprints(
        [RedactionFootprint(line_id=line().line_id, lay=projection.name, wkb=wkb)]
    )
    (again,) = catalog.placements.supersede([photo], "other terrain", "Lan", 7)
    assert [one.name for one in iterate_ground_projections(catalog, again)] != [projection.name]
    assert {wkb for _, wkb in load_redacted_ground(catalog).grounds} == {wkb, all_it_may_show(again)}


@pytest.mark.parametrize("role", list(Role))
def test_analysts_and_administrators_alone_see_what_is_covered(catalog: Catalog, role: Role) -> None:
    catalog.frames.put([frame(1)])
    catalog.redactions.append([line()])
    account = Account(name="x", role=role, token_hash="x", created_ns=0)
    assert load_access_policy(catalog, account).is_nothing is (role in (Role.ANALYST, Role.ADMIN))


def test_masked_ground_is_withheld_at_every_door_as_a_restricted_area_is() -> None:
    wkb = shapely.to_wkb(GROUND)
    area = AccessPolicy(areas=[wkb])
    mask = AccessPolicy(masks=RedactedGround({"p": (line().wkb,)}, (("p", wkb),)))
    point = lonlat_to_mercator(shapely.get_coordinates(GROUND.centroid))[0]
    for zoom in (9, 14, 19, 22):
        tile, *_ = find_tile_at(zoom, (float(point[0]), float(point[1])))
        theirs, mine = area.get_tile_mask(tile), mask.get_tile_mask(tile)
        assert theirs is not None and np.array_equal(mine, theirs)
    assert mask.hides_point(GROUND.centroid.x, GROUND.centroid.y)
    beside = shapely.to_wkb(shapely.box(104.8002, 21.9, 104.8003, 21.9001))
    assert mask.touches(beside) and mask.touches(None)
    assert area.hides_drawing(wkb) and not mask.hides_drawing(wkb), "a landslide's outline shows no home"
    assert not mask.is_nothing


def test_masks_count_from_near_and_are_burnt_into_photos_instead_of_hiding_them() -> None:
    wkb, far = shapely.to_wkb(GROUND), shapely.to_wkb(shapely.box(104.805, 21.9, 104.806, 21.901))
    area = AccessPolicy(areas=[wkb])
    mask = AccessPolicy(masks=RedactedGround({"p": (line().wkb,)}, (("p", wkb),)))
    assert area.touches(far, 1000.0) and not mask.touches(far, 1000.0)
    assert area.hides_photo(wkb, None) and not mask.hides_photo(wkb, None)
    assert mask.hides_photo(None, None) and mask.hides_photo(None, GROUND.bounds)
    assert not mask.hides_photo(None, (104.805, 21.9, 104.806, 21.901))
    assert mask.get_redactions("p") and not mask.get_redactions("q")
    assert (
        mask.get_adjacent_redacted_ground("p", wkb) is None
        and mask.get_adjacent_redacted_ground("q", far) is None
    )
    found = mask.get_adjacent_redacted_ground("q", wkb)
    assert found is not None and found.equals(GROUND)


def test_what_was_made_under_one_set_of_masks_is_not_taken_for_another() -> None:
    wkb = shapely.to_wkb(GROUND)
    kinds = [
        RedactedGround({}, ()),
        RedactedGround({"p": (line().wkb,)}, ()),
        RedactedGround({"q": (line().wkb,)}, ()),
        RedactedGround({"p": (line().wkb,)}, (("p", wkb),)),
    ]
    assert len({AccessPolicy(masks=one).fingerprint for one in kinds}) == len(kinds)


def test_ground_that_another_box_tells_uncovers_nothing(catalog: Catalog) -> None:
    redactions, name = catalog.redactions, line().line_id
    redactions.append([line()])
    empty = RedactionFootprint(line_id=name, lay="a", wkb=shapely.to_wkb(shapely.Polygon()))
    redactions.learn_footprints([empty])
    assert redactions.list_footprints([name]) == []
    known = replace(empty, wkb=shapely.to_wkb(GROUND))
    redactions.learn_footprints([known])
    redactions.learn_footprints([replace(known, wkb=shapely.to_wkb(shapely.box(0, 0, 1, 1)))])
    assert redactions.list_footprints([name]) == [known]


def test_a_line_of_another_photo_takes_nothing_back(catalog: Catalog) -> None:
    foreign = replace(line(step=RedactionStep.REVOKED, at_ns=9), frame_id=frame(2).frame_id)
    catalog.redactions.append([line(), foreign])
    assert select_active_redactions(catalog.redactions.lines()) == [line()]


def test_ground_that_is_no_ground_closes_no_door() -> None:
    bow = shapely.Polygon([(104.8, 21.9), (104.8001, 21.9001), (104.8001, 21.9), (104.8, 21.9001)])
    none = shapely.Polygon()
    grounds = tuple(("p", shapely.to_wkb(one)) for one in (bow, none, GROUND))
    mask = AccessPolicy(masks=RedactedGround({}, grounds))
    assert mask.hides_point(GROUND.centroid.x, GROUND.centroid.y)


def test_whatever_masks_follow_from_makes_them_be_worked_out_anew(catalog: Catalog) -> None:
    kept = RedactedGroundCache(catalog)
    seen = [kept.get_current()]

    def is_another() -> bool:
        seen.append(kept.get_current())
        assert kept.get_current() is seen[-1]
        assert seen[-1] == load_redacted_ground(catalog)
        return seen[-1] is not seen[-2]

    catalog.redactions.append([line()])
    assert is_another() and seen[-1].grounds == ()
    catalog.frames.put([rejected(1)])
    assert is_another()
    catalog.frames.put([frame(1)])
    assert is_another() and len(seen[-1].grounds) == 1
    photo = catalog.frames.get(frame(1).frame_id)
    (projection,) = iterate_ground_projections(catalog, photo)
    wkb = shapely.to_wkb(GROUND)
    catalog.redactions.put_footprints(
        [RedactionFootprint(line_id=line().line_id, lay=projection.name, wkb=wkb)]
    )
    assert is_another() and seen[-1].grounds == ((photo.frame_id, wkb),)
    catalog.placements.supersede([photo], "other terrain", "Lan", 7)
    assert is_another() and len(seen[-1].grounds) == 2
    mosaic = MosaicInfo(
        mosaic_id="m1", flight_id="f1", layer=photo.header.layer, base_zoom=20, min_zoom=18, published=False
    )
    catalog.tiles.put_mosaic(mosaic)
    number = catalog.revisions.open(mosaic, "hash-a", {}, 5)
    catalog.revisions.put_frames("m1", number, [used(1)])
    is_another()
    catalog.revisions.publish(finished(number))
    assert is_another()
    catalog.revisions.retire_holding([photo.frame_id], "moved")
    assert is_another()
    catalog.redactions.append([line(step=RedactionStep.REVOKED, at_ns=2)])
    assert is_another() and seen[-1] == RedactedGround({}, ())


def test_a_finished_revision_that_uses_the_photo_waits_for_its_ground(catalog: Catalog) -> None:
    catalog.frames.put([frame(1), frame(2)])
    catalog.redactions.append([line()])
    photo = catalog.frames.get(frame(1).frame_id)
    (projection,) = iterate_ground_projections(catalog, photo)
    wkb = shapely.to_wkb(GROUND)
    catalog.redactions.put_footprints(
        [RedactionFootprint(line_id=line().line_id, lay=projection.name, wkb=wkb)]
    )
    mosaic = MosaicInfo(
        mosaic_id="m1", flight_id="f1", layer=photo.header.layer, base_zoom=20, min_zoom=18, published=False
    )
    catalog.tiles.put_mosaic(mosaic)
    for number, frames in ((1, [used(2)]), (2, [used(1), used(2)])):
        found = catalog.revisions.open(mosaic, f"hash-{number}", {}, 5)
        catalog.revisions.put_frames("m1", found, frames)
        catalog.revisions.publish(finished(found, inputs_hash=f"hash-{number}"))
        known = {ground for _, ground in load_redacted_ground(catalog).grounds}
        assert known == ({wkb} if number == 1 else {wkb, all_it_may_show(photo)})
        names = {one.name for one in iterate_ground_projections(catalog, photo)}
        assert len(names) == number


def test_what_another_box_took_back_is_asked_for_and_holds(catalog: Catalog) -> None:
    redactions, back = catalog.redactions, line(step=RedactionStep.REVOKED, at_ns=5)
    (made,) = redactions.learn([line()])
    (requested,) = redactions.learn([line(), back])
    assert requested == replace(back, step=RedactionStep.REVOCATION_REQUESTED)
    assert select_active_redactions(redactions.lines()) == [made] and select_revocation_requests(
        redactions.lines()
    ) == [requested]
    assert redactions.learn([line(), back, requested]) == [], "told again it is no other"
    redactions.append([replace(back, author="Hoa", at_ns=9)])
    assert (
        select_active_redactions(redactions.lines()) == []
        and select_revocation_requests(redactions.lines()) == []
    )


def test_what_was_taken_back_here_and_comes_round_is_not_asked_for(catalog: Catalog) -> None:
    back = line(step=RedactionStep.REVOKED, at_ns=5)
    catalog.redactions.append([line(), back])
    assert catalog.redactions.learn([line(), back]) == []
    assert select_active_redactions(catalog.redactions.lines()) == []
