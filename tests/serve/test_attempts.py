"""How often somebody may guess a token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.catalog.records import Role
from flycam.serve.attempts import FOR_ALL, PER_ADDRESS, WINDOW_S, Attempts
from flycam.serve.services import Services
from tests.serve.running import running
from tests.serve.world import add_account, make_workspace


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_ten_failures_shut_an_address_out_until_the_first_is_old() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(PER_ADDRESS):
        assert attempts.wait_s("a") == 0.0
        attempts.failed("a")
        clock.now += 1.0
    assert attempts.wait_s("a") == pytest.approx(WINDOW_S - PER_ADDRESS)
    assert attempts.wait_s("b") == 0.0
    clock.now += WINDOW_S - PER_ADDRESS
    assert attempts.wait_s("a") == 0.0


def test_a_success_forgets_and_many_addresses_do_not_help() -> None:
    attempts = Attempts(Clock())
    for _ in range(PER_ADDRESS - 1):
        attempts.failed("a")
    attempts.succeeded("a")
    attempts.failed("a")
    assert attempts.wait_s("a") == 0.0
    for number in range(FOR_ALL):
        attempts.failed(f"address {number}")
    assert attempts.wait_s("somebody new") > 0.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 100.0)), max_size=80))
def test_never_more_than_ten_failures_in_any_window(moments: list[tuple[str, float]]) -> None:
    clock = Clock()
    attempts = Attempts(clock)
    let_through: dict[str, list[float]] = {}
    for address, later in moments:
        clock.now += later
        if attempts.wait_s(address) == 0.0:
            attempts.failed(address)
            let_through.setdefault(address, []).append(clock.now)
    for times in let_through.values():
        for first, after in zip(times, times[PER_ADDRESS:], strict=False):
            assert after - first >= WINDOW_S - 1e-6


def test_threads_do_not_lose_failures() -> None:
    attempts = Attempts(Clock())
    threads = [threading.Thread(daemon=True, target=attempts.failed, args=("a",)) for _ in range(PER_ADDRESS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert attempts.wait_s("a") > 0.0


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[httpx.Client]:
    workspace = make_workspace(tmp_path)
    add_account(workspace, "Lan", Role.VIEWER, "right")
    with (
        running(Services(workspace=workspace)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


@pytest.mark.parametrize(("language", "words"), [("vi", "quá nhiều lần"), ("en", "Too many wrong tokens")])
def test_the_door_says_429_and_when_to_come_back(guarded: httpx.Client, language: str, words: str) -> None:
    def enter(token: str) -> httpx.Response:
        return guarded.post(f"/api/login?lang={language}", json={"token": token})

    statuses = [enter("wrong").status_code for _ in range(PER_ADDRESS)]
    assert statuses == [401] * PER_ADDRESS
    refused = enter("right")
    assert refused.status_code == 429
    assert words in refused.json()["message"] and "5" in refused.json()["message"]
    assert 0 < int(refused.headers["retry-after"]) <= WINDOW_S
    # who has a token may still use it as such: a map that is open goes on working
    assert guarded.get("/api/session", headers={"Authorization": "Bearer right"}).status_code == 200
