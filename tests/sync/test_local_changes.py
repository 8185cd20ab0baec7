"""What is new while known things are handed on: new ground of a flight in the air, before all old tiles."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from flycam.model.flight import FlightState
from flycam.sync import client
from flycam.sync.manifest import ObjectKind
from flycam.sync.node import TransferLimits
from flycam.sync.step_planner import SyncStep
from tests.sync.boxes import Box, new_box
from tests.sync.lines import Wire


def kinds_of_steps(
    box: Box, province: Box, folder: Path, monkeypatch: pytest.MonkeyPatch, *, goes_on: bool, step_s: float
) -> list[set[ObjectKind]]:
    """Kinds of things in each step, where a frame more is laid with each of the first tiles."""
    taken: list[set[ObjectKind]] = []
    whole = client.Sender._send
    more = iter(range(6, 9))
    now_s = [0.0]

    def watched(self: client.Sender, step: SyncStep) -> object:
        said = whole(self, step)
        now_s[0] += step_s
        taken.append({one.kind for one in step.manifest.items})
        if ObjectKind.TILE in taken[-1] and (number := next(more, None)) is not None:
            box.lay({number}, state=FlightState.INGESTING)
        return said

    monkeypatch.setattr(client.Sender, "_send", watched)
    for name in ("_FIRST_STEP_BYTES", "_MIN_STEP_BYTES", "_MAX_STEP_BYTES"):
        monkeypatch.setattr(client, name, 4 << 10)
    sender = client.Sender(
        box.workspace,
        Wire(province, folder),
        TransferLimits(),
        goes_on=goes_on,
        sleep=lambda _s: None,
        clock_s=lambda: now_s[0],
    )
    sender.run_round()
    return taken


def test_new_ground_is_seen_before_the_rest_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay(range(6), state=FlightState.INGESTING)
    taken = kinds_of_steps(box, province, tmp_path, monkeypatch, goes_on=True, step_s=31.0)
    views = [number for number, kinds in enumerate(taken) if ObjectKind.VIEW in kinds]
    tiles = [number for number, kinds in enumerate(taken) if ObjectKind.TILE in kinds]
    assert tiles[0] < max(views) < tiles[-1]
    assert any(tiles[0] < number for number in views), "new ground came between tiles"
    assert any(later - one == 1 for one, later in pairwise(tiles)), "tiles have their time"
    assert province.tiles() == box.tiles()
