"""Store and database away in the middle: asked again, said, and given up in the end."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from flycam import retry
from flycam.errors import CatalogUnavailable, StoreUnavailable
from flycam.retry import RetryPolicy
from tests.texts import pair

_SOON_S = 30.0


def steps(step_s: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever it is looked at."""
    return (step_s * one for one in itertools.count()).__next__


class Away:
    """Fails so many times, then answers."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left, self.asked = times, 0
        self.error = error or StoreUnavailable(
            pair("s3: no answer; run again", "s3: không trả lời; hãy chạy lại")
        )

    def __call__(self) -> str:
        self.asked += 1
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return "there"


@pytest.mark.parametrize("error", [StoreUnavailable("away"), CatalogUnavailable("away")])
def test_what_comes_back_answers_and_is_said_to_have_been_away(error: Exception) -> None:
    patience, heard = RetryPolicy(lambda: 1_800_000_000 * 10**9, clock_s=steps(1.0)), []
    away = Away(3, error)

    def ask() -> str:
        heard.append((patience.is_away, patience.messages))
        return away()

    assert patience(ask) == "there"
    assert not heard[0][0]
    assert heard[0][1] == ()
    assert heard[1][0]
    ((english, vi),) = (one.to_fields().values() for one in heard[1][1])
    assert "unavailable since 08:00:00 UTC" in english and "15:00:00" in vi
    assert not patience.is_away
    (said,) = patience.messages
    assert "were unavailable for" in str(said)
    assert patience.away_s > 0


def test_it_is_given_up_after_the_time_stated_and_nobody_waits_any_more() -> None:
    patience, away = RetryPolicy(longest_s=40.0, clock_s=steps(1.0)), Away(10**9)
    with pytest.raises(StoreUnavailable):
        patience(away)
    assert away.asked > 3
    after = Away(1)
    with pytest.raises(StoreUnavailable):
        patience(after)
    assert after.asked == 1


def test_who_asks_to_stop_waits_a_little() -> None:
    patience, away = RetryPolicy(stopped=lambda: True, clock_s=steps(1.0)), Away(10**9)
    with pytest.raises(StoreUnavailable):
        patience(away)
    assert patience.away_s < retry.MAX_LIVE_OUTAGE_S / 10


def test_a_flight_that_ends_keeps_nobody_waiting() -> None:
    patience, asked, ended = RetryPolicy(), threading.Event(), []

    def ask() -> None:
        asked.set()
        raise StoreUnavailable("away")

    def wait() -> None:
        with pytest.raises(StoreUnavailable):
            patience(ask)
        ended.append(True)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert asked.wait(_SOON_S)
    patience.give_up()
    thread.join(_SOON_S)
    assert ended == [True]
