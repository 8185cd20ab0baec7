"""How a command speaks while it works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flycam
from flycam.cli.output import ProgressBar

STAGES = sorted(
    {
        stage
        for source in Path(flycam.__file__).parent.rglob("*.py")
        for stage in re.findall(
            r'(?:\bprogress\(|\bbar\(|\.stage\()"(\w+)"', source.read_text(encoding="utf-8")
        )
    }
)


def test_every_stage_is_named_in_the_language_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(STAGES) > 20, "nothing is looked at"
    for stage in STAGES:
        monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
        ProgressBar()(stage, 1, 3)
        line = capsys.readouterr().err
        assert stage not in line and line.endswith(" 1/3\n")
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        ProgressBar()(stage, 1, 3)
        assert capsys.readouterr().err == f"{stage} 1/3\n"


def test_a_log_hears_of_a_long_stage_between_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    for done in range(1, 16):
        bar("render", done, 15)
    for done in (0, 2, 2):
        bar("lay", done, 2)
    said = ["render 1/15", "render 4/15", "render 8/15", "render 12/15", "render 15/15", "lay 0/2", "lay 2/2"]
    assert capsys.readouterr().err.splitlines() == said


def test_a_stage_without_an_end_fills_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    for done in range(1, 2501):
        bar("live", done, 0)
    bar("communes", 4, 4)
    bar("communes", 4, 4)
    assert capsys.readouterr().err.splitlines() == ["live 1", "live 1000", "live 2000", "communes 4/4"]
