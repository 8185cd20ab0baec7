from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.access.policy import UNRESTRICTED
from flycam.catalog.changes import ChangeVersion
from flycam.errors import SourceUnreadable
from flycam.model.board import ChangeAction, ChangeStatus
from flycam.sync.reference_feed import (
    MAX_FEED_ITEM_BYTES,
    FeedItem,
    ReferenceFeed,
    ReferenceKind,
    build_feed,
    decode_feed_listing,
    encode_feed_listing,
    merge_change_histories,
    sort_feed_items,
)
from tests.sync.boxes import Box, new_box
from tests.sync.common_world import (
    STORM_FOUND,
    furnish,
)

ACCEPTED, REJECTED = ChangeStatus.ACCEPTED, ChangeStatus.REJECTED


def make_item(kind: ReferenceKind, size: int, at_ns: int, name: str = "") -> FeedItem:
    return FeedItem(
        kind=kind, name=name or f"{kind}-{size}-{at_ns}", sha256="0" * 64, size_bytes=size, at_ns=at_ns
    )


THINGS = [
    make_item(kind, size, at_ns) for kind in ReferenceKind for size in (700, 900, 90_000) for at_ns in (1, 2)
]


@given(st.permutations(THINGS))
def test_what_hides_then_small_ones_then_the_newest_of_a_size(items: list[FeedItem]) -> None:
    ordered = sort_feed_items(items)
    assert ordered == sort_feed_items(THINGS)
    assert sorted(ordered, key=THINGS.index) == THINGS
    hiding = (ReferenceKind.AREA, ReferenceKind.MASK, ReferenceKind.WITHDRAWN)
    first = [one.kind in hiding for one in ordered]
    assert first == sorted(first, reverse=True)
    others = [(one.size_bytes > 1000, -one.at_ns) for one in ordered if one.kind not in hiding]
    assert others == sorted(others)


def groups(box: Box) -> set[str]:
    """Groups of changes, by their SHA-256."""
    items = build_feed(box.workspace, UNRESTRICTED).items
    return {one.sha256 for one in items if one.kind is ReferenceKind.CHANGES}


def test_a_list_is_read_as_it_was_written_and_nothing_else_is(tmp_path: Path) -> None:
    box = new_box(tmp_path, "province")
    furnish(box, tmp_path)
    commons = build_feed(box.workspace, UNRESTRICTED)
    data = encode_feed_listing(box.workspace, commons)
    listing = decode_feed_listing(data, "wire")
    assert (listing.box, listing.state) == ("province", commons.state)
    assert [one.sha256 for one in listing.items] == [one.sha256 for one in commons.items]
    for spoiled in (data[:-3], b"", b"x" * 50, data + b"x"):
        with pytest.raises(SourceUnreadable, match="same version"):
            decode_feed_listing(spoiled, "wire")


# -- whose decision holds --------------------------------------------------------------------------

CHANGES = ("change-a", "change-b", "change-c")


@st.composite
def decisions(draw: st.DrawFn, who: str) -> list[ChangeVersion]:
    """Decisions of one house, each on one change or several, at moments of their own."""
    lines: list[ChangeVersion] = []
    for number in range(draw(st.integers(0, 5))):
        at_ns = draw(st.integers(1, 30)) * 10 + (who == "there")
        for change_id in draw(st.sets(st.sampled_from(CHANGES), min_size=1)):
            lines.append(
                replace(
                    STORM_FOUND,
                    change_id=change_id,
                    step_id=f"{who}-{number}",
                    at_ns=at_ns,
                    action=ChangeAction.ACCEPT,
                    status=draw(st.sampled_from([ACCEPTED, REJECTED])),
                )
            )
    return lines


def histories_of(lines: list[ChangeVersion]) -> dict[str, list[ChangeVersion]]:
    found: dict[str, list[ChangeVersion]] = {}
    for line in sorted(lines, key=lambda one: (one.at_ns, one.step_id)):
        some = found.setdefault(line.change_id, [])
        some.append(replace(line, version=len(some) + 1))
    return found


@given(own=decisions("here"), came=decisions("there"))
def test_a_later_decision_here_holds_every_other_comes_and_once(
    own: list[ChangeVersion], came: list[ChangeVersion]
) -> None:
    here = histories_of(own)
    new, waiting = merge_change_histories(here, came)
    after = {change_id: list(lines) for change_id, lines in here.items()}
    for line in new:
        some = after.setdefault(line.change_id, [])
        some.append(line)
        assert line.version == len(some)  # the catalogue takes no other
    for change_id, lines in here.items():
        assert after[change_id][: len(lines)] == lines
        later = [one for one in came if one.change_id == change_id and one.at_ns > lines[-1].at_ns]
        if not later:
            assert after[change_id] == lines
    steps = {line.step_id for line in new}
    assert all(line in steps_of(came, steps) for line in [replace(one, version=1) for one in new])
    assert len(new) == len(steps_of(came, steps))  # a step comes whole
    assert set(waiting) == {line.change_id for line in came if line.step_id not in steps}
    assert merge_change_histories(after, came)[0] == []


def steps_of(lines: list[ChangeVersion], steps: set[str]) -> list[ChangeVersion]:
    return [one for one in lines if one.step_id in steps]


@pytest.mark.parametrize("kind", [one for one in ReferenceKind if one is not ReferenceKind.TERRAIN])
def test_a_list_of_a_thing_that_nobody_could_take_in_is_refused(tmp_path: Path, kind: ReferenceKind) -> None:
    house = new_box(tmp_path, "province").workspace

    def listed(*items: FeedItem) -> bytes:
        return encode_feed_listing(house, ReferenceFeed(state="0" * 32, items=items, payloads={}))

    large = (make_item(ReferenceKind.TERRAIN, 40 << 30, 1), make_item(kind, MAX_FEED_ITEM_BYTES, 1))
    assert decode_feed_listing(listed(*large), "wire").items == large
    with pytest.raises(SourceUnreadable):
        decode_feed_listing(listed(make_item(kind, MAX_FEED_ITEM_BYTES + 1, 1)), "wire")
