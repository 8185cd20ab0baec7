"""Uploads over HTTP: the protocol, who may do what, and what attackers send."""

from __future__ import annotations

import base64
import gzip
import hashlib
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from flycam.http.guards import Services
from flycam.http.protocol import MAX_LARGE_BYTES
from flycam.ingest.upload.memory_card import SkippedFiles
from flycam.ingest.upload.routes import build_upload_status
from flycam.ingest.upload.service import UploadService
from flycam.ingest.upload.upload import Upload, UploadFile
from flycam.model.access import Role
from flycam.storage import keys
from flycam.workspace import Workspace
from tests import waiting
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace

TUS = {"Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream"}
LAN, MINH, ADMIN = "lan-token", "minh-token", "admin-token"
DATA = bytes(range(256)) * 40
CARD: dict[str, Any] = {
    "files": [{"path": "DCIM/DJI_0001.JPG", "size": len(DATA), "modified_ms": 1}],
    "folder": "Bản Lầu",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path)
    add_account(workspace, "Lan", Role.OPERATOR, LAN)
    add_account(workspace, "Minh", Role.ANALYST, MINH)
    add_account(workspace, "Quản trị", Role.ADMIN, ADMIN)
    return workspace


@pytest.fixture
def services(workspace: Workspace, tmp_path: Path) -> Services:
    return Services(workspace=workspace, uploads_dir=tmp_path / "uploads")


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with running(services) as url:
        yield url


def as_(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {token}"})


def open_upload(client: httpx.Client, card: dict[str, Any] = CARD) -> str:
    answer = client.post("/api/uploads", json=card)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["upload_id"])


def patch(client: httpx.Client, path: str, data: bytes, at: int, **headers: str) -> httpx.Response:
    return client.patch(path, content=data, headers={**PATCH, "Upload-Offset": str(at), **headers})


def offset(client: httpx.Client, path: str) -> int:
    return int(client.head(path, headers=TUS).headers["upload-offset"])


def until(client: httpx.Client, upload_id: str, key: str, value: object) -> dict[str, Any]:
    """What is said of an upload once it says that."""
    fields: dict[str, Any] = {}

    def is_so() -> bool:
        fields.update(client.get(f"/api/uploads/{upload_id}").json())
        return bool(fields[key] == value)

    waiting.until(is_so, lambda: fields, every_s=0.05)
    return fields


def until_written(url: str, path: str) -> None:
    """Until somebody adds to a file (423), so that the server has begun to hear him."""
    with as_(url, LAN) as other:
        waiting.until(lambda: patch(other, path, b"x", 1).status_code == 423)


def checksum(data: bytes) -> str:
    return f"sha256 {base64.b64encode(hashlib.sha256(data).digest()).decode()}"


def test_a_file_in_two_pieces_is_saved_under_its_hash(url: str, workspace: Workspace) -> None:
    with as_(url, LAN) as client:
        upload_id = open_upload(client)
        path = f"/files/{upload_id}/0"
        first = patch(client, path, DATA[:1000], 0)
        assert (first.status_code, first.headers["upload-offset"]) == (204, "1000")
        assert first.headers["tus-resumable"] == "1.0.0" and "upload-expires" in first.headers
        fields = client.get(f"/api/uploads/{upload_id}").json()
        assert (fields["stage"], fields["saved"], fields["bytes_received"]) == ("receiving", False, 1000)
        assert patch(client, path, DATA[500:], 500).status_code == 409
        assert patch(client, path, DATA[1000:], 1000, **{"Upload-Checksum": checksum(DATA[1000:])}).is_success
        fields = until(client, upload_id, "saved", True)
        assert (fields["bytes_stored"], fields["stage"]) == (len(DATA), "laying")
        digest = hashlib.sha256(DATA).hexdigest()
        assert client.get(f"/api/uploads/{upload_id}/files").json()["parts"][0]["sha256"] == digest
    assert workspace.store.get(keys.format_original_key(digest)) == DATA


def test_bytes_that_came_changed_do_not_count(url: str) -> None:
    with as_(url, LAN) as client:
        path = f"/files/{open_upload(client)}/0"
        changed = patch(client, path, b"x" + DATA[1:], 0, **{"Upload-Checksum": checksum(DATA)})
        assert changed.status_code == 460
        assert offset(client, path) == 0
        assert patch(client, path, DATA, 0, **{"Upload-Checksum": checksum(DATA)}).status_code == 204


