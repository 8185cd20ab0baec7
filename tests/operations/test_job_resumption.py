"""Killed in mid-work: the next server goes on with what was typed, and says what came of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.config import PowerMode
from flycam.drill.photo_drill import DrillReport
from flycam.http.commands import FLYCAM
from flycam.messages import Message
from flycam.model.flight import FlightState
from flycam.model.records import FrameStatus
from flycam.model.text import format_shell_command
from flycam.operations.jobs import CommandRecord, list_interrupted_jobs, record_job, resume_jobs
from flycam.power import Power
from tests.ports import free_port
from tests.waiting import until

_LONGEST_S = 240.0


def ingest_killed(data: Path, card: Path, number: int = signal.SIGKILL, stage: str = "rectify") -> None:
    """An ingest that ends by a signal as soon as it lays pictures."""
    process = subprocess.Popen(
        [*FLYCAM, "ingest", card.name, "--data", str(data), "--json", "--name", "Bản Lầu"],
        cwd=card.parent,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "FLYCAM_OPERATOR": "Vàng A Páo", "LC_ALL": "C"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(stage):
            process.send_signal(number)
            break
    process.stderr.close()
    assert process.wait() != 0


_ENDS = ("is complete", "not end well", "not there", "are there now", "by hand")


def messages_of(data: Path, *ends: str) -> list[str]:
    """What is said until a command has ended."""
    said: list[str] = []
    heard = threading.Event()

    def say(message: Message) -> None:
        assert message.in_language("vi") != str(message)
        said.append(str(message))
        if any(word in str(message) for word in ends or _ENDS):
            heard.set()

    with resume_jobs(data, Power(PowerMode.FULL), say):
        assert heard.wait(_LONGEST_S), said
    return said


@pytest.mark.slow
def test_an_ingest_that_was_killed_is_completed_by_the_next_server(
    drill: DrillReport, tmp_path: Path
) -> None:
    data, card = tmp_path / "nhà", tmp_path / "thẻ"
    shutil.copytree(drill.photos, card)
    ingest_killed(data, card)
    server = subprocess.Popen(
        [*FLYCAM, "serve", "--data", str(data), "--port", str(free_port())],
        stderr=(tmp_path / "said").open("w"),
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        told = (tmp_path / "said").read_text
        until(lambda: "is complete" in told(), told, within_s=_LONGEST_S, of=server)
        said = told()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    assert f"{format_shell_command('ingest', card.name, '--name', 'Bản Lầu')}" in said
    assert "--name 'Bản Lầu'" in said, "as it is pasted into a shell"
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog:
        (flight,) = catalog.flights.flights()
        assert flight.state is not FlightState.INGESTING
        used = catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
        assert len(used) == len(list(card.glob("*.JPG")))
        assert flight.operator == "Vàng A Páo"
    assert list_interrupted_jobs(data) == []


@pytest.mark.slow
def test_a_card_that_is_out_is_waited_for_and_another_is_not_taken_for_it(
    drill: DrillReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flycam.operations.jobs.RETRY_INTERVAL_S", 0.2)
    data, card = tmp_path / "data", tmp_path / "card"
    shutil.copytree(drill.photos, card)
    ingest_killed(data, card)
    card.rename(tmp_path / "pulled")
    (said,) = messages_of(data)
    assert "card" in said
    card.mkdir()
    (card / "DJI_0001.JPG").write_bytes(b"of another flight")
    (said,) = messages_of(data)
    assert "other files" in said and list_interrupted_jobs(data) == []


def test_what_is_on_a_card_is_no_program(tmp_path: Path) -> None:
    """A command is begun in the folder in which it was given, and nothing that lies there runs."""
    for name in ("flycam", "click", "queue"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    record_command(tmp_path, "ingest", "--name", "x")
    messages_of(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_ctrl_c_is_an_end_and_a_shutdown_is_none(drill: DrillReport, tmp_path: Path) -> None:
    card = tmp_path / "card"
    shutil.copytree(drill.photos, card)
    ingest_killed(tmp_path / "by-hand", card, signal.SIGINT)
    assert list_interrupted_jobs(tmp_path / "by-hand") == []
    ingest_killed(tmp_path / "shut-down", card, signal.SIGTERM)
    (one,) = list_interrupted_jobs(tmp_path / "shut-down")
    assert one.command.words == ("ingest", "card", "--name", "Bản Lầu")
    assert one.command.working_dir == card.parent and one.command.operator == "Vàng A Páo"


def record_command(data: Path, *words: str, place: Path | None = None, tries: int = 0) -> None:
    """A command whose program is gone."""
    with record_job(data, CommandRecord(words=words, working_dir=place or data, operator="", tries=tries)):
        pass
