"""Programs that are suspended for an hour, and clocks that somebody sets by a day: what was begun goes on,
and order comes from sequence numbers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator, Said
from tests.attack.exchanges import admitted, common, kept, masts
from tests.attack.test_uploads import assert_each_byte_once, assert_kept, padded
from tests.attack.uploading import CuttingProxy, ServerProcess
from tests.faults.clocks import DAY_S, MovedClock
from tests.lines import ThinLine
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MakeClock = Callable[[str], MovedClock]


@pytest.fixture
def clock_of(tmp_path: Path) -> MakeClock:
    """Makes clocks, one for each name."""
    return lambda name: MovedClock(tmp_path / f"{name}.clock")


def with_clock(operator: Operator, clock: MovedClock) -> Operator:
    """The same house; what is started in it goes by this clock."""
    return Operator(operator.data, {**operator.environment, **clock.environment()})


def completed(child: subprocess.Popen[str], seconds: float = 500.0) -> dict[str, object]:
    """What a command that succeeds says."""
    out, err = child.communicate(timeout=seconds)
    assert child.returncode == 0, (out, err)
    said: dict[str, object] = json.loads(out.strip().splitlines()[-1])
    return said


def waited(what: Callable[[], object], child: subprocess.Popen[str]) -> None:
    """Until it is so; the program has not ended by then."""
    until(lambda: what() or child.poll() is not None, within_s=300.0)
    assert child.poll() is None, "it did not come to that"


@pytest.mark.soak
@pytest.mark.parametrize("who", ["server", "sender"])
def test_an_upload_of_which_one_side_sleeps_for_an_hour(
    ready: Operator, card: Path, clock_of: MakeClock, who: str
) -> None:
    """The line is cut meanwhile, as it is by then; every byte goes once."""
    total = padded(card, 300_000)
    clocks = {name: clock_of(name) for name in ("sender", "server")}
    server = ServerProcess(with_clock(ready, clocks["server"]))
    server.start()
    proxy = CuttingProxy(server.port, total, cuts=0, seed=1, bytes_s=600_000)
    try:
        sender = with_clock(ready, clocks["sender"]).start("upload", f"http://127.0.0.1:{proxy.port}", card)
        waited(lambda: proxy.passed > total // 4, sender)
        assert server.process is not None
        sleeper = sender if who == "sender" else server.process
        with clocks[who].suspended(sleeper.pid):
            proxy.cut()
        said = completed(sender)
    finally:
        proxy.close()
        server.end()
    assert said["frames"]["used"] == 6  # type: ignore[index]
    assert_each_byte_once(ready, card)
    assert_kept(ready, card)
    assert ready("verify").exit_code == 0


def test_a_flight_that_sleeps_while_it_is_laid_stays_its_layers_and_is_completed(
    ready: Operator, drill: DrillReport, whole: Said, clock_of: MakeClock
) -> None:
    """A lock is no lease: who sleeps for an hour still has it, and nobody lays the flight beside him."""
    clock = clock_of("box")
    layer = with_clock(ready, clock).start("ingest", drill.photos)
    assert layer.stderr is not None
    for line in layer.stderr:
        if line.startswith("rectify"):
            break
    with clock.suspended(layer.pid):
        other = ready("ingest", drill.photos)
        assert (other.exit_code, other.json["error"]) == (4, "FlightBusy")
    said = completed(layer)
    assert said["frames"] == whole.json["frames"]
    assert ready.tiles(str(said["flight_id"])) == whole.json["tiles"]
    assert ready("verify").exit_code == 0


@pytest.mark.soak
@pytest.mark.parametrize("first_s", [DAY_S, -DAY_S])
def test_clocks_that_jump_by_a_day_change_no_order(
    drill: DrillReport, tmp_path: Path, clock_of: MakeClock, first_s: float
) -> None:
    """Both boxes' clocks are set, there and back, before, between and in the middle of what they do. What was
    done last holds: a frame that was withdrawn after it was laid is gone, though by the clock it was a day
    before."""
    clocks = {name: clock_of(name) for name in ("field", "province")}
    field, province = (
        with_clock(Operator(tmp_path / name, {"FLYCAM_BOX": name}), clocks[name]) for name in clocks
    )
    field = admitted(field, province, "box-1")
    clocks["field"].jump(first_s)
    laid = completed(field.start("ingest", drill.photos, "--dem", drill.dem))
    completed(province.start("layers", "add", masts(tmp_path / "masts.json", 300), "--kind", "mast"))
    clocks["field"].jump(-2 * first_s)
    gone = _frames(field)[0]
    completed(field.start("withdraw", gone, "--reason", "người dân yêu cầu"))
    server = ServerProcess(province)
    server.start()
    try:
        with ThinLine(server.port, bytes_s=150_000, round_trip_s=0.05) as line:
            sender = field.start("sync", line.url, "--once")
            waited(lambda: kept(province, "sync/"), sender)
            clocks["province"].jump(first_s)
            clocks["field"].jump(2 * first_s)
            said = completed(sender)
        assert (said["left"], said["left_there"]) == (0, 0)
        clocks["field"].jump(-first_s)
        again = completed(field.start("sync", server.url, "--once"))
        assert (again["left"], again["tiles"], again["got"]) == (0, 0, {})
    finally:
        server.end()
    assert province.tiles(str(laid["flight_id"])) == field.tiles(str(laid["flight_id"]))
    assert gone not in _frames(province) and len(_frames(province)) == 5
    assert common(field)["layers"] == common(province)["layers"]
    for house in (field, province):
        assert completed(house.start("verify"))["whole"]
        assert completed(house.start("audit", "verify"))


def _frames(operator: Operator) -> list[str]:
    """Ids of the frames that a house shows."""
    with open_catalog(f"sqlite:///{operator.data / 'catalog.sqlite'}") as catalog:
        (flight,) = catalog.flights.flights()
        out = {one.frame_id for one in catalog.frames.withdrawals(flight.flight_id)}
        return sorted({one.frame_id for one in catalog.frames.list_for_flight(flight.flight_id)} - out)
