"""A clock at 1970 or at 2050: nothing is deleted by it, nothing that ended begins again, and what was made
then does not last until it is so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.access.accounts import make_first_administrator, make_setup_code
from flycam.drill.photo_drill import DrillReport
from flycam.errors import AccessDenied
from flycam.storage.keys import ORIGINALS_DIR
from tests.attack.commands import Operator
from tests.attack.uploading import ServerProcess
from tests.faults.clocks import MovedClock
from tests.serve.world import make_workspace

NOW_S = time.time()
YEARS = {1970: -NOW_S + 60.0, 2050: datetime(2050, 1, 1, tzinfo=UTC).timestamp() - NOW_S}
ANSWERED = 200


@pytest.fixture
def clock(tmp_path: Path) -> MovedClock:
    return MovedClock(tmp_path / "clock")


def _set(clock: MovedClock, ahead_s: float) -> None:
    clock.jump(ahead_s - clock.wall_s)


def _said(house: Operator, *words: object) -> tuple[int, dict[str, Any]]:
    """Of a command in a process of its own, which goes by the clock of its house."""
    child = house.start(*words)
    out, err = child.communicate(timeout=300)
    assert "Traceback" not in err, err
    return child.returncode, json.loads(out.strip().splitlines()[-1])


def _originals(house: Operator) -> set[Path]:
    return {one for one in (house.data / "store" / ORIGINALS_DIR).rglob("*") if one.is_file()}


@pytest.mark.slow
def test_no_clock_deletes_an_original(ready: Operator, drill: DrillReport, clock: MovedClock) -> None:
    """In 2050 every photo is past its term: listed, it stays until somebody confirms that very list."""
    assert ready("ingest", drill.photos).exit_code == 0
    house = Operator(ready.data, {**ready.environment, **clock.environment()})
    before = _originals(house)
    assert len(before) > 6
    assert _said(house, "retention", "set", "photo", 3650)[0] == 0
    today = _said(house, "retention", "due")[1]
    assert today["originals"] == 0
    digests = {today["digest"]}
    for year in (2050, 1970, 2050):
        _set(clock, YEARS[year])
        code, due = _said(house, "retention", "due")
        assert (code, due["originals"]) == (0, 6 if year == 2050 else 0)
        digests.add(due["digest"])
        for words in (("verify",), ("collect",), ("collect", "--grace-days", "0"), ("doctor",)):
            assert _said(house, *words)[0] in (0, 3), words
        server = ServerProcess(house)
        server.start()
        server.end()
        assert _originals(house) == before, year
    assert _said(house, "retention", "confirm", today["digest"], "--authority", "Hùng")[0] == 3, (
        "another list"
    )
    _set(clock, 0.0)
    for digest in digests - {today["digest"]}:
        assert _said(house, "retention", "confirm", digest, "--authority", "Hùng")[0] == 3, "a list of 2050"
    assert _originals(house) == before
    assert _said(house, "audit", "verify")[1]["whole"], "its order is that of its numbers"


class Door:
    """A server by a clock, and what lets people in: each made once, each used by a browser of its own."""

    def __init__(self, url: str, clock: MovedClock, admin: str) -> None:
        self.url, self.clock = url, clock
        self.admin = {"Authorization": f"Bearer {admin}"}

    def post(self, path: str, said: dict[str, Any], **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=said, headers=headers or self.admin, timeout=60)

    def make(self, path: str, said: dict[str, Any], **headers: str) -> dict[str, Any]:
        answer = self.post(path, said, **headers)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    def session(self) -> dict[str, str]:
        """The cookie of a browser that signed in."""
        token = self.admin["Authorization"].removeprefix("Bearer ")
        return _cookie(self.post("/api/login", {"token": token}))

    def guest(self) -> dict[str, str]:
        return _cookie(httpx.post(f"{self.url}{self.make('/api/guests', {'hours': 24})['path']}", timeout=60))

    def link(self) -> str:
        return str(self.make("/api/login-links", {"name": "Lan"})["path"])

    def code(self) -> str:
        return str(self.make("/api/codes", {"account": "Lan"})["code"])

    def token(self, days: float | None) -> dict[str, str]:
        made = self.make("/api/tokens", {"label": "x", "days": days})
        return {"Authorization": f"Bearer {made['token']}"}

    def opens(self, headers: dict[str, str]) -> bool:
        """Whether this lets in, once nothing is remembered of it."""
        time.sleep(2.1)
        return httpx.get(f"{self.url}/api/flights", headers=headers, timeout=60).status_code == ANSWERED

    def opens_link(self, path: str) -> bool:
        return httpx.post(f"{self.url}{path}", timeout=60).status_code < 400

    def opens_code(self, code: str) -> bool:
        return self.post("/api/login", {"token": code}, Accept="application/json").is_success


def _cookie(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code < 400, answer.text
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in answer.cookies.items())}


@pytest.fixture
def door(operator: Operator, clock: MovedClock) -> Iterator[Door]:
    house = Operator(operator.data, {**operator.environment, **clock.environment()})
    token = house("user", "add", "Lan", "--role", "admin").json["token"]
    server = ServerProcess(house)
    server.start()
    yield Door(server.url, clock, token)
    server.end()


@pytest.mark.slow
def test_what_has_ended_begins_in_no_year_again(door: Door) -> None:
    """Used, signed out, revoked: in 1970, in 2050 and afterwards."""
    session, token, guest = door.session(), door.token(1.0), door.guest()
    (
        link,
        code,
    ) = door.link(), door.code()
    assert door.opens(session) and door.opens(token) and door.opens(guest)
    assert door.opens_link(link) and door.opens_code(code)
    assert door.post("/api/logout", {}, **session).is_success
    for one in httpx.get(f"{door.url}/api/tokens", headers=door.admin).json():
        if one["label"] == "x":
            httpx.delete(f"{door.url}/api/tokens/{one['token_id']}", headers=door.admin).raise_for_status()
    for one in httpx.get(f"{door.url}/api/guests", headers=door.admin).json():
        httpx.delete(f"{door.url}/api/guests/{one['guest_id']}", headers=door.admin).raise_for_status()
    for ahead_s in (0.0, YEARS[2050], YEARS[1970], 0.0):
        _set(door.clock, ahead_s)
        assert door.opens(door.admin), "who has a token without an end is not locked out"
        assert not any(map(door.opens, (session, token, guest))), ahead_s
        assert not door.opens_link(link) and not door.opens_code(code), ahead_s


@pytest.mark.slow
def test_what_is_good_for_a_time_ends_in_2050_and_is_not_lost_by_it(door: Door) -> None:
    session, token, guest = door.session(), door.token(1.0), door.guest()
    _set(door.clock, YEARS[2050])
    assert not any(map(door.opens, (session, token, guest)))
    _set(door.clock, 0.0)
    assert all(map(door.opens, (session, token, guest)))


@pytest.mark.slow
def test_what_is_made_in_2050_is_not_good_until_then(door: Door) -> None:
    """Nor what is made today in 1970, until the clock is right again."""
    for made_s, used_s in ((YEARS[2050], 0.0), (0.0, YEARS[1970])):
        _set(door.clock, made_s)
        session, guest, link, code = door.session(), door.guest(), door.link(), door.code()
        assert door.opens(session) and door.opens(guest)
        _set(door.clock, used_s)
        assert not door.opens(session) and not door.opens(guest)
        assert not door.opens_link(link) and not door.opens_code(code)
        _set(door.clock, made_s)
        assert door.opens(session) and door.opens(guest), "as before, once the clock is"
        assert door.opens_link(link) and door.opens_code(code)


def test_a_clock_that_is_set_back_by_hours_signs_nobody_out(door: Door) -> None:
    session, guest = door.session(), door.guest()
    _set(door.clock, -7 * 3600.0)
    assert door.opens(session) and door.opens(guest)


def test_a_set_up_code_of_2050_makes_no_administrator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path)
    object.__setattr__(workspace, "clock_ns", lambda: time.time_ns() + int(YEARS[2050] * 1e9))
    code = make_setup_code(workspace)
    object.__setattr__(workspace, "clock_ns", time.time_ns)
    with pytest.raises(AccessDenied):
        make_first_administrator(workspace, code, "Lan")
    assert make_first_administrator(workspace, make_setup_code(workspace), "Lan")
