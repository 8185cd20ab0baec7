"""What the sender of a card says while it waits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flycam.errors import InputUnusable, PeerUnavailable, SourceUnreadable
from flycam.http.client import MAX_REFUSALS, HttpReply, ServerConnection
from flycam.ingest.photos.photo_search import FileKind
from flycam.ingest.upload import client as upload_client
from flycam.ingest.upload.memory_card import (
    NO_SKIPPED_FILES,
    MemoryCard,
    SkippedFiles,
    UploadRequest,
    pack_heads,
)
from flycam.messages import Message, verbatim


class AnsweringLine(ServerConnection):
    """Hears the answers it is given, one after the other."""

    def __init__(self, language: str, answers: list[dict[str, object]]) -> None:
        self.head_argument: list[str] = []
        super().__init__("http://server", None, 10.0, language, self.head_argument.append)
        self._answers = answers

    def request_once(self, method: str, path: str, body: bytes | None = None, **headers: str) -> HttpReply:
        return HttpReply(200, {}, json.dumps(self._answers.pop(0)).encode())


@pytest.mark.parametrize("page", [b"<html>Sign in to the hotel's network", b"[]", b"null", b"[" * 99_999])
def test_an_answer_that_is_not_flycams_is_said_to_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: bytes
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    monkeypatch.setattr(ServerConnection, "request_once", lambda *_, **__: HttpReply(200, {}, page))
    with pytest.raises(PeerUnavailable, match="not from flycam: sign in to the network"):
        upload_client.send_card(UploadRequest(url="http://server", paths=(tmp_path,)))


ANNOUNCED = {"upload_id": "u", "saved": False}
LAID = {"stage": "laid", "laid": {}, "progress": None, "passed_over": 0, "passed_over_said": []}
PART = {"number": 0, "path": "a.srt", "size": 10, "offset": 0}


@pytest.mark.parametrize(
    "answers",
    [
        [{}],
        [{**ANNOUNCED, "parts": 1}],
        [{**ANNOUNCED, "parts": [{**PART, "path": "../../etc/passwd"}]}],
        [{**ANNOUNCED, "parts": [{**PART, "offset": "0"}]}],
        [{**ANNOUNCED, "saved": True, "parts": []}, {**LAID, "passed_over_said": [{}]}],
        [{**ANNOUNCED, "parts": []}, {}],
        [{**ANNOUNCED, "parts": []}, {"saved": False, "stored": []}],
        [{**ANNOUNCED, "parts": []}, {"saved": True, "stored": 0}, {"parts": [{}]}],
        [{**ANNOUNCED, "saved": True, "parts": []}, {**LAID, "stage": "failed"}],
        [{**ANNOUNCED, "saved": True, "parts": []}, {**LAID, "stage": "laying", "progress": [1]}],
    ],
)
def test_an_answer_of_another_shape_is_said_to_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, object]]
) -> None:
    (tmp_path / "a.srt").write_bytes(b"1234567890")
    line = AnsweringLine("en", answers)
    line.request_once = lambda method, path, *_, **__: (  # type: ignore[method-assign]
        HttpReply(404, {}, b"") if path.endswith("/look") else AnsweringLine.request_once(line, method, path)
    )
    monkeypatch.setattr(upload_client, "ServerConnection", lambda *_, **__: line)
    with pytest.raises(PeerUnavailable, match="not from flycam"):
        upload_client.send_card(UploadRequest(url="http://server", paths=(tmp_path,)))
    assert not answers


@pytest.mark.parametrize("status", [204, 409, 460])
def test_a_server_that_takes_nothing_is_given_up_after_pauses(tmp_path: Path, status: int) -> None:
    (tmp_path / "a.srt").write_bytes(b"1234567890")
    card = MemoryCard(UploadRequest(url="http://server", paths=(tmp_path,)))
    (part,) = card.list_files({"parts": [PART]})
    line, pauses = AnsweringLine("en", []), list[float]()
    line.sleep = pauses.append  # type: ignore[method-assign]
    line.request_once = lambda method, *_, **__: HttpReply(  # type: ignore[method-assign]
        status if method == "PATCH" else 200, {"Upload-Offset": "0"}, b""
    )
    with pytest.raises(PeerUnavailable, match="restart flycam there"):
        upload_client._send_file(line, "u", part, {})
    assert len(pauses) == MAX_REFUSALS and pauses == sorted(pauses) and sum(pauses) > 300


def test_a_card_is_sent_as_it_is_but_for_what_nobody_works_on(tmp_path: Path) -> None:
    """What is left is said with the reason; hidden files of films too."""
    for name in ("b.SRT", "a.MP4", "c.jpg", "x.bin", "notes.txt", "._a.MP4", "a.LRF", "raw.dng"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff" if name == "c.jpg" else b"some bytes")
    (tmp_path / "empty.srt").touch()
    card = MemoryCard(UploadRequest(url="http://server", paths=(tmp_path,)))
    announced = json.loads(card.build_announcement())["files"]
    assert {one["path"] for one in announced} == {"a.MP4", "b.SRT", "c.jpg", "x.bin"}
    parts = [{**one, "number": n, "offset": 0} for n, one in enumerate(announced)]
    kinds = {part.path.name: part.kind for part in card.list_files({"parts": parts})}
    assert kinds == {
        "a.MP4": FileKind.FILM,
        "b.SRT": FileKind.LOG,
        "c.jpg": FileKind.PHOTO,
        "x.bin": FileKind.LOG,
    }
    left = {path.name: why for path, why in card.skipped}
    assert set(left) == {"notes.txt", "._a.MP4", "a.LRF", "raw.dng", "empty.srt"}
    assert left["empty.srt"] == "empty (0 bytes)" and card.passed_over == ()


def test_a_card_with_names_as_disks_write_them(tmp_path: Path) -> None:
    """Accents in two signs (macOS) go as the server calls them; bytes that are no text stay and are named."""
    (tmp_path / "a\u0309nh.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / os.fsdecode(b"c\xf4te.jpg")).write_bytes(b"\xff\xd8\xff")
    card = MemoryCard(UploadRequest(url="http://server", paths=(tmp_path,)))
    (announced,) = json.loads(card.build_announcement())["files"]
    assert announced["path"] == "ảnh.jpg"
    (part,) = card.list_files({"parts": [{**announced, "number": 0, "offset": 0}]})
    assert part.path.name == "a\u0309nh.jpg"
    (why,) = card.passed_over
    assert r"c\udcf4te.jpg: " in str(why) and "không phải UTF-8" in why.message.in_language("vi")


def test_a_photo_that_becomes_a_link_elsewhere_is_not_sent(tmp_path: Path) -> None:
    folder, secret = tmp_path / "card", tmp_path / "id_secret"
    folder.mkdir()
    secret.write_bytes(b"\xff\xd8\xff of somebody else")
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"\xff\xd8\xff of this card")
    (folder / "c.jpg").symlink_to("b.jpg")
    card = MemoryCard(UploadRequest(url="http://server", paths=(folder,)))
    announced = json.loads(card.build_announcement())["files"]
    parts = card.list_files({"parts": [{**one, "number": n, "offset": 0} for n, one in enumerate(announced)]})
    assert [body for _, body in pack_heads(parts)]
    (folder / "a.jpg").unlink()
    (folder / "a.jpg").symlink_to(secret)
    with pytest.raises(SourceUnreadable):
        list(pack_heads(parts))
    line = AnsweringLine("en", [])
    with pytest.raises(SourceUnreadable):
        upload_client._send_file(line, "x", parts[0], {})


def test_what_holds_a_card_up_on_the_server_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_client, "_POLL_S", 0.0)
    goes_on = {**LAID, "saved": False, "stored": 0, "stage": "laying"}
    waits = {**goes_on, "waits_for": {"sentence": "it is away", "sentence_vi": "kho đi vắng"}}
    goes_on["waits_for"] = None
    keeping = AnsweringLine("vi", [waits, waits, goes_on, {**goes_on, "saved": True}, {"parts": []}])
    upload_client._check_saved(keeping, "x", [], lambda *_: None, lambda: None)
    laying = AnsweringLine("vi", [waits, goes_on, {**goes_on, "stage": "laid", "laid": {"used": 1}}])
    made = upload_client._wait_for_map(laying, "x", lambda *_: None, lambda: None, NO_SKIPPED_FILES)
    assert made == ({"used": 1}, NO_SKIPPED_FILES)
    (one,), (other,) = keeping.head_argument, laying.head_argument
    assert one.in_language("vi") == other.in_language("vi") == "http://server: kho đi vắng"


@pytest.mark.parametrize("stage", ["laid", "failed"])
def test_files_on_the_card_alone_are_named_whether_or_not_the_flight_is_on_the_map(stage: str) -> None:
    """Found damaged on the server, or not sent at all: no answer says that all files are safe."""
    cut, why = ({"sentence": one, "sentence_vi": one} for one in ("DCIM/cut.JPG: damaged", "no photo"))
    line = AnsweringLine(
        "en", [{**LAID, "stage": stage, "laid": why, "passed_over": 1, "passed_over_said": [cut]}]
    )
    unsent = SkippedFiles(count=1, said=(verbatim("a:b.JPG: this name has ':'"),))
    try:
        _, missing = upload_client._wait_for_map(line, "x", lambda *_: None, lambda: None, unsent)
    except InputUnusable as error:
        assert stage == "failed"
        assert str(error) == "a:b.JPG: this name has ':'; DCIM/cut.JPG: damaged; no photo"
    else:
        assert stage == "laid" and missing.count == 2
        assert [str(one).partition(": ")[0] for one in missing.said] == ["a:b.JPG", "DCIM/cut.JPG"]


def test_what_the_heads_say_is_told_once_and_again_where_a_log_says_more() -> None:
    first = {"usable": 0, "awaits_logs": True, "seconds": 1.0}
    same = {"usable": 0, "awaits_logs": True, "seconds": 2.0}
    more = {"usable": 6, "awaits_logs": False, "seconds": 1.5}
    shown: list[dict[str, object]] = []
    tell = upload_client._Teller(AnsweringLine("en", [first, same, more]), "x", shown.append)
    for _ in range(5):
        tell()
    assert shown == [first, more] and tell.look == more


def test_a_name_that_stands_for_nothing_is_noted_once() -> None:
    noted: list[Message] = []
    line = ServerConnection("http://no-such-server.invalid:8000", None, 0.0, "vi", noted.append)
    with pytest.raises(PeerUnavailable, match="check the address"):
        line.request("GET", "/")
    assert len(noted) == 1


def test_a_photo_without_bytes_is_named_and_not_called_no_photo(tmp_path: Path) -> None:
    """It may still be got back from the card: the command ended as if all was on the server."""
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    for name in ("b.jpg", "c.MP4"):
        (tmp_path / name).touch()
    card = MemoryCard(UploadRequest(url="http://server", paths=(tmp_path,)))
    assert [one["path"] for one in json.loads(card.build_announcement())["files"]] == ["a.jpg"]
    assert {str(one).split(":")[0] for one in card.passed_over} == {"b.jpg", "c.MP4"}
    assert not card.skipped
