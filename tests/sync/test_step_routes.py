from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flycam.catalog.access import hash_token
from flycam.errors import AccessDenied, StoreConflict, StoreUnavailable
from flycam.http.client import ServerConnection
from flycam.model.access import Account, Role
from flycam.storage import keys
from flycam.sync import server
from flycam.sync.client import Sender, SyncReport, TransferLimits, to_request_body
from flycam.sync.exchange import ExchangeOffer, InventoryAnswer, ObjectKind, parse_peer_answer
from flycam.sync.node_keys import forget_node_key
from flycam.sync.server import answer_inventory_query
from flycam.sync.step_planner import StepPlanner
from tests.serve.province import TOKENS, new_province, serving
from tests.sync.boxes import Box, new_box
from tests.waiting import ENOUGH_S


@pytest.fixture
def province(tmp_path: Path) -> Box:
    return new_province(tmp_path)


@pytest.fixture
def address(province: Box, tmp_path: Path) -> Iterator[str]:
    with serving(province, tmp_path) as url:
        yield url


@pytest.fixture
def field(tmp_path: Path) -> Box:
    box = new_box(tmp_path, "field")
    box.lay({0, 1, 2})
    return box


def sync(
    box: Box, url: str, token: str | None = TOKENS[Role.BOX], patience_s: float = ENOUGH_S
) -> SyncReport:
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
    with pytest.raises(AccessDenied, match="box-2"):
        sync(field, address, stolen)  # before and after it has a box of its own
    sync(new_box(tmp_path, "field-2"), address, stolen)
    with pytest.raises(AccessDenied, match="field-2"):
        sync(field, address, stolen)
    question = {"format": 1, "box": "field", "mosaics": [], "records": [], "terrain": [], "originals": []}
    by_stolen = {"Authorization": f"Bearer {stolen}"}
    reply = httpx.post(f"{address}/api/sync", json=question, headers=by_stolen, timeout=60)
    assert (reply.status_code, reply.json()["error"]) == (403, "AccessDenied")
    assert list(province.workspace.store.list(keys.format_peer_records_prefix("field"))) == records != []


def planner_of(field: Box, province: Box) -> StepPlanner:
    """What a box has to send of what the province lacks."""
    planner = StepPlanner(field.workspace)
    question = json.loads(to_request_body(planner.build_query()))
    answer = answer_inventory_query(province.workspace, question, "test")
    planner.note_missing(parse_peer_answer(InventoryAnswer, answer, "province"))
    return planner


def test_a_step_in_another_boxs_name_is_refused_whole(
    address: str, province: Box, field: Box, tmp_path: Path
) -> None:
    sync(field, address)
    before = list(province.workspace.store.list(keys.format_cursor_prefix("field")))
    field.lay({0, 1, 2, 3})
    step = next(planner_of(field, province).steps(lambda: 8 << 20))
    body = b"".join(step.blocks(0))
    headers = {
        "Authorization": f"Bearer {other_account(province, 'box-2')}",
        "Upload-Offset": "0",
        "Upload-Length": str(len(body)),
    }
    where = f"{address}/api/sync/steps/{step.sha256}?lang=vi"
    reply = httpx.put(where, content=body, headers=headers, timeout=60)
    assert reply.status_code == 403
    assert list(province.workspace.store.list(keys.format_cursor_prefix("field"))) == before
    assert not list((tmp_path / "arriving").rglob(f"{step.sha256}.part"))


def test_the_audit_log_names_the_account_that_brought_a_withdrawal(
    address: str, province: Box, field: Box
) -> None:
    field.withdraw(1)
    sync(field, address)
    (line,) = [one for one in province.catalog.audit.lines() if one.what == "withdraw"]
    assert line.who == "box"
    assert "shows a victim" in line.detail


def test_a_box_hands_on_its_map(address: str, province: Box, field: Box) -> None:
    sent = sync(field, address)
    assert province.tiles() == field.tiles()
    assert sent.peer == "province"
    assert sync(field, address).steps == 0
    reply = [(one.who, one.subject) for one in province.catalog.audit.lines() if one.what == "sync"]
    assert reply == [("box", "field")]


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_wrong_token_is_said(address: str, field: Box, token: str | None) -> None:
    with pytest.raises(AccessDenied, match="FLYCAM_TOKEN"):
        sync(field, address, token)


def test_a_token_that_is_revoked_ends_it(address: str, field: Box, province: Box) -> None:
    sync(field, address)
    province.catalog.accounts.remove("box", "test", 0)
    field.lay({0, 1, 2, 3})
    with pytest.raises(AccessDenied, match="revoked"):
        for _ in range(200):  # an answer about a token is kept for two seconds
            sync(field, address)
            time.sleep(0.05)


