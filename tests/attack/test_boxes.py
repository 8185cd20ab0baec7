"""Boxes that come back after a month, that were cloned disk by disk: real
processes, and at the end one map or a sentence that says why not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.exchanges import admitted
from tests.attack.test_clocks import clock_of
from tests.attack.uploading import ServerProcess, serving

__all__ = ["clock_of"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def server(drill: DrillReport, tmp_path: Path) -> Iterator[ServerProcess]:
    province = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    with serving(province) as made:
        yield made


def frames(operator: Operator) -> list[str]:
    """Ids of all frames on record."""
    with open_catalog(f"sqlite:///{operator.data / 'catalog.sqlite'}") as catalog:
        return sorted(
            one.frame_id
            for flight in catalog.flights.flights()
            for one in catalog.frames.list_for_flight(flight.flight_id)
        )


def withdrawn(operator: Operator) -> set[str]:
    """Ids of all frames that were withdrawn."""
    with open_catalog(f"sqlite:///{operator.data / 'catalog.sqlite'}") as catalog:
        return {
            one.frame_id
            for flight in catalog.flights.flights()
            for one in catalog.frames.withdrawals(flight.flight_id)
        }


def test_a_box_that_was_cloned_is_told_and_cured_by_a_name_and_an_account_of_its_own(
    server: ServerProcess, drill: DrillReport, tmp_path: Path
) -> None:
    """One disk copied onto another machine; both go on, and each withdraws another frame."""
    box = Operator(tmp_path / "box", {"FLYCAM_BOX": "field"}).with_flight(drill)
    box = admitted(box, server.operator, "box-1")
    assert box("sync", server.url, "--once").exit_code == 0
    shutil.copytree(box.data, tmp_path / "clone")
    clone = Operator(tmp_path / "clone", dict(box.environment))
    first, second = frames(box)[:2]
    assert box("withdraw", first, "--reason", "người dân yêu cầu").exit_code == 0
    assert clone("withdraw", second, "--reason", "doanh trại").exit_code == 0
    assert box("sync", server.url, "--once").exit_code == 0
    told = clone("sync", server.url, "--once")
    assert told.exit_code != 0 and "FLYCAM_BOX" in told.sentence, told
    named = Operator(clone.data, {**clone.environment, "FLYCAM_BOX": "field-2"})
    told = named("sync", server.url, "--once")
    assert told.exit_code != 0 and "box-1" in told.sentence, told
    cured = admitted(named, server.operator, "box-2")
    apart = cured("sync", server.url, "--once")
    assert apart.exit_code == 0 and "flycam box allow" in apart.json["apart"][0]["sentence"]
    assert withdrawn(server.operator) == {first}, "the flight is the first box's, until somebody decides"
    assert server.operator("box", "list").json["waiting"][0]["claims"] == {"withdrawal": 1}
    assert server.operator("box", "allow", "field-2", "--all").exit_code == 0
    assert cured("sync", server.url, "--once").exit_code == 0
    assert withdrawn(server.operator) == {first, second}
    assert box("sync", server.url, "--once").json["left"] == 0
    assert (server.operator("verify").exit_code, cured("verify").exit_code) == (0, 0)
