"""Meeting packs over the API: asked for, made by a process of their own, fetched, and by whom."""

from __future__ import annotations

import hashlib
import io
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import shapely

from flycam.access.restrictions import set_flight_classification
from flycam.board.marks import MarkEdit, write_mark
from flycam.catalog.access import RedactionRecord
from flycam.errors import DiskFull
from flycam.http.guards import Services
from flycam.model.access import RedactionReason, Role
from flycam.model.board import MarkKind, MarkStatus
from flycam.model.flight import Classification
from flycam.model.records import AuditRecord, Withdrawal
from flycam.mosaic.redaction import RedactionRequest, add_redaction, revoke_redaction
from flycam.reports import routes
from flycam.storage import keys
from tests.serve.running import running
from tests.serve.world import LAT, LON, World, add_account, make_world
from tests.serve.world import REAL as EVENT
from tests.texts import pair
from tests.waiting import until

REAL = (sys.executable, "-m", "flycam", "pack")
FAILS = """
import json, sys
print("maps 1/2", file=sys.stderr)
print("flycam: đĩa đầy", file=sys.stderr)
print(json.dumps({"error": "DiskFull", "sentence": "the disk is full", "exit_code": 4}))
sys.exit(4)
"""
DIES = "import sys; sys.exit(9)"
WAITS = "import time; time.sleep(3600)"
WRITES = """
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir()
(out / "index.html").write_text(" ".join(sys.argv[sys.argv.index("--") + 1:]))
"""


@pytest.fixture
def own(tmp_path: Path) -> World:
    """A node that no other test makes packs in."""
    world = make_world(tmp_path / "own")
    for name, role in (
        *(("Lan", Role.OPERATOR), ("Minh", Role.OPERATOR), ("xem", Role.VIEWER)),
        *(("Bà Thắm", Role.ANALYST), ("trị", Role.ADMIN)),
    ):
        add_account(world.workspace, name, role, f"{name}-token".encode().hex())
    return world


Open = Callable[[str], httpx.Client]


@pytest.fixture
def open_with(own: World, tmp_path: Path) -> Iterator[Open]:
    """A client of a server that makes packs by a program."""
    with ExitStack() as stack:

        def open_one(program: str) -> httpx.Client:
            return stack.enter_context(served(own, tmp_path / "packs", program))

        yield open_one


