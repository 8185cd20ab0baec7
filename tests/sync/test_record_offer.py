"""Records of a flight that grows, over a line: what went before does not go again, and the peer has all."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.sync import client, step_planner
from flycam.sync.exchange import ExchangeOffer, ObjectKind
from flycam.sync.records import read_flight_records
from tests.sync.boxes import Box, new_box
from tests.sync.lines import Wire, sync


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ObjectKind, int]]:
    """Kind and size of all records that went."""
    found: list[tuple[ObjectKind, int]] = []
    whole = client.Sender._send

    def watched(self: client.Sender, step: ExchangeOffer) -> object:
        items = [
            one for one in step.manifest.items if one.kind in (ObjectKind.RECORDS, ObjectKind.RECORD_DELTA)
        ]
        found.extend((one.kind, one.size_bytes) for one in items)
        return whole(self, step)

    monkeypatch.setattr(client.Sender, "_send", watched)
    return found


def same_records(box: Box, province: Box) -> bool:
    """Whether the province has of the flight what the box has."""
    here, there = (
        read_flight_records(one.catalog, one.catalog.flights.flight("f1")) for one in (box, province)
    )
    return step_planner.simplify_footprints(here) == there


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
    assert kind is ObjectKind.RECORD_DELTA and size < whole / 3
    assert province.tiles() == box.tiles() and same_records(box, province)
