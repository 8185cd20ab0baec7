"""`flycam sync` as it is used: real processes, a thin line, and either side killed at random moments."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.drill.video_drill import VideoDrillReport
from tests.attack.commands import Operator
from tests.attack.exchanges import flight_of, kept
from tests.attack.uploading import ServerProcess
from tests.lines import ThinLine
from tests.waiting import until


@pytest.fixture
def field(drill: DrillReport, tmp_path: Path) -> Operator:
    """A box that laid the drill's photos."""
    return Operator(tmp_path / "field", {"FLYCAM_BOX": "field"}).with_flight(drill)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}))
    made.start()
    yield made
    made.end()


@pytest.mark.slow
def test_a_flight_in_the_air_is_handed_on_while_it_is_laid(
    server: ServerProcess, film: VideoDrillReport, tmp_path: Path
) -> None:
    field, province = Operator(tmp_path / "air", {"FLYCAM_BOX": "air"}), server.operator
    assert field("dem", "add", film.dem).exit_code == 0
    filmed = ("--video", film.video, "--telemetry", film.subtitles, "--camera", film.camera)
    with ThinLine(server.port, bytes_s=100_000, round_trip_s=0.2) as line:
        sender = field.start("sync", line.url)
        flight = field.start("live", *filmed, "--realtime")
        try:
            until(lambda: kept(province, "mosaics/") or flight.poll() is not None, every_s=0.2)
            assert flight.poll() is None, "there before it had landed"
            out, err = flight.communicate(timeout=600)
        finally:
            sender.send_signal(signal.SIGINT)
            _, said = sender.communicate(timeout=120)
    assert flight.returncode == 0, err
    assert "Traceback" not in said
    flight_id = json.loads(out.strip().splitlines()[-1])["flight_id"]
    assert field("sync", server.url, "--once").json["left"] == 0
    assert province.tiles(flight_id) == field.tiles(flight_id) != {}
    assert province("verify").exit_code == 0


@pytest.mark.slow
def test_either_side_killed_at_any_moment(field: Operator, server: ServerProcess, tmp_path: Path) -> None:
    flight_id = flight_of(field)
    whole = field.tiles(flight_id)
    choose = random.Random(20240912)
    for trial in range(2):
        there = ServerProcess(
            Operator(tmp_path / f"province-{trial}", {"FLYCAM_BOX": "province"}), port=server.port
        )
        server.end()
        server = there
        server.start()
        with ThinLine(server.port, bytes_s=400_000, round_trip_s=0.05) as line:
            box = field.start("sync", line.url, "--once")
            time.sleep(choose.uniform(1.0, 3.0))
            if trial % 2:
                box.send_signal(signal.SIGKILL)
                box.communicate()
                box = field.start("sync", line.url, "--once")
            else:
                server.end(signal.SIGKILL)
                server.start()
            out, err = box.communicate(timeout=600)
        assert box.returncode == 0, err
        assert json.loads(out.strip().splitlines()[-1])["left"] == 0
        assert there.operator.tiles(flight_id) == whole
    server.end()
