"""Masks between boxes: what is news of them, and what a province hands its boxes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import shapely
import zstandard

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.catalog.access import select_active_redactions, select_revocation_requests
from flycam.errors import SourceUnreadable
from flycam.model.access import RedactionStep
from flycam.storage import keys
from flycam.sync.client import Sender, TransferLimits
from flycam.sync.exchange_import import SyncApplyHooks
from flycam.sync.reference_client import ReferenceImporter, ReferenceLedger
from flycam.sync.reference_feed import FeedItem, build_feed
from tests.sync.boxes import Box, ground_of, masked, new_box, record
from tests.sync.common_world import exchange
from tests.sync.lines import Wire

BACK = RedactionStep.REVOKED


def send(box: Box, wire: Wire, **limits: object) -> Sender:
    sender = Sender(box.workspace, wire, TransferLimits(**limits), sleep=lambda _s: None)  # type: ignore[arg-type]
    sender.run_round()
    return sender


def put_mask(box: Box, number: int, west: float = 104.8) -> None:
    box.catalog.redactions.append([masked(number)])
    box.catalog.redactions.put_footprints([ground_of(masked(number), west)])


def test_a_mask_alone_is_news(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    sender = send(box, Wire(province, tmp_path))
    assert not sender.has_local_changes()
    put_mask(box, 0)
    assert sender.has_local_changes()


# -- the way back -------------------------------------------------------------------------------------


def test_a_mask_drawn_at_the_province_holds_at_its_boxes_and_comes_once(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    wire = Wire(province, tmp_path)
    exchange(box, wire, tmp_path)
    put_mask(province, 1)
    assert exchange(box, wire, tmp_path)[0].item_counts == {"mask": 1}
    assert select_active_redactions(box.catalog.redactions.lines()) == [masked(1)]
    assert [one.wkb for one in box.catalog.redactions.list_footprints([masked(1).line_id])] == [
        ground_of(masked(1)).wkb
    ]
    assert exchange(box, wire, tmp_path)[0].item_counts == {}
    audited = [(one.who, one.what) for one in box.catalog.audit.lines() if "mask" in one.what]
    assert audited == [("province", "mask made")]


def test_what_the_province_took_back_is_taken_back_at_its_boxes_and_not_the_other_way(tmp_path: Path) -> None:
    """The attack: a stolen box uncovers a home at its own, and hands that on."""
    box, other, province = (new_box(tmp_path, name) for name in ("field", "other", "province"))
    box.lay({0, 1})
    put_mask(box, 0)
    put_mask(box, 1)
    wire = Wire(province, tmp_path)
    exchange(box, wire, tmp_path)
    box.catalog.redactions.append([masked(0, BACK, 5), masked(1, BACK, 5)])
    exchange(box, wire, tmp_path)
    assert set(select_active_redactions(province.catalog.redactions.lines())) == {masked(0), masked(1)}
    assert len(select_revocation_requests(province.catalog.redactions.lines())) == 2
    exchange(other, Wire(province, tmp_path), tmp_path)
    assert set(select_active_redactions(other.catalog.redactions.lines())) == {masked(0), masked(1)}
    assert select_revocation_requests(other.catalog.redactions.lines()) == [], (
        "whoever is asked is the province"
    )
    province.catalog.redactions.append([replace(masked(0, BACK, 9), author="Hoa")])
    exchange(other, Wire(province, tmp_path), tmp_path)
    assert select_active_redactions(other.catalog.redactions.lines()) == [masked(1)]
    audited = [
        (one.who, one.what, one.subject) for one in province.catalog.audit.lines() if "asked" in one.what
    ]
    assert [what for _, what, _ in audited] == ["mask taking back asked"] * 2


def test_a_box_for_some_communes_is_told_of_masks_in_them_and_of_those_nobody_has_placed(
    tmp_path: Path,
) -> None:
    province = new_box(tmp_path, "province")
    put_mask(province, 0)
    put_mask(province, 1, west=106.0)
    province.catalog.redactions.append([masked(2)])
    policy = AccessPolicy(within=shapely.to_wkb(shapely.box(104.7, 21.8, 104.9, 22.0)))
    names = {one.name for one in build_feed(province.workspace, policy).items}
    assert names == {record(0).frame_id, record(2).frame_id}


@pytest.mark.parametrize("step", [RedactionStep.MADE, RedactionStep.REVOCATION_REQUESTED])
def test_masks_that_are_not_what_they_say_are_refused_whole(tmp_path: Path, step: RedactionStep) -> None:
    province, box = new_box(tmp_path, "province"), new_box(tmp_path, "field")
    put_mask(province, 0)
    made = build_feed(province.workspace, UNRESTRICTED)
    (thing,) = made.items
    if step is RedactionStep.MADE:  # of another photo
        thing = replace(thing, name=record(1).frame_id)
        data = made.payloads[thing.sha256]
    else:
        data, thing = asking(province, thing)
    box.workspace.store.put(keys.format_original_key(thing.sha256), data)
    ledger = ReferenceLedger(box.workspace.store, "province")
    learner = ReferenceImporter(box.workspace, SyncApplyHooks(box.workspace), "province", ledger)
    with pytest.raises(SourceUnreadable, match="same version"):
        learner.import_items([thing])
    assert box.catalog.redactions.lines() == []


def asking(province: Box, thing: FeedItem) -> tuple[bytes, FeedItem]:
    """The thing with a line in it that no province tells."""
    names = build_feed(province.workspace, UNRESTRICTED).payloads[thing.sha256]
    values = json.loads(zstandard.ZstdDecompressor().decompress(names))
    values["lines"][0]["step"] = RedactionStep.REVOCATION_REQUESTED.value
    values["grounds"] = []
    data = zstandard.ZstdCompressor().compress(json.dumps(values).encode())
    return data, replace(thing, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
