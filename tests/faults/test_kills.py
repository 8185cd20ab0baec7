"""`kill -9` at random moments of every work: nothing acknowledged is lost, the same command completes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.faults.every_work import WORKS
from tests.faults.killing import Kill, calm_run, kills

_IN_CI, _KILLS = {"bundle read": 2, "backup": 1, "restore": 1, "verify": 1}, 208
_ONE_BATCH = 64 + 64  # tiles of one group, and the parents that are written with them


def in_words(found: Sequence[Kill]) -> str:
    """A row of the record."""
    whole = sum(one.kept for one in found)
    most = max(one.again for one in found)
    ended, sent = sum(one.ended for one in found), max(one.sent_again for one in found)
    return (
        f"| `{found[0].work}` | {len(found)} | {len(found) - ended} | {whole} | "
        f"{sum(one.again for one in found)}, at most {most} "
        f"({max(one.again_bytes for one in found)} bytes) | {sent} |"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", list(_IN_CI))
def test_a_few_kills(drill: DrillReport, tmp_path: Path, name: str) -> None:
    found = list(kills(calm_run(WORKS[name](drill, tmp_path), tmp_path), _IN_CI[name], 1, tmp_path))
    assert len(found) == _IN_CI[name] and all(one.again <= _ONE_BATCH for one in found)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_two_hundred_kills(drill: DrillReport, tmp_path: Path) -> None:
    """Run with `-s` to see each; KILL_WORK=upload for one work alone, KILL_SEED for other moments, KILLS for
    fewer."""
    names = os.environ.get("KILL_WORK", ",".join(WORKS)).split(",")
    seed = int(os.environ.get("KILL_SEED", "20261127"))
    each = -(-int(os.environ.get("KILLS", str(_KILLS))) // len(names))
    for name in names:
        scratch = tmp_path / name
        scratch.mkdir()
        calm, found = calm_run(WORKS[name](drill, scratch), scratch), []
        for one in kills(calm, each, seed, scratch):
            found.append(one)
            print(one, flush=True)
        print(in_words(found), flush=True)
        assert max(one.again for one in found) <= _ONE_BATCH
        assert max(one.sent_again for one in found) <= _ONE_BATCH
