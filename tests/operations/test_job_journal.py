"""A command under way is found by whoever starts after it was killed, and by nobody before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flycam.operations.jobs import (
    JOURNAL_DIR,
    CommandRecord,
    InputState,
    finish_job,
    hash_inputs,
    list_interrupted_jobs,
    record_job,
)

INGEST = CommandRecord(
    words=("ingest", "/thẻ/DCIM", "--name", "Bản Lầu"), working_dir=Path("/"), operator="Vàng A Páo"
)
DIES = """
import os, signal, sys
from pathlib import Path
from flycam.operations.jobs import CommandRecord, record_job
words = tuple(sys.argv[2:])
with record_job(Path(sys.argv[1]), CommandRecord(words=words, working_dir=Path("/"), operator="Vàng A Páo")):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(data: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, "-c", DIES, str(data), *words], check=False)
    assert done.returncode == -9


def test_nobody_takes_what_somebody_is_at(tmp_path: Path) -> None:
    with record_job(tmp_path, INGEST) as entry:
        assert list_interrupted_jobs(tmp_path) == []
        finish_job(entry)
    assert list((tmp_path / JOURNAL_DIR).iterdir()) == []


def test_what_was_killed_is_found_as_it_was_given(tmp_path: Path) -> None:
    killed(tmp_path, *INGEST.words)
    (one,) = list_interrupted_jobs(tmp_path)
    assert one.command == INGEST
    assert str(one.command) == "flycam ingest '/thẻ/DCIM' --name 'Bản Lầu'", "as a shell takes it"


def test_a_name_that_is_no_utf_8_comes_back_as_it_was(tmp_path: Path) -> None:
    killed(tmp_path, "ingest", "/the/\udcff")
    assert list_interrupted_jobs(tmp_path)[0].command.words == ("ingest", "/the/\udcff")


def test_the_same_twice_is_one_and_both_are_over_with_it(tmp_path: Path) -> None:
    killed(tmp_path, *INGEST.words)
    killed(tmp_path, *INGEST.words)
    killed(tmp_path, "finish", "f1")
    assert [one.command.words[0] for one in list_interrupted_jobs(tmp_path)] == ["ingest", "finish"]
    with record_job(tmp_path, INGEST) as entry:
        finish_job(entry)
    assert [one.command.words[0] for one in list_interrupted_jobs(tmp_path)] == ["finish"]


def test_another_card_at_the_same_place_is_told_from_the_one_that_was_given(tmp_path: Path) -> None:
    card = tmp_path / "card" / "DCIM"
    card.mkdir(parents=True)
    for number in range(3):
        (card / f"DJI_{number:04}.JPG").write_bytes(b"x" * (100 + number))
    words = ("ingest", "card", "--name", "", "--dem", "no.tif")
    command = CommandRecord(
        words=words, working_dir=tmp_path, operator="", input_digests=hash_inputs(words, tmp_path)
    )
    assert set(command.input_digests) == {"card"} and command.check_inputs() is InputState.SAME
    (card / "DJI_0001.JPG").touch()
    assert command.check_inputs() is InputState.SAME, "a card tells times in the zone of the machine"
    (card / "DJI_0001.JPG").write_bytes(b"y")
    assert command.check_inputs() is InputState.OTHERS
    card.parent.rename(tmp_path / "pulled")
    assert command.check_inputs() is InputState.NOT_THERE


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"words": [], "place": "/", "operator": "", "tries": 0, "looks": {}}', b"\xff\xfe"],
)
def test_what_cannot_be_read_is_no_entry(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOURNAL_DIR).mkdir()
    (tmp_path / JOURNAL_DIR / "0.json").write_bytes(content)
    assert list_interrupted_jobs(tmp_path) == []


def test_only_commands_that_go_on_where_they_were_cut_are_begun_again(tmp_path: Path) -> None:
    killed(tmp_path, "withdraw", "f1")
    assert list_interrupted_jobs(tmp_path) == []
