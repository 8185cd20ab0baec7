"""How often somebody may guess a token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from flycam.access.accounts import invite_guest
from flycam.errors import AccessDenied, StorageFailed
from flycam.http.guards import Services
from flycam.http.protocol import TooManyAttempts
from flycam.model.access import Role
from flycam.serve.auth import SignInMethod, count_attempt
from flycam.serve.limits import ATTEMPT_WINDOW_S, MAX_FAILURES_PER_ADDRESS, Attempts
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_addresses_of_one_house_are_one() -> None:
    attempts = Attempts(Clock())
    for number in range(MAX_FAILURES_PER_ADDRESS):
        attempts.note_failure(f"2001:db8:1:2::{number:x}")
    assert attempts.get_wait_s("2001:db8:1:2:ffff::1") > 0.0
    assert attempts.get_wait_s("2001:db8:1:3::1") == 0.0
    for _ in range(MAX_FAILURES_PER_ADDRESS):
        attempts.note_failure("::ffff:10.0.0.1")
    assert attempts.get_wait_s("10.0.0.1") > 0.0 and attempts.get_wait_s("10.0.0.2") == 0.0


def test_who_asks_often_at_once_is_heard_as_often_as_one_after_the_other() -> None:
    attempts = Attempts(Clock())
    app = SimpleNamespace(state=SimpleNamespace(attempts={SignInMethod.CODE: attempts}))
    request = Request({"type": "http", "app": app, "client": ("10.0.0.1", 1)})
    with ExitStack() as under_way:
        for _ in range(MAX_FAILURES_PER_ADDRESS):
            under_way.enter_context(count_attempt(request, SignInMethod.CODE))
        with pytest.raises(TooManyAttempts), count_attempt(request, SignInMethod.CODE):
            pass
    assert attempts.get_wait_s("10.0.0.1") == 0.0, "all were right"
    for _ in range(2 * MAX_FAILURES_PER_ADDRESS):
        with pytest.raises(StorageFailed), count_attempt(request, SignInMethod.CODE):
            raise StorageFailed("nobody could say")
    for _ in range(MAX_FAILURES_PER_ADDRESS):
        with pytest.raises(AccessDenied), count_attempt(request, SignInMethod.CODE):
            raise AccessDenied("wrong")
    assert attempts.get_wait_s("10.0.0.1") > 0.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 100.0)), max_size=80))
def test_never_more_than_ten_failures_in_any_window(moments: list[tuple[str, float]]) -> None:
    clock = Clock()
    attempts = Attempts(clock)
    let_through: dict[str, list[float]] = {}
    for address, later in moments:
        clock.now += later
        if attempts.get_wait_s(address) == 0.0:
            attempts.note_failure(address)
            let_through.setdefault(address, []).append(clock.now)
    for times in let_through.values():
        for first, after in zip(times, times[MAX_FAILURES_PER_ADDRESS:], strict=False):
            assert after - first >= ATTEMPT_WINDOW_S - 1e-6


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[httpx.Client]:
    workspace = make_workspace(tmp_path)
    add_account(workspace, "Lan", Role.VIEWER, "right")
    with (
        running(Services(workspace=workspace)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


@pytest.mark.parametrize(("language", "words"), [("vi", "quá nhiều lần"), ("en", "Too many failed sign-ins")])
def test_the_door_says_429_and_when_to_come_back(guarded: httpx.Client, language: str, words: str) -> None:
    def enter(token: str) -> httpx.Response:
        return guarded.post(f"/api/login?lang={language}", json={"token": token})

    statuses = [enter("wrong").status_code for _ in range(MAX_FAILURES_PER_ADDRESS)]
    assert statuses == [401] * MAX_FAILURES_PER_ADDRESS
    refused = enter("wrong")
    assert refused.status_code == 429
    assert words in refused.json()["message"] and "5" in refused.json()["message"]
    assert 0 < int(refused.headers["retry-after"]) <= ATTEMPT_WINDOW_S
    assert enter("right").status_code == 200, "nobody is shut out by what others send from where they are"
    assert guarded.get("/api/session").json()["account"]["name"] == "Lan"


def test_who_guesses_at_guest_links_bars_no_token_and_no_link_that_is_right(
    guarded: httpx.Client, tmp_path: Path
) -> None:
    _, secret = invite_guest(make_workspace(tmp_path), 1.0, None, "Lan")  # the same house
    said = [guarded.post(f"/guest/{number}").status_code for number in range(MAX_FAILURES_PER_ADDRESS + 1)]
    assert said == [401] * MAX_FAILURES_PER_ADDRESS + [429]
    assert guarded.post("/api/login", json={"token": "wrong"}).status_code == 401, "counted by itself"
    assert guarded.post("/api/login", json={"token": "right"}).status_code == 200
    assert guarded.post(f"/guest/{secret}").status_code == 303
