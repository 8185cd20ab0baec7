"""What went to a peer is kept so that it is found again; what cannot be kept costs bytes and no more."""

from __future__ import annotations

from pathlib import Path

from flycam.sync.step_planner import SentRecordCache

A, B, C, D, E = (letter * 64 for letter in "abcde")


def test_they_are_there_again_in_their_order(tmp_path: Path) -> None:
    sent = SentRecordCache(tmp_path)
    sent.keep("bay.1", A, b"a")
    sent.keep("bay.1", B, b"b")
    sent.keep("bay.1", A, b"a")
    sent.keep("f2", C, b"c")
    again = SentRecordCache(tmp_path)
    assert (again.list_sha256("bay.1"), again.list_sha256("f2"), again.list_sha256("f3")) == ([A, B], [C], [])


def test_one_that_is_not_whole_is_none(tmp_path: Path) -> None:
    sent = SentRecordCache(tmp_path)
    name = "61be55a8e2f6b4e172338bddf184d6dbee29c98853e0a0485ecee7f27b9af0b4"  # of "aaaa"
    sent.keep("f1", name, b"aaaa")
    assert sent.read("f1", name) == b"aaaa"
    (file,) = (tmp_path / "sent").iterdir()
    file.write_bytes(b"aaa")
    assert sent.read("f1", name) is None
    file.unlink()
    assert sent.read("f1", name) is None
    assert sent.read("f1", B) is None


def test_of_too_many_the_oldest_stays(tmp_path: Path) -> None:
    sent = SentRecordCache(tmp_path)
    for name in (A, B, C, D, E):
        sent.keep("f1", name, b"")
    assert sent.list_sha256("f1") == SentRecordCache(tmp_path).list_sha256("f1") == [A, C, D, E]


def test_of_one_that_is_there_no_other_is_needed(tmp_path: Path) -> None:
    sent = SentRecordCache(tmp_path)
    for name in (A, B, C):
        sent.keep("f1", name, b"")
    sent.keep_only("f1", B, b"")
    assert sent.list_sha256("f1") == SentRecordCache(tmp_path).list_sha256("f1") == [B]
    sent.keep_only("f1", D, b"")
    assert sent.list_sha256("f1") == SentRecordCache(tmp_path).list_sha256("f1") == [D]


def test_a_folder_that_takes_nothing_is_as_if_nothing_had_gone(tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"a file stands there")
    sent = SentRecordCache(tmp_path)
    sent.keep("f1", A, b"")
    sent.keep_only("f1", B, b"")
    assert sent.list_sha256("f1") == []


def test_what_else_lies_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "notes.txt").write_bytes(b"")
    sent = SentRecordCache(tmp_path)
    sent.keep_only("notes", A, b"")
    assert (tmp_path / "sent" / "notes.txt").exists()
