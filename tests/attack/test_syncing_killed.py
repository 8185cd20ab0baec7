"""Two hundred kills over a line that carries both ways: the field's map up, what the province holds in common
down. Whatever is killed, the same command completes it, and all that either side keeps verifies."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator
from tests.attack.exchanges import common, flight_of, masts
from tests.attack.uploading import ServerProcess
from tests.lines import ThinLine

_KILLS = 200
_MOST_IN_ONE = 25  # then it is left to end
_OF_SENDER = 0.65


@dataclass
class Exchange:
    """A box and a province, fresh copies of those that were made once."""

    box: Operator
    server: ServerProcess
    kills: Counter[str] = field(default_factory=Counter)

    def until_done(self, line: ThinLine, choose: random.Random, most: int) -> dict[str, object]:
        """Run `sync` until it ends by itself; until then a side is killed after some more bytes, at most so
        often."""
        while True:
            sender = self.box.start("sync", line.url, "--once")
            while self.kills.total() < most and self._passes(line, choose.randint(500, 60_000), sender):
                if choose.random() < _OF_SENDER:
                    self._kill(sender)
                    break
                self.server.end(signal.SIGKILL)
                self.kills["server"] += 1
                self.server.start()
            out, err = sender.communicate(timeout=300)
            if sender.returncode == 0:
                said: dict[str, object] = json.loads(out.strip().splitlines()[-1])
                return said
            assert sender.returncode == -signal.SIGKILL, err

    def _passes(self, line: ThinLine, more: int, sender: subprocess.Popen[str]) -> bool:
        """Wait until so many bytes more have passed; False if the sender ends before."""
        until = sum(line.passed.values()) + more
        while sum(line.passed.values()) < until and sender.poll() is None:
            time.sleep(0.01)
        return sender.poll() is None

    def _kill(self, sender: subprocess.Popen[str]) -> None:
        sender.send_signal(signal.SIGKILL)
        self.kills["sender"] += 1


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_two_hundred_kills_in_both_directions(drill: DrillReport, tmp_path: Path) -> None:
    field_made = Operator(tmp_path / "field", {"FLYCAM_BOX": "field"})
    assert field_made("ingest", drill.photos, "--dem", drill.dem).exit_code == 0
    province_made = Operator(tmp_path / "province", {"FLYCAM_BOX": "province"}).with_ground(drill)
    layer = masts(tmp_path / "masts.json", 3000)
    assert province_made("layers", "add", layer, "--kind", "mast").exit_code == 0
    flight_id, choose = flight_of(field_made), random.Random(20261126)
    whole, told = field_made.tiles(flight_id), common(province_made)
    kills: Counter[str] = Counter()
    exchanges, began_s = 0, time.monotonic()
    while kills.total() < _KILLS:
        box, province = (
            Operator(tmp_path / f"{made.data.name}-{exchanges}", made.environment)
            for made in (field_made, province_made)
        )
        for made, copy in ((field_made, box), (province_made, province)):
            shutil.copytree(made.data, copy.data)
        server = ServerProcess(province)
        server.start()
        run = Exchange(box, server)
        try:
            with ThinLine(server.port, bytes_s=60_000, round_trip_s=0.1, loss=0.02, seed=exchanges) as line:
                said = run.until_done(line, choose, _MOST_IN_ONE)
        finally:
            server.end()
        assert (said["left"], said["left_there"], said["apart"], said["kept"]) == (0, 0, [], [])
        assert province.tiles(flight_id) == whole
        here = common(box)
        assert (here["layers"], here["communes"]) == (told["layers"], told["communes"])
        assert told["terrain"] == here["terrain"]
        assert (box("verify").exit_code, province("verify").exit_code) == (0, 0)
        kills += run.kills
        exchanges += 1
        print(f"{exchanges} exchanges, {dict(kills)} killed, {time.monotonic() - began_s:.0f} s", flush=True)
        for one in (box, province):
            shutil.rmtree(one.data)
