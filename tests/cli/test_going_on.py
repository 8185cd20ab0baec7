"""Which ends of a command are ends, and after which whoever starts the box next goes on with it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from flycam.cli.output import StopRequests, register_resumable_job
from flycam.config import Settings, read_settings
from flycam.errors import Cancelled, FlightBusy, FlycamError, InputUnusable, StoreUnavailable
from flycam.operations.jobs import list_interrupted_jobs
from tests.texts import pair

AWAY = StoreUnavailable(pair("away", "mất liên lạc"))
BUSY = FlightBusy(pair("busy", "đang bận"))
WRONG = InputUnusable(pair("wrong", "sai"))
STOPPED = Cancelled(pair("stopped", "đã dừng"))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("flycam.cli.output.get_command_words", lambda: ("live", "--video", "x", "--json"))
    return read_settings({"FLYCAM_OPERATOR": "Lan"}, str(tmp_path / "data"))


def asked_by(*kinds: bool) -> StopRequests:
    """Stop requests in turn: by a polite kill, or by Ctrl-C."""
    asked = StopRequests()
    for by_kill in kinds:
        asked.request(by_kill=by_kill)
    return asked


def run(
    settings: Settings,
    error: BaseException | None,
    asked: StopRequests | None = None,
    *,
    begun: bool = True,
) -> int:
    """A command that ends so; how many are to be gone on with afterwards."""
    with (
        pytest.raises(type(error)) if error else nullcontext(),
        register_resumable_job(settings, asked) as progress,
    ):
        assert list_interrupted_jobs(settings.data_dir) == [], "somebody is at it"
        if begun:
            progress("look", 0, 1)
        if error is not None:
            raise error
    return len(list_interrupted_jobs(settings.data_dir))


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (None, None),
        (WRONG, None),
        (KeyboardInterrupt(), None),
        (STOPPED, asked_by(False)),
        (AWAY, asked_by(False)),
        (None, asked_by(False)),
        (STOPPED, asked_by(False, True)),
    ],
)
def test_ends(settings: Settings, error: BaseException | None, asked: StopRequests | None) -> None:
    assert run(settings, error, asked) == 0


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (AWAY, None),
        (BUSY, None),
        (BrokenPipeError(), None),
        (STOPPED, asked_by(True)),
        (AWAY, asked_by(True)),
        (None, asked_by(True)),
        (STOPPED, asked_by(True, False)),
    ],
)
def test_what_is_no_end(settings: Settings, error: BaseException | None, asked: StopRequests | None) -> None:
    assert run(settings, error, asked) == 1


@pytest.mark.parametrize("error", [AWAY, BUSY])
def test_what_was_told_at_once_is_left_to_whoever_gave_it_and_what_was_cut_before_stays(
    settings: Settings, error: FlycamError
) -> None:
    assert run(settings, error, begun=False) == 0
    with pytest.raises(BrokenPipeError), register_resumable_job(settings):
        raise BrokenPipeError
    before = list_interrupted_jobs(settings.data_dir)
    with pytest.raises(type(error)), register_resumable_job(settings):
        raise error
    assert list_interrupted_jobs(settings.data_dir) == before
    assert before[0].command.words == ("live", "--video", "x") and before[0].command.operator == "Lan"


def test_a_folder_that_is_gone_keeps_nobody_from_working(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stick").mkdir()
    monkeypatch.chdir(tmp_path / "stick")
    (tmp_path / "stick").rmdir()
    with register_resumable_job(settings) as progress:
        progress("look", 0, 1)