def test_a_plain_tus_client_announces_its_file(url: str) -> None:
    with as_(url, LAN) as client:
        able = client.options("/files")
        assert able.headers["tus-extension"] == "creation,checksum,expiration"
        name = base64.b64encode("ảnh 1.jpg".encode()).decode()
        fields = {**TUS, "Upload-Length": "5", "Upload-Metadata": f"filename {name},filetype aW1n"}
        made = client.post("/files", headers=fields)
        assert made.status_code == 201
        assert patch(client, made.headers["location"], b"12345", 0).headers["upload-offset"] == "5"
        upload_id = open_upload(client)
        name = base64.b64encode(b"DCIM/DJI_0001.JPG").decode()
        of = base64.b64encode(upload_id.encode()).decode()
        fields = {**TUS, "Upload-Length": str(len(DATA)), "Upload-Metadata": f"filename {name},upload {of}"}
        assert client.post("/files", headers=fields).headers["location"] == f"/files/{upload_id}/0"


def test_heads_come_together_and_count_as_first_bytes(url: str) -> None:
    card = {"files": [{"path": f"{n}.jpg", "size": 100, "modified_ms": 1} for n in range(3)]}
    with as_(url, LAN) as client:
        upload_id = open_upload(client, card)
        heads = b"".join(struct.pack(">II", n, 10 + n) + bytes([n]) * (10 + n) for n in range(3))
        where, kind = f"/api/uploads/{upload_id}/heads", {"Content-Type": "application/vnd.flycam.heads"}
        fields = client.post(where, content=heads, headers=kind)
        assert fields.json() == {"numbers": [0, 1, 2], "offsets": [10, 11, 12]}
        assert client.post(where, content=heads, headers=kind).json()["offsets"] == [10, 11, 12]
        for bad in (heads[:-1], heads + b"\0", struct.pack(">II", 0, 101) + b"x" * 101):
            assert client.post(where, content=bad, headers=kind).status_code == 400
        assert client.post(where, content=struct.pack(">II", 9, 1) + b"x", headers=kind).status_code == 404
        assert client.post(where, content=heads).status_code == 415
        packed = {**kind, "Content-Encoding": "gzip"}
        assert client.post(where, content=gzip.compress(heads), headers=packed).json()["offsets"][2] == 12
        for bad, status in (
            (gzip.compress(b"\0" * 200_000_000), 413),  # 200 kB that become 200 MB
            (gzip.compress(heads)[:-9], 400),
            (heads, 400),
        ):
            assert client.post(where, content=bad, headers=packed).status_code == status
        brotli = {**kind, "Content-Encoding": "br"}
        assert client.post(where, content=heads, headers=brotli).status_code == 415


def test_a_token_taken_away_in_the_middle_of_a_body(url: str, workspace: Workspace) -> None:
    """What was acknowledged stays; the next piece is refused."""
    size = 16 << 20
    with as_(url, LAN) as client:
        upload_id = open_upload(client, {"files": [{"path": "a.jpg", "size": size, "modified_ms": 1}]})

        def slowly() -> Iterator[bytes]:
            for n in range(16):
                if n == 2:
                    until_written(url, f"/files/{upload_id}/0")
                    workspace.catalog.accounts.remove("Lan", "test", 0)
                yield b"x" * (1 << 20)
                time.sleep(0.25)

        with suppress(httpx.NetworkError, httpx.RemoteProtocolError):  # the server may have closed the line
            refused = client.patch(
                f"/files/{upload_id}/0", content=slowly(), headers={**PATCH, "Upload-Offset": "0"}
            )
            assert refused.status_code == 401
    with as_(url, ADMIN) as admin:
        assert 0 < offset(admin, f"/files/{upload_id}/0") < size


