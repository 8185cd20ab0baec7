from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from flycam.catalog.accounts import hash_token
from flycam.errors import AccessDenied, InputUnusable, SourceUnreadable, StoreUnavailable, format_error
from flycam.http.authenticator import Principal
from flycam.http.client import ServerConnection
from flycam.http.services import Services
from flycam.model.access import Account, Role
from flycam.operations.backup import save_backup
from flycam.operations.restore import restore_backup
from flycam.operations.verify import VERIFY_ALL, VerifyRequest, verify_objects
from flycam.storage import keys
from flycam.sync import client, server
from flycam.sync.client import Sender
from flycam.sync.exchange_merge import ApplyReport
from flycam.sync.manifest import ObjectKind, parse_missing_objects
from flycam.sync.node import SyncReport, TransferLimits
from flycam.sync.routes import StepReceiver
from flycam.sync.server import Spool, answer_inventory_query
from flycam.sync.step_planner import StepPlanner, SyncStep
from tests.serve.province import TOKENS, new_province, serving
from tests.serve.running import running
from tests.sync.boxes import Box, new_box
from tests.waiting import until

ADDRESSES = ("/api/session", "/api/flights", "/events", "/tiles/m/1/0/0", "/api/uploads", "/metrics")


@pytest.fixture
def province(tmp_path: Path) -> Box:
    return new_province(tmp_path)


@pytest.fixture
def address(province: Box, tmp_path: Path) -> Iterator[str]:
    with serving(province, tmp_path) as url:
        yield url


@pytest.fixture
def field(tmp_path: Path) -> Box:
    made = new_box(tmp_path, "field")
    made.lay({0, 1, 2})
    return made


def sync(box: Box, url: str, token: str | None = TOKENS[Role.BOX], patience_s: float = 20.0) -> SyncReport:
    line = ServerConnection(url, token, patience_s, "en", lambda _why: None, is_thin=True)
    sender = Sender(box.workspace, line, TransferLimits())
    sender.run_round()
    return sender.sent


def other_account(province: Box, name: str) -> str:
    """The token of one more box's account."""
    province.catalog.accounts.put(
        Account(name=name, role=Role.BOX, token_hash=hash_token(f"token-{name}"), created_ns=0)
    )
    return f"token-{name}"


def test_a_token_does_not_speak_in_another_boxs_name(
    address: str, province: Box, field: Box, tmp_path: Path
) -> None:
    sync(field, address)
    records = list(province.workspace.store.list(keys.format_peer_records_prefix("field")))
    stolen = other_account(province, "box-2")
    with pytest.raises(AccessDenied, match="another account than box-2"):
        sync(field, address, stolen)  # before and after it has a box of its own
    sync(new_box(tmp_path, "field-2"), address, stolen)
    with pytest.raises(AccessDenied, match="belongs to the box field-2"):
        sync(field, address, stolen)
    question = {"format": 1, "box": "field", "mosaics": [], "records": [], "terrain": [], "originals": []}
    by_stolen = {"Authorization": f"Bearer {stolen}"}
    said = httpx.post(f"{address}/api/sync", json=question, headers=by_stolen, timeout=60)
    assert (said.status_code, said.json()["error"]) == (403, "AccessDenied")
    assert list(province.workspace.store.list(keys.format_peer_records_prefix("field"))) == records != []


def first_step(field: Box, province: Box) -> SyncStep:
    """What a box sends first of what the province lacks."""
    giver = StepPlanner(field.workspace)
    lacking = parse_missing_objects(
        answer_inventory_query(province.workspace, giver.build_query(), "test"), "province"
    )
    giver.note_missing(lacking)
    return next(giver.steps(lacking, lambda: 8 << 20))


