"""How many requests of a page waited for one another, by what the browser tells of its network.

What caused a request: the page or the programs that the browser names as having begun it, and, of what a
program began, every answer of the server's interface (`/api/`) that was there by then; where the browser
names nobody (it does not for pictures), all that was there by then. Which of these it waited for is not told,
so that a chain is never said to be shorter than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import CDPSession

Event = dict[str, Any]


@dataclass(slots=True)
class Request:
    """began_s, ended_s  the browser's clock; None: it has not ended. named: addresses that began it."""

    url: str
    began_s: float
    named: frozenset[str]
    ended_s: float | None = None


@dataclass
class Requests:
    """What a page asks for, in order, from when this listens."""

    asked: dict[str, Request] = field(default_factory=dict)

    def add_listener(self, session: CDPSession) -> None:
        """Follow a page's network; its session has `Network.enable`d."""
        session.on("Network.requestWillBeSent", self.sent)
        session.on("Network.loadingFinished", self.ended)
        session.on("Network.loadingFailed", self.ended)
        session.on("Network.requestServedFromCache", self.kept)

    def sent(self, event: Event) -> None:
        """A request began."""
        named = frozenset(_named(event["initiator"]))
        self.asked[event["requestId"]] = Request(event["request"]["url"], float(event["timestamp"]), named)

    def ended(self, event: Event) -> None:
        """It ended, whatever came of it."""
        if event["requestId"] in self.asked:
            self.asked[event["requestId"]].ended_s = float(event["timestamp"])

    def kept(self, event: Event) -> None:
        """It went over no line: what it asks for had been asked for before."""
        self.asked.pop(event["requestId"], None)

    def before(self, is_wanted: Callable[[str], bool]) -> list[str]:
        """Addresses of the longest chain that ended before the first request of that kind began; that one is
        not in it. Raises LookupError where none was asked for."""
        in_order = sorted(self.asked.values(), key=lambda one: one.began_s)
        wanted = next((one for one in in_order if is_wanted(one.url)), None)
        if wanted is None:
            raise LookupError("no such request was made")
        longest: dict[int, list[str]] = {}
        for one in in_order[: in_order.index(wanted) + 1]:
            chains = [
                longest[id(cause)] for cause in in_order if id(cause) in longest and _caused(cause, one)
            ]
            longest[id(one)] = [*max(chains, key=len, default=[]), one.url]
        return longest[id(wanted)][:-1]


def _caused(cause: Request, one: Request) -> bool:
    if cause.url.partition("#")[0] in one.named:
        return cause.began_s < one.began_s  # a page begins others while the end of it is still to come
    if cause.ended_s is None or cause.ended_s > one.began_s:
        return False
    return not one.named or ("/api/" in cause.url and _is_of_a_program(one))


def _is_of_a_program(one: Request) -> bool:
    return any(url.partition("?")[0].endswith(".js") for url in one.named)


def _named(initiator: Event) -> Iterator[str]:
    """Addresses in what is told of who began a request: the page's, or those of the programs on the stack."""
    if initiator.get("url"):
        yield initiator["url"].partition("#")[0]
    stack = initiator.get("stack")
    while stack:
        yield from (frame["url"] for frame in stack["callFrames"] if frame["url"])
        stack = stack.get("parent")