def by(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {f'{name}-token'.encode().hex()}"}


def put_pack(client: httpx.Client, *flights: str, name: str = "Lan", language: str = "vi") -> httpx.Response:
    return client.put("/api/packs", json={"flights": flights, "language": language}, headers=by(name))


def ended(client: httpx.Client, pack_id: str, name: str = "Lan") -> dict[str, Any]:
    """The pack once it is no longer under way."""
    answer: dict[str, Any] = {}

    def has_ended() -> bool:
        answer.update(client.get(f"/api/packs/{pack_id}", headers=by(name)).json())
        return answer["state"] in ("made", "failed")

    until(has_ended, "the pack is still being made", within_s=600.0, every_s=0.05)
    return answer


def make(client: httpx.Client, *flights: str, name: str = "Lan") -> dict[str, Any]:
    return ended(client, put_pack(client, *flights, name=name).json()["pack_id"], name)


def make_final(client: httpx.Client, draft_id: str, name: str) -> dict[str, Any]:
    return ended(client, approve(client, draft_id, name).json()["pack_id"], name)


def test_only_operators_ask_and_only_who_asked_fetches(own: World, open_with: Open) -> None:
    flight = own.after
    client = open_with(WRITES)
    assert put_pack(client, flight, name="xem").status_code == 403
    assert client.put("/api/packs", json={"flights": [flight]}).status_code == 401
    pack_id = put_pack(client, flight).json()["pack_id"]
    ended(client, pack_id)
    for address in (f"/api/packs/{pack_id}", f"/api/packs/{pack_id}/file"):
        answers = {name: client.get(address, headers=by(name)).status_code for name in ("Lan", "Minh", "trị")}
        assert answers == {"Lan": 200, "Minh": 404, "trị": 200}
        assert client.get(address, headers=by("xem")).status_code == 403
        assert client.get(address).status_code == 401


def test_what_cannot_be_packed_is_said_at_once(own: World, open_with: Open) -> None:
    client = open_with(WRITES)
    assert put_pack(client, "không có").status_code == 404
    assert put_pack(client).status_code == 422
    assert put_pack(client, own.after, language="fr").status_code == 422
    assert client.get("/api/packs/0123456789abcdef", headers=by("Lan")).status_code == 404
    assert client.get("/api/packs/..%2F..%2Fcatalog/file", headers=by("Lan")).status_code == 404


def test_a_command_that_fails_is_quoted_in_both_languages(own: World, open_with: Open) -> None:
    quoted = {"sentence": "the disk is full", "sentence_vi": "đĩa đầy"}
    for program, why in ((FAILS, quoted), (DIES, routes.PACK_ENDED.to_fields())):
        client = open_with(program)
        pack_id = put_pack(client, own.after).json()["pack_id"]
        answer = ended(client, pack_id)
        assert {key: answer[key] for key in ("state", *why)} == {"state": "failed", **why}
        assert client.get(f"/api/packs/{pack_id}/file", headers=by("Lan")).status_code == 404


def test_a_pack_on_a_disk_that_is_nearly_full_is_refused_before_anything_is_written(
    own: World, open_with: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for flights is left; the rest of the server goes on, and with room made it is made."""
    client = open_with(WRITES)
    flight = own.after
    monkeypatch.setattr(routes, "PACK_BYTES", 1 << 62)
    refused = put_pack(client, flight)
    assert (refused.status_code, refused.json()["error"]) == (507, "DiskFull")
    assert not (tmp_path / "packs").exists()
    monkeypatch.undo()
    assert make(client, flight)["state"] == "made"


def test_the_same_asked_twice_is_one_and_too_many_are_refused(
    own: World, open_with: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_WAITING_PACKS", 3)
    client = open_with(WAITS)
    first = put_pack(client, own.after).json()["pack_id"]
    assert put_pack(client, own.after).json()["pack_id"] == first
    others = [
        put_pack(client, own.after, name="Minh"),
        put_pack(client, own.after, language="en"),
    ]
    assert len({first, *(one.json()["pack_id"] for one in others)}) == 3
    refused = put_pack(client, own.before)
    assert refused.status_code == 429
    assert "retry-after" in refused.headers


def test_old_drafts_make_room_and_never_drive_out_what_was_approved(
    own: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_KEPT_PACKS", 2)
    with served(own, tmp_path / "packs") as client:
        packs = [make(client, own.after)["pack_id"]]
        final = make_final(client, packs[0], "Bà Thắm")["pack_id"]
        for _ in range(3):
            packs.append(make(client, own.after)["pack_id"])
        codes = [
            client.get(f"/api/packs/{one}/file", headers=by("Lan")).status_code for one in (*packs, final)
        ]
    assert codes == [404, 404, 200, 200, 200]
    assert list((tmp_path / "packs").iterdir()) == []
    store = own.workspace.store
    assert [len(list(store.list(keys.format_pack_prefix(one)))) for one in packs] == [0, 0, 1, 1]
    gone = own.workspace.catalog.packs.find(packs[0])
    assert gone is not None and gone.let_go_ns is not None and gone.owner == "Lan"


ARGUMENTS = """
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir()
(out / "index.html").write_text("\\n".join(sys.argv[1:]), encoding="utf-8")
"""


def test_it_is_made_by_the_eyes_of_whoever_asks_and_fetched_while_they_see_the_same(
    own: World, open_with: Open
) -> None:
    workspace, flight = own.workspace, own.after
    client = open_with(ARGUMENTS)
    pack_id = put_pack(client, flight).json()["pack_id"]
    assert ended(client, pack_id)["state"] == "made"
    path = f"/api/packs/{pack_id}/file"
    with zipfile.ZipFile(io.BytesIO(client.get(path, headers=by("Lan")).content)) as archive:
        assert "--as=Lan" in archive.read("goi-hop/index.html").decode().splitlines()
    restrictions = workspace.catalog.restrictions
    restrictions.classify("layer-of-somebody", Classification.RESTRICTED, 1)
    try:
        later = open_with(ARGUMENTS)  # what was known of rules holds two seconds
        mine = put_pack(later, flight).json()["pack_id"]
        assert ended(later, mine)["state"] == "made"
        assert later.get(f"/api/packs/{mine}/file", headers=by("Lan")).status_code == 200
        until(lambda: client.get(path, headers=by("Lan")).status_code == 404)
        assert client.get(path, headers=by("trị")).status_code == 200, "nothing is withheld from them"
    finally:
        restrictions.classify("layer-of-somebody", Classification.OPEN, 2)


SAYS = """
import hashlib, json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir()
(out / "index.html").write_text(" ".join(sys.argv[1:]))
print(json.dumps({"manifest_sha256": hashlib.sha256(" ".join(sys.argv[3:]).encode()).hexdigest()}))
"""


def approve(client: httpx.Client, pack_id: str, name: str) -> httpx.Response:
    return client.put(f"/api/packs/{pack_id}/approved", headers=by(name))


def list_packs(client: httpx.Client, name: str) -> dict[str, dict[str, Any]]:
    return {one["pack_id"]: one for one in client.get("/api/packs", headers=by(name)).json()}


def test_a_draft_is_approved_by_name_and_then_everybody_may_fetch_it(own: World, open_with: Open) -> None:
    client = open_with(SAYS)
    request = {"flights": [own.after, own.before], "paper": "a3"}
    draft = ended(client, client.put("/api/packs", json=request, headers=by("Lan")).json()["pack_id"])
    assert (draft["paper"], draft["owner"], draft["approved_by"]) == ("a3", "Lan", None)
    assert draft["pack_id"] in list_packs(client, "Bà Thắm"), "who may approve it sees it"
    for name in ("Minh", "xem"):
        assert draft["pack_id"] not in list_packs(client, name)
    assert approve(client, draft["pack_id"], "Lan").status_code == 403
    assert approve(client, draft["pack_id"], "Minh").status_code == 403
    answer = approve(client, draft["pack_id"], "Bà Thắm")
    assert answer.status_code == 202
    final = ended(client, answer.json()["pack_id"], "Bà Thắm")
    assert (final["state"], final["approved_by"], final["paper"]) == ("made", "Bà Thắm", "a3")
    assert (draft["asked_by"], final["asked_by"], final["owner"]) == ("Lan", "Lan", "Bà Thắm")
    for name in ("xem", "Minh", "Lan", "trị"):
        assert final["pack_id"] in list_packs(client, name)
    content = client.get(f"/api/packs/{final['pack_id']}/file", headers=by("xem")).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        answer = archive.read("goi-hop/index.html").decode()
    assert all(one in answer for one in ("--asked-by=Lan", "--approved-by=Bà Thắm", "a3", "--as=Bà Thắm"))
    assert answer.split()[-2:] == [own.after, own.before]
    assert approve(client, final["pack_id"], "trị").status_code == 409, "it is approved already"
    (line,) = [one for one in own.workspace.catalog.audit.lines() if one.what == "pack approved"]
    assert (line.who, line.subject) == ("Bà Thắm", f"{own.after} {own.before}")
    assert line.detail.endswith(f"by Lan; {final['pack_id']}") and len(line.detail.split()[1]) == 64
    fetched = [one.who for one in own.workspace.catalog.audit.lines() if one.detail == final["pack_id"]]
    assert fetched == ["xem"]


def test_what_is_not_made_is_not_approved_and_nobody_without_a_name_approves(
    own: World, open_with: Open, tmp_path: Path
) -> None:
    client = open_with(DIES)
    pack_id = put_pack(client, own.after).json()["pack_id"]
    assert ended(client, pack_id)["state"] == "failed"
    assert approve(client, pack_id, "trị").status_code == 409
    nameless = make_world(tmp_path / "open")
    with served(nameless, tmp_path / "p") as open_access:
        made = open_access.put("/api/packs", json={"flights": [nameless.after]}).json()
        path = f"/api/packs/{made['pack_id']}"
        until(lambda: open_access.get(path).json()["state"] == "made")
        refused = open_access.put(f"{path}/approved")
    assert refused.status_code == 403


def test_an_approved_pack_is_not_for_those_who_do_not_see_all_of_it(own: World, open_with: Open) -> None:
    """Nothing is told of it, either."""
    client = open_with(SAYS)
    draft = make(client, own.before)
    final = make_final(client, draft["pack_id"], "Bà Thắm")
    set_flight_classification(own.workspace, own.before, Classification.RESTRICTED, "trị")
    try:
        until(
            lambda: final["pack_id"] not in list_packs(client, "xem")
        )  # what is withheld is looked at now and then
        for where in ("", "/file"):
            answer = client.get(f"/api/packs/{final['pack_id']}{where}", headers=by("xem"))
            assert answer.status_code == 404
            assert own.before not in answer.text
    finally:
        set_flight_classification(own.workspace, own.before, Classification.OPEN, "trị")


# -- what a restart leaves --------------------------------------------------------------------------


@contextmanager
def served(world: World, folder: Path, program: str = SAYS) -> Iterator[httpx.Client]:
    """A client of a server that is gone when the block is left."""
    services = Services(
        workspace=world.workspace, packs_dir=folder, pack_command=(sys.executable, "-c", program)
    )
    with running(services) as address, httpx.Client(base_url=address, timeout=60) as client:
        yield client


def lines_of(world: World, what: str) -> list[AuditRecord]:
    return [one for one in world.workspace.catalog.audit.lines() if one.what == what]


def test_packs_and_approvals_are_there_after_a_restart(own: World, tmp_path: Path) -> None:
    with served(own, tmp_path / "first") as client:
        draft = make(client, own.after)
        final = make_final(client, draft["pack_id"], "Bà Thắm")
        before = client.get("/api/packs", headers=by("Bà Thắm")).json()
        path = f"/api/packs/{final['pack_id']}/file"
        content = client.get(path, headers=by("xem")).content
    assert [one["approved_by"] for one in before] == ["Bà Thắm", None]
    with served(own, tmp_path / "another folder") as client:
        assert client.get("/api/packs", headers=by("Bà Thắm")).json() == before
        assert list(list_packs(client, "xem")) == [final["pack_id"]]
        assert client.get(path, headers=by("xem")).content == content
        assert approve(client, final["pack_id"], "Bà Thắm").status_code == 409
    (kept,) = [one for one in lines_of(own, "pack kept") if one.detail.startswith(final["pack_id"])]
    assert kept.detail.endswith(hashlib.sha256(content).hexdigest())
    record = own.workspace.catalog.packs.find(final["pack_id"])
    assert record is not None and record.draft_id == draft["pack_id"]


def full(*_args: object) -> None:
    raise DiskFull(pair("the disk is full", "đĩa đầy"))


KILLED = """
import os, signal, sys
from pathlib import Path
from flycam.catalog.catalog import open_catalog
from flycam.catalog.packs import Pack
from flycam.model.records import AuditEntry
from flycam.storage import keys
from flycam.storage.stores import LocalStore
catalog = open_catalog(sys.argv[1])
making = catalog.packs.hold_maker_lock()
pack = Pack(
    pack_id="0123456789abcdef", owner="Lan", flights=(sys.argv[3],), language="vi", asked_ns=1,
    maker=making.__enter__(),
)
catalog.packs.add(pack, AuditEntry(who="Lan", what="pack asked", subject="", detail="", at_ns=1))
catalog.packs.mark_making(pack.pack_id)
LocalStore(Path(sys.argv[2])).put(keys.format_pack_key(pack.pack_id, "ab" * 32), b"bytes", durable=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_that_was_killed_before_its_record_leaves_a_pack_that_ended_and_no_bytes(
    own: World, tmp_path: Path
) -> None:
    workspace = own.workspace
    strange = keys.format_pack_key("fedcba9876543210", "cd" * 32)
    workspace.store.put(strange, b"of another catalogue")
    root = str(tmp_path / "own" / "store")
    command = [sys.executable, "-c", KILLED, f"sqlite:///{workspace.catalog.place}", root, own.after]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(workspace.store.list(keys.format_pack_prefix("0123456789abcdef")))) == 1
    with served(own, tmp_path / "packs") as client:
        answer = client.get("/api/packs/0123456789abcdef", headers=by("Lan")).json()
        assert (answer["state"], answer["sentence"]) == ("failed", str(routes.PACK_STOPPED))
        until(lambda: list(workspace.store.list(keys.format_pack_prefix())) == [strange])


def test_what_a_mask_covers_since_is_handed_out_no_more_to_anybody(own: World, tmp_path: Path) -> None:
    """Not to those who see beneath it, either: it is handed on. One that was made under the mask stays, also
    where the mask is taken back; a mask somewhere else closes nothing."""
    workspace = own.workspace
    photo = next(one for one in workspace.catalog.frames.list_for_flight(own.after) if one.exterior)
    elsewhere = shapely.to_wkb(shapely.box(107.0, 12.0, 107.1, 12.1))
    far = replace(photo, header=replace(photo.header, frame_id="fa" * 16), footprint_wkb=elsewhere)
    workspace.catalog.frames.put([far])

    def masked(frame_id: str, number: int) -> RedactionRecord:
        corners = [(10.0, 10.0), (60.0, 10.0), (60.0, 60.0)]
        request = RedactionRequest(
            redaction_id=f"mask-{number:08}",
            frame_id=frame_id,
            reason=RedactionReason.VICTIM,
            corners=corners,
        )
        return add_redaction(workspace, request, "Bà Thắm")

    with served(own, tmp_path / "packs") as client:

        def fetched(pack_id: str) -> httpx.Response:
            return client.get(f"/api/packs/{pack_id}/file?lang=en", headers=by("Bà Thắm"))

        draft = make(client, own.after)
        final = make_final(client, draft["pack_id"], "Bà Thắm")
        masked(far.frame_id, 1)
        assert fetched(final["pack_id"]).status_code == 200
        mask = masked(photo.frame_id, 2)
        refused = fetched(final["pack_id"])
        assert refused.status_code == 404
        assert final["pack_id"] not in list_packs(client, "Bà Thắm")

        request = client.put("/api/packs", json={"flights": [own.after]}, headers=by("Bà Thắm"))
        covered = ended(client, request.json()["pack_id"], "Bà Thắm")
        assert (fetched(covered["pack_id"]).status_code, fetched(draft["pack_id"]).status_code) == (200, 404)
        revoke_redaction(workspace, mask.mask_id, "Bà Thắm")
        assert fetched(covered["pack_id"]).status_code == 200


def test_two_who_approve_at_once_make_one_final_pack(own: World, tmp_path: Path) -> None:
    """And approving another draft of the same flights, while that is made, is another approval."""
    add_account(own.workspace, "Ông Hải", Role.ANALYST, "Ông Hải-token".encode().hex())
    with served(own, tmp_path / "first") as client:
        drafts = [make(client, own.after)["pack_id"] for _ in range(2)]
    with served(own, tmp_path / "second", WAITS) as client:
        first = approve(client, drafts[0], "Bà Thắm")
        again, other = approve(client, drafts[0], "Bà Thắm"), approve(client, drafts[0], "Ông Hải")
        second = approve(client, drafts[1], "Bà Thắm")
    assert (first.status_code, again.json()["pack_id"]) == (202, first.json()["pack_id"])
    assert (other.status_code, other.json()["error"]) == (409, "StoreConflict")
    assert second.status_code == 202 and second.json()["pack_id"] != first.json()["pack_id"]
    known = own.workspace.catalog.packs
    finals = [known.find(one.json()["pack_id"]) for one in (first, second)]
    assert [one.draft_id for one in finals if one] == drafts
    assert [one.who for one in lines_of(own, "pack approved")] == ["Bà Thắm", "Bà Thắm"]


def test_a_pack_is_fetched_on_from_where_a_thin_line_broke(own: World, tmp_path: Path) -> None:
    with served(own, tmp_path / "packs") as client:
        path = f"/api/packs/{make(client, own.after)['pack_id']}/file"
        whole = client.get(path, headers=by("Lan"))
        rest = client.get(path, headers={**by("Lan"), "Range": "bytes=100-"})
        assert (rest.status_code, rest.content) == (206, whole.content[100:])
        assert rest.headers["etag"] == whole.headers["etag"]
        beyond = client.get(path, headers={**by("Lan"), "Range": "bytes=99999999-"})
        assert beyond.status_code == 416
        endless = client.get(path, headers={**by("Lan"), "Range": f"bytes={'9' * 5000}-"})
        assert (endless.status_code, endless.content) == (200, whole.content)


def test_what_the_command_made_and_was_approved_is_handed_out(own: World, tmp_path: Path) -> None:
    command = (*REAL, "--data", str(tmp_path / "own"))
    services = Services(workspace=own.workspace, packs_dir=tmp_path / "packs", pack_command=command)
    with running(services) as address, httpx.Client(base_url=address, timeout=60) as client:
        request = put_pack(client, own.workspace.catalog.flights.flight(own.after).name)
        assert (request.status_code, request.json()["flights"]) == (202, [own.after])
        read = ended(client, request.json()["pack_id"])
        assert (read["state"], read["sentence"]) == ("made", "")
        answer = client.get(f"/api/packs/{read['pack_id']}/file", headers=by("Lan"))
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert len(answer.content) == read["size"]
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            lines = archive.read("goi-hop/manifest.sha256").decode().splitlines()
            for digest, name in (line.split("  ", 1) for line in lines):
                assert hashlib.sha256(archive.read(f"goi-hop/{name}")).hexdigest() == digest
        unread = make(client, own.after)
        final = make_final(client, read["pack_id"], "Bà Thắm")
        assert (final["state"], final["approved_by"]) == ("made", "Bà Thắm")
        edit = MarkEdit(
            mark_id="mark-0123456789abcdef",
            based_on=0,
            event_id=EVENT,
            kind=MarkKind.BLOCKED,
            status=MarkStatus.OPEN,
            note="sau khi đọc",
            places=[(LON, LAT)],
        )
        write_mark(own.workspace, edit, "Lan")
        assert approve(client, read["pack_id"], "Bà Thắm").status_code == 409, "it has its final pack"
        late = make_final(client, unread["pack_id"], "Bà Thắm")
        assert late["state"] == "failed" and late["sentence"]
    records = [own.workspace.catalog.packs.find(one["pack_id"]) for one in (read, final)]
    assert len({one.content_sha256 for one in records if one is not None}) == 1 and records[0] is not None
    assert len(records[0].content_sha256) == 64


# -- flights that a pack shows beside its own ------------------------------------------------------

SHOWS = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir()
(out / "index.html").write_text("before beside after")
flights = sys.argv[sys.argv.index("--") + 1:]
print(json.dumps({"flights_seen": [*flights, BESIDE]}))
"""
WITHDRAWS = """
from flycam.catalog.catalog import open_catalog
from flycam.model.records import Withdrawal
with open_catalog(PLACE) as catalog:
    frame = catalog.frames.list_for_flight(BESIDE)[0].frame_id
    gone = Withdrawal(frame_id=frame, flight_id=BESIDE, reason="nhà dân", authority="Quân", withdrawn_ns=1)
    catalog.frames.withdraw([gone])
"""


def shows(world: World, program: str = SHOWS) -> str:
    """A program that makes a pack in which changes are shown on BEFORE."""
    place = f"sqlite:///{world.workspace.catalog.place}"
    return f"BESIDE, PLACE = {world.before!r}, {place!r}\n{program}"


def withdraw_one(world: World, flight_id: str) -> None:
    frame = world.workspace.catalog.frames.list_for_flight(flight_id)[0]
    gone = Withdrawal(
        frame_id=frame.frame_id, flight_id=flight_id, reason="nhà dân", authority="Quân", withdrawn_ns=1
    )
    world.workspace.catalog.frames.withdraw([gone])


def test_what_was_withdrawn_from_a_flight_that_a_pack_shows_beside_its_own_is_handed_out_no_more(
    own: World, tmp_path: Path
) -> None:
    """Drafts and approved ones; and the audit log names that flight too."""
    seen = f"{own.after} {own.before}"
    with served(own, tmp_path / "packs", shows(own)) as client:
        draft = make(client, own.after)
        final = make_final(client, draft["pack_id"], "Bà Thắm")
        paths = [f"/api/packs/{one['pack_id']}/file" for one in (draft, final)]
        assert [client.get(path, headers=by("Lan")).status_code for path in paths] == [200, 200]
        for what, subject in (
            ("pack asked", own.after),
            ("pack approved", seen),
            ("pack kept", seen),
            ("pack fetched", seen),
        ):
            assert {one.subject for one in lines_of(own, what)} == {subject}, what
        withdraw_one(own, own.before)
        assert [client.get(path, headers=by("Lan")).status_code for path in paths] == [404, 404]
        assert list_packs(client, "Lan") == list_packs(client, "Bà Thắm") == {}


def test_what_is_withdrawn_while_a_pack_is_made_is_not_handed_out_and_what_was_before_is_no_hindrance(
    own: World, tmp_path: Path
) -> None:
    with served(own, tmp_path / "first", shows(own, WITHDRAWS + SHOWS)) as client:
        pack_id = make(client, own.after)["pack_id"]
        assert client.get(f"/api/packs/{pack_id}/file", headers=by("Lan")).status_code == 404
    with served(own, tmp_path / "second", shows(own)) as client:
        pack_id = make(client, own.after)["pack_id"]
        assert client.get(f"/api/packs/{pack_id}/file", headers=by("Lan")).status_code == 200


def test_one_person_is_one_person_however_the_name_is_written(own: World, tmp_path: Path) -> None:
    add_account(own.workspace, "BÀ THẮM", Role.ANALYST, "BÀ THẮM-token".encode().hex())
    with served(own, tmp_path / "packs") as client:
        draft = make(client, own.after, name="Bà Thắm")
        lans = make(client, own.before)
        final = make_final(client, draft["pack_id"], "BÀ THẮM")
        listed = list_packs(client, "BÀ THẮM")
        assert final["is_one_person"] and listed[final["pack_id"]]["is_one_person"]
        assert listed[draft["pack_id"]]["is_one_person"], "who looks would approve what they asked for"
        assert not listed[lans["pack_id"]]["is_one_person"]
    (line,) = lines_of(own, "pack approved")
    assert "by Bà Thắm" in line.detail