def test_a_step_in_another_boxs_name_is_refused_whole(
    address: str, province: Box, field: Box, tmp_path: Path
) -> None:
    sync(field, address)
    before = list(province.workspace.store.list(keys.format_cursor_prefix("field")))
    field.lay({0, 1, 2, 3})
    step = first_step(field, province)
    body = b"".join(step.blocks(0))
    headers = {
        "Authorization": f"Bearer {other_account(province, 'box-2')}",
        "Upload-Offset": "0",
        "Upload-Length": str(len(body)),
    }
    where = f"{address}/api/sync/steps/{step.sha256}?lang=vi"
    said = httpx.put(where, content=body, headers=headers, timeout=60)
    assert said.status_code == 403
    assert "tài khoản khác" in said.json()["message"]
    assert list(province.workspace.store.list(keys.format_cursor_prefix("field"))) == before
    assert not list((tmp_path / "arriving").rglob(f"{step.sha256}.part"))


def test_a_name_goes_over_when_its_account_is_a_boxs_no_more(address: str, province: Box, field: Box) -> None:
    sync(field, address)
    sync(field, address, TOKENS[Role.ADMIN])  # an administrator speaks for any box, and takes no name
    token = other_account(province, "box-2")
    with pytest.raises(AccessDenied):
        sync(field, address, token)
    province.catalog.accounts.put(
        Account(name="box", role=Role.BOX, token_hash=hash_token("renewed"), created_ns=7)
    )
    sync(field, address, "renewed")
    province.catalog.accounts.remove("box", "test", 0)
    sync(field, address, token)
    sync(field, address, token)


def test_the_audit_log_names_the_account_that_brought_a_withdrawal(
    address: str, province: Box, field: Box
) -> None:
    field.withdraw(1)
    sync(field, address)
    (line,) = [one for one in province.catalog.audit.lines() if one.what == "withdraw"]
    assert line.who == "box"
    assert line.detail == "told by field: 1 frames: shows a victim (lan)"


def test_a_box_hands_on_its_map(address: str, province: Box, field: Box) -> None:
    sent = sync(field, address)
    assert province.tiles() == field.tiles()
    assert sent.peer == "province"
    assert sync(field, address).steps == 0
    said = [(one.who, one.subject) for one in province.catalog.audit.lines() if one.what == "sync"]
    assert said == [("box", "field")]


def spoiled_of_others(box: Box, request: VerifyRequest = VERIFY_ALL) -> set[str]:
    """What other boxes gave, or said, that is not whole here."""
    found = {one.item.key for one in verify_objects(box.workspace, request).unrepaired}
    return {key for key in found if key.startswith(keys.format_sync_prefix())}


def test_who_speaks_for_a_box_is_held_whole_saved_and_put_back(
    address: str, province: Box, field: Box, tmp_path: Path
) -> None:
    sync(field, address)
    known = [keys.format_node_account_key("field"), keys.format_account_node_key("box")]
    assert spoiled_of_others(province) == set()
    saved = save_backup(province.workspace, tmp_path / "saved").manifest
    assert saved.missing == ("terrain/dem-1.terrain",), "these boxes have no terrain"
    again = new_box(tmp_path, "province")
    restore_backup(again.workspace, tmp_path / "saved")
    with serving(again, tmp_path / "again") as url, pytest.raises(AccessDenied, match="another account"):
        sync(field, url, other_account(again, "box-2"))
    assert [again.workspace.store.get(key) for key in known] == [b"box", b"field"]
    for key, spoiled in zip(known, (b"", b"\xff\x00"), strict=True):
        province.workspace.store.put(key, spoiled)
    assert spoiled_of_others(province) == set(known)
    assert spoiled_of_others(province, VerifyRequest(source=tmp_path / "saved")) == set()
    assert [province.workspace.store.get(key) for key in known] == [b"box", b"field"]


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_box_reaches_nothing_else(address: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {TOKENS[Role.BOX]}"}
    assert httpx.get(f"{address}{path}", headers=headers, timeout=60).status_code in (401, 403)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ANALYST])
