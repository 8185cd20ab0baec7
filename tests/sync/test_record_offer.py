"""Records of a flight that grows, over a line: what went before does not go again, and the peer has all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flycam.errors import SourceUnreadable
from flycam.model.flight import FlightState
from flycam.storage import keys
from flycam.sync import bundle, client, step_planner
from flycam.sync import records as sync_records
from flycam.sync.manifest import ExchangeManifest, ManifestItem, ObjectKind, decode_manifest, encode_manifest
from flycam.sync.offer import ExchangeOffer, build_offer
from flycam.sync.records import compress_records, encode_flight_records, read_flight_records
from flycam.sync.step_planner import SyncStep
from tests.sync.boxes import Box, new_box
from tests.sync.lines import Wire, sync

FILM = "f" * 64


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ObjectKind, int]]:
    """Kind and size of all records that went."""
    found: list[tuple[ObjectKind, int]] = []
    whole = client.Sender._send

    def watched(self: client.Sender, step: SyncStep) -> object:
        items = [one for one in step.manifest.items if one.kind in (ObjectKind.RECORDS, ObjectKind.CHANGE)]
        found.extend((one.kind, one.size_bytes) for one in items)
        return whole(self, step)

    monkeypatch.setattr(client.Sender, "_send", watched)
    return found


def kinds(sent: list[tuple[ObjectKind, int]]) -> list[ObjectKind]:
    """What went since this was asked last."""
    found = [kind for kind, _ in sent]
    sent.clear()
    return found


def same_records(box: Box, province: Box) -> bool:
    """Whether the province has of the flight what the box has."""
    here, there = (
        read_flight_records(one.catalog, one.catalog.flights.flight("f1")) for one in (box, province)
    )
    return step_planner.simplify_footprints(here) == there


def test_of_a_flight_in_the_air_its_new_pictures_go(
    tmp_path: Path, sent: list[tuple[ObjectKind, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_planner, "_FIRST_FRAMES", 1)
    box, province = replace(new_box(tmp_path, "field"), film=FILM), new_box(tmp_path, "province")
    wire = Wire(province, tmp_path)
    for number in range(8):
        box.lay({number}, state=FlightState.INGESTING if number < 7 else FlightState.READY)
        sync(box, wire)
        assert province.tiles() == box.tiles()
        assert same_records(box, province)
    whole = len(encode_flight_records(read_flight_records(box.catalog, box.catalog.flights.flight("f1"))))
    assert sent[0][0] is ObjectKind.RECORDS and {kind for kind, _ in sent[1:]} == {ObjectKind.CHANGE}
    assert max(size for _, size in sent[-2:]) < 0.6 * whole
    for _ in range(2):  # hears that all of it is there, then names no other
        assert sync(box, wire).steps == 0
    assert len(list((box.workspace.cache_dir / "sent").iterdir())) == 1
    assert len(list(province.workspace.store.list(keys.format_peer_records_prefix()))) <= 2


def test_a_withdrawal_goes_alone(tmp_path: Path, sent: list[tuple[ObjectKind, int]]) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay(range(10))
    sync(box, Wire(province, tmp_path))
    assert sync(box, Wire(province, tmp_path)).steps == 0  # hears that all of it is there
    ((kind, whole),) = sent
    assert kind is ObjectKind.RECORDS
    sent.clear()
    box.withdraw(3)
    sync(box, Wire(province, tmp_path))
    ((kind, size),) = sent
    assert kind is ObjectKind.CHANGE and size < whole / 3
    assert province.tiles() == box.tiles() and same_records(box, province)


def _thrown_away(box: Box, _province: Box) -> None:
    shutil.rmtree(box.workspace.cache_dir)


def _rotten_here(box: Box, _province: Box) -> None:
    for file in (box.workspace.cache_dir / "sent").iterdir():
        file.write_bytes(b"rotten")


def _lost_there(_box: Box, province: Box) -> None:
    for key in list(province.workspace.store.list(keys.format_peer_records_prefix())):
        province.workspace.store.delete(key)


def _rotten_there(_box: Box, province: Box) -> None:
    for key in list(province.workspace.store.list(keys.format_peer_records_prefix())):
        province.workspace.store.put(key, b"rotten")


@pytest.mark.parametrize("harm", [_thrown_away, _rotten_here, _lost_there, _rotten_there])
def test_what_is_lost_of_those_before_goes_whole(
    tmp_path: Path, sent: list[tuple[ObjectKind, int]], harm: Callable[[Box, Box], None]
) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    for _ in range(2):
        sync(box, Wire(province, tmp_path))
    harm(box, province)
    box.lay({3})
    sent.clear()
    sync(box, Wire(province, tmp_path))
    assert kinds(sent)[-1] is ObjectKind.RECORDS
    assert province.tiles() == box.tiles() and same_records(box, province)
    box.lay({4})
    sync(box, Wire(province, tmp_path))
    assert kinds(sent) == [ObjectKind.CHANGE]
    assert province.tiles() == box.tiles() and same_records(box, province)


def test_a_peer_that_compresses_otherwise_gets_whole_records(
    tmp_path: Path, sent: list[tuple[ObjectKind, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    sync(box, Wire(province, tmp_path))
    monkeypatch.setattr(sync_records, "compress_records", lambda said: compress_records(said + b" "))
    box.lay({3})
    kinds(sent)
    sync(box, Wire(province, tmp_path))
    assert kinds(sent) == [ObjectKind.CHANGE, ObjectKind.CHANGE, ObjectKind.RECORDS]
    assert province.tiles() == box.tiles() and same_records(box, province)


def test_a_change_that_is_not_smaller_does_not_go(
    tmp_path: Path, sent: list[tuple[ObjectKind, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    sync(box, Wire(province, tmp_path))
    monkeypatch.setattr(step_planner, "compute_record_delta", lambda records, _base: records + b"more")
    box.lay({1})
    sync(box, Wire(province, tmp_path))
    assert kinds(sent) == [ObjectKind.RECORDS, ObjectKind.RECORDS]


def test_a_stick_that_holds_a_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sticks hold whole records: whoever reads one may have none before."""
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})

    def forged(*given: Any, **options: Any) -> ExchangeOffer:
        offered = build_offer(*given, **options)
        items = tuple(
            replace(one, kind=ObjectKind.CHANGE, name=one.sha256) if one.kind is ObjectKind.RECORDS else one
            for one in offered.manifest.items
        )
        return replace(offered, manifest=replace(offered.manifest, items=items))

    monkeypatch.setattr(bundle, "build_offer", forged)
    with pytest.raises(SourceUnreadable, match="holds other bytes"):
        province.read(box.write(tmp_path))
    assert province.catalog.flights.flights() == []


@pytest.mark.parametrize("name", ["", "../x", "a" * 63])
def test_the_name_of_a_change_is_the_hash_of_what_it_makes(name: str) -> None:
    item = ManifestItem(kind=ObjectKind.CHANGE, sha256="0" * 64, size_bytes=1, name=name)
    with pytest.raises(SourceUnreadable, match="line"):
        decode_manifest(encode_manifest(ExchangeManifest(box="b", items=(item,))), "line")
