"""What many tests begin with, made once in a run: whichever of its processes needs it first makes it, the
others wait for it. Nobody writes into it; who writes gets a copy.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")

_folder: Path | None = None


@pytest.fixture(scope="session", autouse=True)
def folder_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it lies: beside the folders of the run's processes."""
    global _folder  # noqa: PLW0603  helpers of tests have no fixtures
    base = tmp_path_factory.getbasetemp()
    _folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "made-once"
    _folder.mkdir(exist_ok=True)
    return _folder


def made_once(name: str, make: Callable[[Path], Made]) -> Made:
    """What `make` returned, given a folder to fill: it can be pickled. name: of all it is made of.

    A test that patches what `make` uses asks for it before: others get what was made.
    """
    assert _folder is not None, "asked for outside of a test run"
    folder, returned = _folder / name, _folder / f"{name}.pickle"
    with _alone(_folder / f"{name}.lock"):
        if not returned.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of who was killed over it
            part = returned.with_suffix(".part")
            part.write_bytes(pickle.dumps(make(folder)))
            part.rename(returned)
    made: Made = pickle.loads(returned.read_bytes())
    return made


def copied_once(name: str, make: Callable[[Path], Made], to: Path) -> Made:
    """The same, its folder copied into another one."""
    made = made_once(name, make)
    assert _folder is not None
    shutil.copytree(_folder / name, to, dirs_exist_ok=True)
    return made


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # whoever was forked meanwhile may have it open for longer
