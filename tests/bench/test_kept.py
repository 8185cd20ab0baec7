"""What is kept is named by all that it was made from, and is there whole or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import change_scenes, kept
from bench.change_scenes import Scene
from bench.kept import key_of, made_once

SCENE = Scene(seed=7, side_m=60.0, gsd_m=1.0, relief_m=100.0, storm=False)


def test_another_parameter_or_another_drill_has_another_name(monkeypatch):
    name = key_of(seed=1, gsd_m=0.25)
    assert key_of(gsd_m=0.25, seed=1) == name
    assert key_of(seed=1, gsd_m=0.5) != name
    monkeypatch.setattr(kept, "code_of", lambda _folder: b"another")
    assert key_of(seed=1, gsd_m=0.25) != name


def test_what_fails_half_way_leaves_nothing_under_its_name(tmp_path):
    def half(out):
        out.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once(tmp_path / "a.bin", half)
    assert not (tmp_path / "a.bin").exists()
    made = made_once(tmp_path / "a.bin", lambda out: out.write_bytes(b"whole"))
    assert made.read_bytes() == b"whole"
    assert made_once(tmp_path / "a.bin", half).read_bytes() == b"whole"


@pytest.mark.parametrize("other", [{"side_m": 40.0}, {"gsd_m": 2.0}, {"relief_m": 50.0}, {"storm": True}])
def test_scenes_of_one_seed_are_kept_apart(tmp_path, monkeypatch, other):
    drawn = []
    monkeypatch.setattr(Scene, "views", lambda scene: drawn.append(scene) or scene.name)
    scenes = SCENE, replace(SCENE, **other), SCENE
    told = [change_scenes.kept(scene, tmp_path) for scene in scenes]
    assert drawn == list(scenes[:2])
    assert told[0] == told[2]
