"""Stores that fail, processes that die, operators who do the same at once."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator, Said
from tests.servers import S3Server

MakeOperator = Callable[..., Operator]


def test_store_that_is_down(make_operator: MakeOperator, drill: DrillReport) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    operator = make_operator(FLYCAM_STORE="s3://flycam/x?endpoint=http://127.0.0.1:9", **keys)
    said = operator("ingest", drill.photos)
    assert said.exit_code == 4
    assert "127.0.0.1:9" in said.sentence and said.json["error"]
    assert operator.flights() == []


@pytest.mark.s3
def test_store_that_denies_or_lacks_its_bucket(
    make_operator: MakeOperator, drill: DrillReport, s3_server: S3Server
) -> None:
    url, right = s3_server.url("từ chối".encode().hex()), s3_server.environment()
    for name, environment, words in (
        ("sai", {**right, "AWS_SECRET_ACCESS_KEY": "sai", "FLYCAM_STORE": url}, "AWS_SECRET_ACCESS_KEY"),
        ("lạ", {**right, "AWS_ACCESS_KEY_ID": "lạ".encode().hex(), "FLYCAM_STORE": url}, "AWS_ACCESS_KEY_ID"),
        ("thiếu", {**right, "FLYCAM_STORE": url.replace("s3://flycam/", "s3://chua-co/")}, "create it"),
    ):
        operator = make_operator(name, **environment)
        said = operator("ingest", drill.photos)
        assert said.exit_code == 4 and words in said.sentence and s3_server.endpoint in said.sentence
        assert operator.flights() == []


@pytest.mark.s3
def test_kill_half_way_on_s3(
    make_operator: MakeOperator, drill: DrillReport, s3_server: S3Server, whole: Said
) -> None:
    environment = {**s3_server.environment(), "FLYCAM_STORE": s3_server.url("giết")}
    operator = make_operator(**environment).with_ground(drill)
    child = operator.start("ingest", drill.photos)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("rectify"):
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stderr.close()
    done = operator("ingest", drill.photos)
    assert (done.exit_code, done.json["flight_id"]) == (0, whole.json["flight_id"])
    assert operator.tiles(done.json["flight_id"]) == whole.json["tiles"]
    assert [c["covered_pct"] for c in done.json["communes"]] == [
        c["covered_pct"] for c in whole.json["communes"]
    ]


def test_two_operators_choose_one_name(ready: Operator, drill: DrillReport, tmp_path: Path) -> None:
    cards = [tmp_path / "sáng", tmp_path / "chiều"]
    for folder, photos in zip(cards, (slice(0, 3), slice(3, 6)), strict=True):
        folder.mkdir()
        for photo in sorted(drill.photos.iterdir())[photos]:
            shutil.copy(photo, folder)
    children = [ready.start("ingest", folder, "--name", "Bay 1") for folder in cards]
    answers = [json.loads(child.communicate(timeout=120)[0].splitlines()[-1]) for child in children]
    codes = [child.returncode for child in children]
    assert sorted(codes) == [0, 3]
    loser = codes.index(3)
    assert answers[loser]["error"] == "NameTaken"
    assert "Bay 1" in answers[loser]["sentence"] and "--name" in answers[loser]["sentence"]
    assert ready.flights() == [answers[1 - loser]["flight_id"]]
    assert ready("ingest", cards[loser], "--name", "Bay 2").json["frames"]["used"] == 3
