"""A file is written under its own name alone, and in the place of a link."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import StorageFailed
from flycam.storage.files import write_file_atomically
from tests.attack.commands import Operator


@pytest.mark.parametrize("name", ["m.geojson", ".m.geojson.part"])
def test_no_link_beside_it_or_in_its_place_is_followed(tmp_path: Path, name: str) -> None:
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    theirs.write_bytes(b"kept")
    out.mkdir()
    (out / name).symlink_to(theirs)
    write_file_atomically(out / "m.geojson", b"ours")
    assert theirs.read_bytes() == b"kept"
    assert (out / "m.geojson").read_bytes() == b"ours" and not (out / "m.geojson").is_symlink()


def test_nobody_else_may_write_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_file_atomically(tmp_path / "m.csv", b"ours")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.csv").stat().st_mode) == 0o644


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.csv").mkdir()
    with pytest.raises(StorageFailed):
        write_file_atomically(tmp_path / "m.csv", b"ours")
    with pytest.raises(StorageFailed):
        write_file_atomically(tmp_path / "none" / "m.csv", b"ours")
    assert [one.name for one in tmp_path.iterdir()] == ["m.csv"]


@pytest.mark.soak
def test_no_command_writes_through_a_link(drill: DrillReport, tmp_path: Path) -> None:
    operator = Operator(tmp_path / "data", {}).with_ground(drill)
    flight_id = operator("ingest", drill.photos, "--event", "Bão").json["flight_id"]
    assert operator("finish", flight_id).exit_code == 0
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    theirs.write_bytes(b"kept")
    out.mkdir()
    for *words, name in (
        ("marks", "export", "m.geojson"),
        ("settlements", "export", "--event", "Bão", "s.csv"),
        ("settlements", "export", "--event", "Bão", "s.gpkg"),
        ("changes", "export", "--event", "Bão", "c.csv"),
        ("changes", "impact", "--event", "Bão", "--csv", "i.csv"),
        ("report", flight_id, "r.pdf"),
        ("export", flight_id, "e.tif"),
        ("inspect", drill.photos, "--no-pixels", "--refly", "k.kml"),
        ("bundle", "write", "b.fcb"),
    ):
        for planted in (name, f".{name}.part", f"{name}.writing"):
            (out / planted).symlink_to(theirs)
        said = operator(*words, out / name)
        assert said.exit_code == 0, (words, said.sentence)
        assert theirs.read_bytes() == b"kept", words
        assert (out / name).is_file() and not (out / name).is_symlink(), words
    assert json.loads((out / "m.geojson").read_text("utf-8"))["type"] == "FeatureCollection"
