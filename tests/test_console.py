"""How a command speaks while it works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flycam.pipeline
from flycam.console import ProgressBar

STAGES = sorted(
    {
        stage
        for source in Path(flycam.pipeline.__file__).parent.glob("*.py")
        for stage in re.findall(r'(?:\bprogress\(|\.stage\()"(\w+)"', source.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_named_in_the_language_of_the_terminal(
    stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    ProgressBar()(stage, 1, 3)
    said = capsys.readouterr().err
    assert stage not in said and said.endswith(" 1/3\n")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    ProgressBar()(stage, 1, 3)
    assert capsys.readouterr().err == f"{stage} 1/3\n"


def test_the_stages_are_found() -> None:
    assert {"look", "rectify", "ties", "blend", "communes", "report", "render"} <= set(STAGES)