def test_nobody_there_is_said(field: Box) -> None:
    with pytest.raises(StoreUnavailable, match="127"):
        sync(field, "http://127.0.0.1:9", patience_s=0.5)


def test_a_full_disk_takes_records_and_views_and_no_tiles(
    address: str, province: Box, field: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [900 << 20]
    monkeypatch.setattr(server, "get_free_bytes", lambda _folder: free[0])
    planner = planner_of(field, province)

    def put(step: ExchangeOffer, at: int = 0) -> int:
        body = b"".join(step.blocks(at))
        headers = {
            "Authorization": f"Bearer {TOKENS[Role.BOX]}",
            "Upload-Offset": str(at),
            "Upload-Length": str(step.size_bytes),
        }
        where = f"{address}/api/sync/steps/{step.sha256}"
        return httpx.put(where, content=body, headers=headers, timeout=60).status_code

    for step in planner.steps(lambda: 64 << 10):
        if any(one.kind is ObjectKind.TILE for one in step.manifest.items):
            break
        assert put(step) == 200
    assert province.catalog.flights.flight("f1")
    assert put(step) == 507
    free[0] = 2 << 30
    assert put(step, step.size_bytes) == 200, "what came stays"


def test_a_step_whose_answer_was_lost_is_answered_again(address: str, province: Box, field: Box) -> None:
    step = next(planner_of(field, province).steps(lambda: 8 << 20))
    where = f"{address}/api/sync/steps/{step.sha256}"
    answers = []
    with httpx.Client(headers={"Authorization": f"Bearer {TOKENS[Role.BOX]}"}, timeout=60) as client:
        for at in (0, step.size_bytes):
            of = {"Upload-Offset": str(at), "Upload-Length": str(step.size_bytes)}
            assert client.head(where, headers=of).headers["Upload-Offset"] == str(at)
            answers.append(client.put(where, content=b"".join(step.blocks(at)), headers=of).json())
    assert [one["flights"] for one in answers] == [["f1"], ["f1"]]
    assert [one["lines"] > 0 for one in answers] == [True, False], "the second time nothing changes"


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


def test_the_account_of_a_box_proves_its_key_and_an_administrator_only_a_first_one(
    address: str, province: Box, field: Box, tmp_path: Path
) -> None:
    def known() -> str:
        return province.workspace.store.get(keys.format_node_key("field")).decode().partition(" ")[0]

    anew = new_box(tmp_path, "field")
    anew.lay({0, 1, 2})
    sync(field, address, TOKENS[Role.ADMIN])
    first = field.catalog.audit.key()
    assert known() == first != ""
    sync(anew, address, TOKENS[Role.ADMIN])
    assert known() == first
    with pytest.raises(StoreConflict):
        province.read(anew.write(tmp_path))
    with pytest.raises(AccessDenied, match="forget"):
        sync(anew, address)  # an account that used no name yet proves none
    forget_node_key(province.workspace, "field")
    for _ in range(2):
        sync(anew, address)
        assert known() == anew.catalog.audit.key() != first
    assert province.read(anew.write(tmp_path)).is_new is False
    with pytest.raises(StoreConflict):
        province.read(field.write(tmp_path))
    again = new_box(tmp_path, "field")
    again.lay({0, 1, 2})
    sync(again, address)
    assert known() == again.catalog.audit.key(), "its account has this name: it may be installed anew"
    lines = [one for one in province.catalog.audit.lines() if one.what == "box key"]
    assert [(one.who, one.subject, one.detail.partition(",")[0]) for one in lines] == [
        ("admin", "field", first),
        ("box", "field", anew.catalog.audit.key()),
        ("box", "field", known()),
    ]


def test_another_boxs_account_brings_no_key_for_a_name(
    address: str, province: Box, field: Box, tmp_path: Path
) -> None:
    sync(field, address)
    stolen = other_account(province, "box-2")
    sync(new_box(tmp_path, "field-2"), address, stolen)
    with pytest.raises(AccessDenied):
        sync(new_box(tmp_path, "field"), address, stolen)
    stored = province.workspace.store.get(keys.format_node_key("field"))
    assert stored == f"{field.catalog.audit.key()} field".encode()
    question = {"format": 1, "box": "field", "key": "ab" * 31}
    headers = {"Authorization": f"Bearer {TOKENS[Role.BOX]}"}
    assert httpx.post(f"{address}/api/sync", json=question, headers=headers, timeout=60).status_code == 422
    assert province.workspace.store.get(keys.format_node_key("field")) == stored
