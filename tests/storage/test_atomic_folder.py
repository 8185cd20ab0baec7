"""A folder is there whole or not at all, and nothing but its own kind is replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flycam.errors import InputUnusable
from flycam.storage.files import lock_folder, replace_folder

PROOF = "proof"


def _stranger_in(folder: Path) -> str | None:
    return next((one.name for one in folder.iterdir() if not (folder / PROOF).exists()), None)


def _write(out: Path, text: str) -> None:
    with replace_folder(out, _stranger_in) as folder:
        (folder / PROOF).write_text(text)


def test_it_is_seen_when_it_is_whole_and_replaces_an_older_one(tmp_path: Path) -> None:
    out = tmp_path / "bộ tài liệu"
    with replace_folder(out, _stranger_in) as folder:
        (folder / PROOF).write_text("1")
        assert not out.exists()
    (out / "of the first").touch()
    _write(out, "2")
    assert [one.name for one in out.iterdir()] == [PROOF]
    assert (out / PROOF).read_text() == "2"
    assert [one.name for one in tmp_path.iterdir()] == [out.name]


def test_what_fails_leaves_the_older_one_and_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "pack"
    _write(out, "1")
    with pytest.raises(ZeroDivisionError), replace_folder(out, _stranger_in) as folder:
        (folder / PROOF).write_text("2")
        raise ZeroDivisionError
    assert (out / PROOF).read_text() == "1"
    assert [one.name for one in tmp_path.iterdir()] == ["pack"]


def test_other_things_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    (tmp_path / "file").touch()
    beside = tmp_path / "photos" / ".."
    for out in (tmp_path / "photos", tmp_path / "file", tmp_path / "none" / "pack", beside, Path("/")):
        with pytest.raises(InputUnusable), replace_folder(out, _stranger_in):
            pass
    assert (tmp_path / "photos" / "a.jpg").exists()
    (tmp_path / "empty").mkdir()
    _write(tmp_path / "empty", "1")


def test_a_link_stays_and_leads_to_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    real, link = tmp_path / "stick" / "pack", tmp_path / "pack"
    _write(real, "1")
    link.symlink_to(real)
    _write(link, "2")
    assert link.is_symlink()
    assert (real / PROOF).read_text() == "2"
    assert {one.name for one in (*tmp_path.iterdir(), *real.parent.iterdir())} == {"stick", "pack"}


def test_what_killed_runs_left_is_put_in_order(tmp_path: Path) -> None:
    """One killed while it wrote, one between the two renames; one that lives is left alone."""
    out = tmp_path / "pack"
    (tmp_path / ".pack.dead.part").mkdir()
    (tmp_path / ".pack.alive.part").mkdir()
    (tmp_path / ".pack.old").mkdir()
    (tmp_path / ".pack.old" / PROOF).write_text("1")
    held = lock_folder(tmp_path / ".pack.alive.part")
    try:
        with pytest.raises(ZeroDivisionError), replace_folder(out, _stranger_in):
            raise ZeroDivisionError
        assert (out / PROOF).read_text() == "1"
        assert sorted(one.name for one in tmp_path.iterdir()) == [".pack.alive.part", "pack"]
    finally:
        os.close(held)


def _only_proof(folder: Path) -> str | None:
    return next((one.name for one in folder.iterdir() if one.name != PROOF), None)


def test_what_is_saved_into_the_older_one_meanwhile_is_not_lost(tmp_path: Path) -> None:
    out = tmp_path / "pack"
    with replace_folder(out, _only_proof) as folder:
        (folder / PROOF).write_text("1")
    with pytest.raises(InputUnusable, match=r"report\.docx"), replace_folder(out, _only_proof) as folder:
        (folder / PROOF).write_text("2")
        (out / "report.docx").write_text("written by hand")
    assert (out / "report.docx").read_text() == "written by hand"
    assert (out / PROOF).read_text() == "1"


def test_what_a_killed_run_set_aside_is_deleted_only_where_nobody_wrote_into_it(tmp_path: Path) -> None:
    out, aside = tmp_path / "pack", tmp_path / ".pack.old"
    for note in (False, True):
        aside.mkdir()
        (aside / PROOF).write_text("older")
        if note:
            (aside / "report.docx").write_text("written by hand")
        with replace_folder(out, _only_proof) as folder:
            (folder / PROOF).write_text("new")
        assert not aside.exists()
    kept = [one for one in tmp_path.iterdir() if one != out]
    assert [one.name.startswith("pack.old-") for one in kept] == [True]
    assert (kept[0] / "report.docx").read_text() == "written by hand"