def test_other_roles_send_nothing(address: str, field: Box, role: Role) -> None:
    with pytest.raises(AccessDenied, match="role box") as caught:
        sync(field, address, TOKENS[role])
    assert str(format_error(caught.value)).count("Not allowed") == 1, (
        "by whoever says it, and not by the server too"
    )


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_wrong_token_is_said(address: str, field: Box, token: str | None) -> None:
    with pytest.raises(AccessDenied, match="token with --token-file or FLYCAM_TOKEN"):
        sync(field, address, token)


def test_a_token_that_is_revoked_ends_it(address: str, field: Box, province: Box) -> None:
    sync(field, address)
    province.catalog.accounts.remove("box", "test", 0)
    field.lay({0, 1, 2, 3})
    with pytest.raises(AccessDenied, match="revoked"):
        for _ in range(200):  # an answer about a token is kept for two seconds
            sync(field, address)
            time.sleep(0.05)


def test_a_server_of_another_version_is_said(
    address: str, field: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.StepPlanner, "build_query", lambda _self: {"format": 99})
    with pytest.raises(InputUnusable, match="version"):
        sync(field, address)


def test_a_server_that_takes_nothing_in_is_said(province: Box, field: Box) -> None:
    with running(Services(workspace=province.workspace)) as url, pytest.raises(InputUnusable):
        sync(field, url)


def test_nobody_there_is_said(field: Box) -> None:
    with pytest.raises(StoreUnavailable, match="run the same command again"):
        sync(field, "http://127.0.0.1:9", patience_s=0.5)