def test_two_photos_of_one_name_and_size_are_two(url: str, workspace: Workspace) -> None:
    """A tus client says no time: the second creation is another resource. Both are in the audit log."""
    name = base64.b64encode(b"DJI_0001.JPG").decode()
    fields = {**TUS, "Upload-Length": "5", "Upload-Metadata": f"filename {name}"}
    with as_(url, LAN) as client:
        places = [client.post("/files", headers=fields).headers["location"] for _ in range(2)]
        assert len(set(places)) == 2
        assert patch(client, places[0], b"12345", 0).is_success
        assert offset(client, places[1]) == 0
        assert patch(client, places[1], b"abcde", 0).is_success
        timeless = {"files": [{"path": "DJI_0001.JPG", "size": 5}]}
        assert client.post("/api/uploads", json=timeless).status_code == 422
        upload_id = open_upload(client)
        assert open_upload(client) == upload_id
    begun = [one.subject for one in workspace.catalog.audit.lines() if one.what == "upload"]
    assert begun == [*(place.split("/")[2] for place in places), upload_id]


def test_names_that_lead_elsewhere(url: str, services: Services) -> None:
    assert services.uploads_dir is not None
    with as_(url, LAN) as client:
        names = ("../../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "x.zip", "a\x00.jpg", ".x.jpg")
        for number, name in enumerate(names):
            alone = {"files": [{"path": name, "size": 1, "modified_ms": 1}]}
            assert client.post("/api/uploads", json=alone).status_code == 422
            encoded = base64.b64encode(name.encode()).decode()
            creation = {**TUS, "Upload-Length": "1", "Upload-Metadata": f"filename {encoded}"}
            assert client.post("/files", headers=creation).status_code == 422
            files = [{"path": f"{number}.jpg", "size": 1, "modified_ms": 1}]
            upload_id = open_upload(client, {"files": files, "folder": name})
            folder = {path.name for path in (services.uploads_dir / upload_id).iterdir()}
            assert folder >= {"manifest.json", "card"}
    places = [path for path in services.uploads_dir.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(services.uploads_dir) for path in places)


def test_an_upload_is_its_senders_and_the_administrators(url: str) -> None:
    """What each role may do at all is in tests/access."""
    with as_(url, LAN) as lan, as_(url, MINH) as minh, as_(url, ADMIN) as admin:
        upload_id = open_upload(lan)
        for method, path in (
            ("HEAD", f"/files/{upload_id}/0"),
            ("GET", f"/api/uploads/{upload_id}/files"),
            ("POST", f"/api/uploads/{upload_id}/lay"),
            ("DELETE", f"/api/uploads/{upload_id}"),
        ):
            assert minh.request(method, path, headers=TUS).status_code == 404
        assert minh.get("/api/uploads").json() == []
        assert [one["upload_id"] for one in admin.get("/api/uploads").json()] == [upload_id]
        assert open_upload(minh) != upload_id
        assert lan.delete(f"/api/uploads/{upload_id}").status_code == 204
        assert lan.head(f"/files/{upload_id}/0", headers=TUS).status_code == 404


def test_a_photo_that_came_cut_off_keeps_the_card_by_its_name(url: str, services: Services) -> None:
    """All of its bytes are here, yet what is missing may be whole on the card; also after a restart."""
    written, jpeg = cv2.imencode(".jpg", np.random.default_rng(7).integers(0, 255, (64, 96, 3), np.uint8))
    assert written
    photos = {"DCIM/whole.JPG": jpeg.tobytes(), "DCIM/cut.JPG": jpeg.tobytes()[:-700], "b.MP4": b"\0" * 9}
    files = [{"path": path, "size": len(data), "modified_ms": 1} for path, data in photos.items()]
    with as_(url, LAN) as client:
        fields = client.post("/api/uploads", json={"files": files}).json()
        assert fields["passed_over"] == 0
        for part in fields["parts"]:
            sent = patch(client, f"/files/{fields['upload_id']}/{part['number']}", photos[part["path"]], 0)
            assert sent.status_code == 204
        saved = until(client, fields["upload_id"], "saved", True)
    named = [one["sentence"].partition(":")[0] for one in saved["passed_over_said"]]
    assert (saved["passed_over"], named) == (2, ["DCIM/cut.JPG", "b.MP4"])
    assert services.uploads_dir is not None
    again = Upload(services.uploads_dir / fields["upload_id"])
    assert again.is_saved and again.missing_files.count == 2


def test_no_answer_says_saved_without_the_damaged_file_that_was_last(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted as stored, and damaged, while the answer is being made."""
    reception = UploadService(services)
    reception.start()
    upload = reception.uploads.open("Lan", [UploadFile(path="a.jpg", size=4, modified_ms=1)])
    none_yet = upload.missing_files

    def store_last(upload: Upload) -> SkippedFiles:
        upload.note_stored(0, "0" * 64, is_damaged=True)
        return none_yet

    with monkeypatch.context() as patched:
        patched.setattr(Upload, "missing_files", property(store_last))
        meanwhile = build_upload_status(reception, upload)
    after = build_upload_status(reception, upload)
    reception.stop()
    assert (meanwhile.saved, meanwhile.stage, meanwhile.passed_over) == (False, "receiving", 0)
    assert (after.saved, after.stage, after.passed_over) == (True, "laying", 1)


def test_words_that_make_no_sense(url: str) -> None:
    with as_(url, LAN) as client:
        path = f"/files/{open_upload(client)}/0"
        assert client.head(path).status_code == 412
        assert client.head(path, headers={"Tus-Resumable": "0.2.2"}).status_code == 412
        assert client.patch(path, content=b"x", headers=TUS).status_code == 415
        for at in ("-1", "x", "1e3", "٣", "9" * 30):
            headers = {**PATCH, "Upload-Offset": at}
            answer = client.patch(path, content=b"x", headers={k: v.encode() for k, v in headers.items()})
            assert answer.status_code == 400, at
        for text in ("md5 AAAA", "sha256", "sha256 ***"):
            assert patch(client, path, b"x", 0, **{"Upload-Checksum": text}).status_code == 400
        for other in (f"{path[:-1]}7", f"{path[:-1]}-1", "/files/../../etc/passwd/0", "/files/x/0"):
            assert client.head(other, headers=TUS).status_code == 404
        for fields in ({"Upload-Metadata": "filename ***"}, {"Upload-Length": "9" * 14}, {}):
            assert client.post("/files", headers={**TUS, **fields}).status_code in (400, 413, 422)


def test_bodies_larger_than_was_announced(url: str) -> None:
    with as_(url, LAN) as client:
        path = f"/files/{open_upload(client)}/0"
        assert patch(client, path, DATA + b"x", 0).status_code == 413

        def unsaid() -> Iterator[bytes]:
            for _ in range(4):
                yield DATA

        assert patch(client, path, unsaid(), 0).status_code == 413  # type: ignore[arg-type]
        assert offset(client, path) <= len(DATA)
        huge = b'{"files": [' + b" " * MAX_LARGE_BYTES + b"]}"
        kind = {"Content-Type": "application/json"}
        assert client.post("/api/uploads", content=huge, headers=kind).status_code == 413
        chunks = iter([huge])
        assert client.post("/api/login", content=chunks, headers=kind).status_code == 413
        many = {"files": [{"path": f"{n}.jpg", "size": 1, "modified_ms": 1} for n in range(5001)]}
        assert client.post("/api/uploads", json=many).status_code == 422


def test_a_flood_of_open_bodies_is_bounded(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    card = {"files": [{"path": f"{n}.jpg", "size": 1000, "modified_ms": 1} for n in range(40)]}

    def begun(n: int) -> socket.socket:
        line = socket.create_connection((host, int(port)))
        line.sendall(_request(f"/files/{upload_id}/{n}", 1000) + b"x")
        return line

    with as_(url, LAN) as client:
        upload_id = open_upload(client, card)
        lines = [begun(n) for n in range(32)]
        try:
            for at in range(300):  # until the server hears all of them
                time.sleep(0.1)
                busy = patch(client, f"/files/{upload_id}/35", b"y", at)
                if busy.status_code != 204:
                    break
                for answered in select.select(lines, [], [], 0)[0]:  # this one had the last place
                    n = lines.index(answered)
                    answered.close()
                    lines[n] = begun(n)
            assert (busy.status_code, busy.headers.get("retry-after")) == (429, "2"), (at, busy.text)
        finally:
            for line in lines:
                line.close()
        for _ in range(300):
            if patch(client, f"/files/{upload_id}/36", b"y", 0).status_code == 204:
                return
            time.sleep(0.1)
        raise AssertionError("the places were not given back")


def _request(path: str, length: int) -> bytes:
    lines = [
        f"PATCH {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {LAN}",
        "Tus-Resumable: 1.0.0",
        "Content-Type: application/offset+octet-stream",
        "Upload-Offset: 0",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
