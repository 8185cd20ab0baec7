"""A recipe in which store or database go away: begun again once they are back, and given up where it helps
nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flycam.errors import CatalogUnavailable, DiskFull, FlycamError, PeerUnavailable, StoreUnavailable
from flycam.messages import Message
from flycam.retry import retry_on_outage
from flycam.workspace import Progress, Workspace, ignore_progress
from tests.houses import House
from tests.texts import pair
from tests.unreliable_stores import FaultyStore

MakeHouse = Callable[..., House]


class Work:
    """Tells progress, then fails with these errors in turn; at last it reports how often it was called."""

    def __init__(self, *errors: FlycamError, begins: bool = True) -> None:
        self._errors, self._begins, self.calls = list(errors), begins, 0

    def __call__(self, progress: Progress) -> int:
        self.calls += 1
        if self._begins:
            progress("look", self.calls, 9)
        if self._errors:
            raise self._errors.pop(0)
        return self.calls


class Told:
    """What the operator was told."""

    def __init__(self) -> None:
        self.said: list[Message] = []

    def __call__(self, message: Message) -> None:
        self.said.append(message)


def outlasted(workspace: Workspace, work: Work, told: Told | None = None) -> int:
    return retry_on_outage(workspace, work, ignore_progress, told or Told(), sleep=lambda _s: None)


def away() -> StoreUnavailable:
    return StoreUnavailable(pair("s3: no answer; run again", "s3: không trả lời; hãy chạy lại"))


@pytest.mark.parametrize("error", [away(), CatalogUnavailable("postgres: no answer; run again")])
def test_it_is_begun_again_and_both_are_said(make_house: MakeHouse, error: FlycamError) -> None:
    work, told = Work(error), Told()
    assert outlasted(make_house().workspace, work, told) == 2
    away_again, _ = told.said
    assert str(error) in str(away_again)


def test_it_is_not_begun_again_before_both_answer(make_house: MakeHouse) -> None:
    house = make_house().workspace
    asked: list[str] = []

    def trouble(operation: str, _key: str) -> Exception | None:
        asked.append(operation)
        return away() if len(asked) < 3 else None

    work = Work(away())
    assert outlasted(replace(house, store=FaultyStore(house.store, trouble)), work) == 2
    assert asked[:3] == ["put"] * 3, "the store was tried until it took something"


def test_what_fails_before_its_first_progress_is_told_at_once(make_house: MakeHouse) -> None:
    work = Work(away(), begins=False)
    with pytest.raises(StoreUnavailable):
        outlasted(make_house().workspace, work)
    assert work.calls == 1


def test_what_does_not_pass_by_itself_is_told_at_once(make_house: MakeHouse) -> None:
    work = Work(DiskFull("full"))
    with pytest.raises(DiskFull):
        outlasted(make_house().workspace, work)
    assert work.calls == 1


def test_what_fails_though_both_answer_is_given_up(make_house: MakeHouse) -> None:
    work = Work(*(away() for _ in range(9)))
    with pytest.raises(StoreUnavailable):
        outlasted(make_house().workspace, work)
    assert work.calls == 4


def test_who_asked_to_stop_is_not_kept(make_house: MakeHouse) -> None:
    work = Work(away())
    with pytest.raises(StoreUnavailable):
        retry_on_outage(
            make_house().workspace, work, ignore_progress, Told(), lambda: True, sleep=lambda _s: None
        )
    assert work.calls == 1


def test_a_peer_that_does_not_answer_is_no_trouble_of_this_house(make_house: MakeHouse) -> None:
    work = Work(PeerUnavailable(pair("http://x: no answer", "http://x: không trả lời")))
    with pytest.raises(PeerUnavailable):
        outlasted(make_house().workspace, work)
    assert work.calls == 1
