"""What counts as a chain of requests: tests of the tool that the bench and the budget measure with."""

from __future__ import annotations

import pytest

from tests.chains import Requests

PAGE, PROGRAM, LISTS, TILE = "http://x/", "http://x/assets/a.js", "http://x/api/flights", "http://x/tiles/1"
BY_PAGE = {"type": "parser", "url": PAGE}
BY_PROGRAM = {"type": "script", "stack": {"callFrames": [], "parent": {"callFrames": [{"url": PROGRAM}]}}}


def _seen(*requests: tuple[str, float, float, dict]) -> Requests:
    seen = Requests()
    for number, (url, began, ended, initiator) in enumerate(requests):
        told = {"request": {"url": url}, "timestamp": began, "initiator": initiator}
        seen.sent({"requestId": str(number), **told})
        seen.ended({"requestId": str(number), "timestamp": ended})
    return seen


def _before_a_tile(seen: Requests) -> list[str]:
    return seen.before(lambda url: "/tiles/" in url)


def test_what_waited_for_an_answer_is_one_longer() -> None:
    page, program = (PAGE, 0.0, 1.0, {"type": "other"}), (PROGRAM, 1.1, 2.0, BY_PAGE)
    seen = _seen(page, program, (LISTS, 2.1, 3.0, BY_PROGRAM), (TILE, 3.1, 4.0, BY_PROGRAM))
    assert _before_a_tile(seen) == [PAGE, PROGRAM, LISTS]


def test_a_page_that_is_read_while_it_comes_begins_its_program_all_the_same() -> None:
    page, program = (PAGE, 0.0, 1.2, {"type": "other"}), (PROGRAM, 1.1, 2.0, BY_PAGE)
    assert _before_a_tile(_seen(page, program, (TILE, 3.1, 4.0, BY_PROGRAM))) == [PAGE, PROGRAM]


def test_what_was_asked_for_at_the_same_time_is_no_chain() -> None:
    page, program = (PAGE, 0.0, 1.0, {"type": "other"}), (PROGRAM, 1.1, 2.0, BY_PAGE)
    lists = [(f"{LISTS}/{n}", 2.1 + 0.1 * n, 3.0, BY_PROGRAM) for n in range(5)]
    assert len(_before_a_tile(_seen(page, program, *lists, (TILE, 3.1, 4.0, BY_PROGRAM)))) == 3
    early = (LISTS, 1.1, 1.8, BY_PAGE)  # asked for with the program, not by it
    assert len(_before_a_tile(_seen(page, program, early, (TILE, 3.1, 4.0, BY_PROGRAM)))) == 2


def test_of_a_request_that_nobody_is_named_for_all_that_was_there_is_a_cause() -> None:
    page, program = (PAGE, 0.0, 1.0, {"type": "other"}), (PROGRAM, 1.1, 2.0, BY_PAGE)
    tile = (TILE, 3.1, 4.0, {"type": "other"})
    assert _before_a_tile(_seen(page, program, (LISTS, 2.1, 3.0, BY_PROGRAM), tile)) == [PAGE, PROGRAM, LISTS]
    late = (LISTS, 2.1, 3.5, BY_PROGRAM)
    assert _before_a_tile(_seen(page, program, late, tile)) == [PAGE, PROGRAM], "it was not there yet"


def test_what_the_browser_had_is_no_request_and_no_tile_is_said() -> None:
    seen = _seen(
        (PAGE, 0.0, 1.0, {"type": "other"}), (LISTS, 2.0, 2.0, BY_PROGRAM), (TILE, 3.0, 4.0, BY_PAGE)
    )
    seen.kept({"requestId": "1"})
    assert _before_a_tile(seen) == [PAGE]
    with pytest.raises(LookupError):
        seen.before(lambda url: "nowhere" in url)
