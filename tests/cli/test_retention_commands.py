"""`retention` as it is called."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flycam.catalog.catalog import open_catalog
from flycam.cli import flycam
from tests.serve.world import REAL, World, make_workspace, make_world

Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A world to be copied, and its folder."""
    root = tmp_path_factory.mktemp("retention") / "world"
    return make_world(root), root


@pytest.fixture
def world(made: tuple[World, Path], tmp_path: Path) -> World:
    world, root = made
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return replace(world, workspace=make_workspace(tmp_path))


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """(exit code, answer, what was said) of a command, in JSON or, with `language`, in words."""
    for name in [name for name in os.environ if name.startswith("FLYCAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLYCAM_DATABASE", f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    monkeypatch.setenv("FLYCAM_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("FLYCAM_OPERATOR", "Quản trị")
    monkeypatch.setenv("FLYCAM_BOX", "tỉnh")

    def call(*words: object, language: str | None = None) -> tuple[int, dict[str, Any], str]:
        monkeypatch.setenv("LC_ALL", {"vi": "vi_VN.UTF-8"}.get(language or "", "C.UTF-8"))
        how = ["--data", str(tmp_path), *([] if language else ["--json"])]
        result = CliRunner().invoke(flycam, ["retention", *map(str, words), *how])
        if language:
            return result.exit_code, {}, result.stdout + result.stderr
        lines = result.stdout.strip().splitlines()
        return result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr

    return call


def test_a_term_is_set_what_is_due_is_listed_and_that_list_confirmed(
    run: Run, world: World, tmp_path: Path
) -> None:
    code, due, _ = run("due")
    assert (code, due["originals"], due["begun"], due["groups"]) == (0, 0, 0, [])
    code, told, _ = run("set", "photo", 90)
    assert code == 0 and [(one["kind"], one["days"], one["author"]) for one in told["terms"]] == [
        ("photo", 90, "Quản trị")
    ]
    code, told, _ = run("set", "photo", "forever", "--event", REAL)
    assert code == 0 and [one["event_id"] for one in told["terms"]] == [None, REAL]
    code, due, _ = run("due")
    assert code == 0 and due["originals"] == 6, "those of the drill"
    assert run("set", "photo", "house", "--event", REAL)[0] == 0
    code, held, _ = run("hold", world.before, "--reason", "vụ án")
    assert (code, held["step"], held["subject"]) == (0, "held", world.before)
    assert run("confirm", due["digest"], "--authority", "Hùng")[0] == 3
    code, due, _ = run("due")
    assert due["originals"] == 12
    code, done, _ = run("confirm", due["digest"], "--authority", "Hùng")
    assert (code, done["confirmed"], done["let_go"], done["waiting"]) == (0, 12, 12, [])
    assert run("confirm", due["digest"], "--authority", "Hùng")[1]["let_go"] == 0
    assert run("release", held["hold_id"], "--reason", "xong")[0] == 0
    code, lifted, _ = run("lift", world.after, "--reason", "toà án hỏi")
    assert (code, lifted["originals"]) == (0, 6)
    with open_catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}") as catalog:
        assert {one.author for one in catalog.retention.lines()} == {"Hùng", "Quản trị"}
        assert {one.box for one in catalog.retention.lines()} == {"tỉnh"}


@pytest.mark.parametrize(
    "words",
    [
        ("set", "photo", "soon"),
        ("set", "photo", "house"),
        ("set", "photo", "0"),
        ("set", "photo", "-5"),
        ("set", "boredom", "5"),
        ("confirm", "0" * 24, "--authority", " "),
        ("confirm", "0" * 24),
        ("hold", REAL),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, words: tuple[str, ...]) -> None:
    code, _, said = run(*words)
    assert code == 2 and said


def test_what_there_is_not_is_said(run: Run) -> None:
    for words in (
        ("set", "photo", "5", "--event", "bão khác"),
        ("hold", "bay khác", "--reason", "vì"),
        ("release", "hold-00000001", "--reason", "vì"),
        ("lift", "bay khác", "--reason", "vì"),
    ):
        code, _, said = run(*words)
        assert code == 3 and "Not found" in said, words
