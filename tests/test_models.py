"""The data folder is found where it is."""

from __future__ import annotations

from flycam.config import find_models_dir


def test_models_hold_what_the_rooms_read() -> None:
    folder = find_models_dir()
    assert {p.name for p in folder.iterdir() if p.is_dir()} >= {"cameras", "geoid"}
    assert (folder / "geoid" / "README.md").is_file()
    assert sum(p.stat().st_size for p in (folder / "geoid").iterdir()) < 600_000