def test_a_full_disk_takes_records_and_views_and_no_tiles(
    address: str, province: Box, field: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [900 << 20]
    monkeypatch.setattr(server, "get_free_bytes", lambda _folder: free[0])
    giver = StepPlanner(field.workspace)
    lacking = parse_missing_objects(
        answer_inventory_query(province.workspace, giver.build_query(), "test"), "province"
    )
    giver.note_missing(lacking)

    def put(step: SyncStep, at: int = 0) -> int:
        body = b"".join(step.blocks(at))
        headers = {
            "Authorization": f"Bearer {TOKENS[Role.BOX]}",
            "Upload-Offset": str(at),
            "Upload-Length": str(step.size_bytes),
        }
        where = f"{address}/api/sync/steps/{step.sha256}"
        return httpx.put(where, content=body, headers=headers, timeout=60).status_code

    for step in giver.steps(lacking, lambda: 64 << 10):
        if any(one.kind is ObjectKind.TILE for one in step.manifest.items):
            break
        assert put(step) == 200
    assert province.catalog.flights.flight("f1")
    assert put(step) == 507
    free[0] = 2 << 30
    assert put(step, step.size_bytes) == 200, "what came stays"


def test_bytes_that_came_changed_are_sent_again(address: str) -> None:
    body = b"not what its name says"
    name = hashlib.sha256(b"other").hexdigest()
    headers = {
        "Authorization": f"Bearer {TOKENS[Role.BOX]}",
        "Upload-Offset": "0",
        "Upload-Length": str(len(body)),
    }
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        assert client.put(f"/api/sync/steps/{name}", content=body).status_code == 460
        assert client.head(f"/api/sync/steps/{name}").headers["Upload-Offset"] == "0"
        other = hashlib.sha256(body).hexdigest()
        assert client.put(f"/api/sync/steps/{other}", content=body).status_code == 422
        assert client.put("/api/sync/steps/xyz", content=body).status_code == 400


def test_a_box_that_is_started_again_while_its_step_is_taken_in(
    address: str, province: Box, field: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = first_step(field, province)
    body = b"".join(step.blocks(0))
    headers = {
        "Authorization": f"Bearer {TOKENS[Role.BOX]}",
        "Upload-Offset": "0",
        "Upload-Length": str(len(body)),
    }
    began, goes_on = threading.Event(), threading.Event()
    take = StepReceiver.take

    def slowly(self: StepReceiver, visitor: Principal, path: Path) -> ApplyReport:
        began.set()
        assert goes_on.wait(60)
        return take(self, visitor, path)

    monkeypatch.setattr(StepReceiver, "take", slowly)
    with (
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=address, headers=headers, timeout=60, params={"lang": "en"}) as client,
    ):
        first = pool.submit(client.put, f"/api/sync/steps/{step.sha256}", content=body)
        assert began.wait(60)
        try:
            for name in (step.sha256, hashlib.sha256(b"next").hexdigest()):
                again = client.put(f"/api/sync/steps/{name}", content=body)
                assert (again.status_code, again.json()["error"]) == (409, "FlightBusy")
        finally:
            goes_on.set()
        assert first.result().status_code == 200
        assert client.put(f"/api/sync/steps/{step.sha256}", content=body).json()["lines"] >= 0
    assert sync(field, address).left_bytes == 0
    assert province.tiles() == field.tiles()


def test_steps_that_are_taken_in_hold_no_thread_of_others(
    address: str, province: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that all requests share waited in them: nobody's token was looked up, and no tile was made."""
    goes_on = threading.Event()

    def slowly(_self: StepReceiver, _visitor: Principal, _path: Path) -> ApplyReport:
        assert goes_on.wait(60)
        raise SourceUnreadable("no step")

    begun: list[Spool] = []
    taking = Spool.lock_for_import

    @contextmanager
    def counted(self: Spool) -> Iterator[None]:
        with taking(self):
            begun.append(self)
            yield

    monkeypatch.setattr(StepReceiver, "take", slowly)
    monkeypatch.setattr(Spool, "lock_for_import", counted)
    boxes = (os.cpu_count() or 1) + 5  # one more than asyncio has threads

    def send(number: int, again: str = "") -> httpx.Response:
        body = b"" if again else b"step"
        return httpx.put(
            f"{address}/api/sync/steps/{hashlib.sha256(b'step').hexdigest()}",
            content=body,
            headers={
                "Authorization": f"Bearer token-box-{number}",
                "Upload-Offset": str(4 - len(body)),
                "Upload-Length": "4",
            },
            timeout=60,
        )

    for number in range(boxes):
        other_account(province, f"box-{number}")
    with ThreadPoolExecutor(boxes) as pool:
        try:
            sent = [pool.submit(send, number) for number in range(boxes)]
            until(lambda: len(begun) == boxes)
            for number in (0, 1, 1, boxes - 1):
                again = send(number, "again")
                assert (again.status_code, again.json()["error"]) == (409, "FlightBusy")
            asking = {"Authorization": "Bearer wrong"}
            assert httpx.get(f"{address}/tiles/m/1/0/0", headers=asking, timeout=15).status_code == 401
        finally:
            goes_on.set()
        assert [one.result().status_code for one in sent] == [422] * boxes


def test_records_that_rotted_are_told_as_what_has_to_be_sent_again(
    address: str, province: Box, field: Box
) -> None:
    giver = StepPlanner(field.workspace)
    lacking = parse_missing_objects(
        answer_inventory_query(province.workspace, giver.build_query(), "test"), "province"
    )
    giver.note_missing(lacking)
    first, second, *_ = list(giver.steps(lacking, lambda: 4 << 10))
    headers = {"Authorization": f"Bearer {TOKENS[Role.BOX]}", "Upload-Offset": "0"}
    for step, status in ((first, 200), (second, 409)):
        body = b"".join(step.blocks(0))
        length = {"Upload-Length": str(len(body))}
        where = f"{address}/api/sync/steps/{step.sha256}"
        said = httpx.put(where, content=body, headers=headers | length, timeout=60)
        assert said.status_code == status
        for key in list(province.workspace.store.list(keys.format_peer_records_prefix("field"))):
            province.workspace.store.put(key, b"rotten")
    assert said.json()["error"] == "RecordsMissing"
    assert "upload-offset" not in said.headers
    sync(field, address)
    assert province.tiles() == field.tiles()
