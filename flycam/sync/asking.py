"""What an exchange needs of a line to a peer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from flycam.sync.limits import Sent


class Answered(Protocol):
    """What a peer answered."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def json(self) -> Any: ...


class Asking(Protocol):
    """Requests to one peer; `flycam.pipeline.upload.line.Line` is one."""

    @property
    def url(self) -> str: ...

    def once(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> Answered:
        """One request; may raise what `patiently` tries again after."""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answered:
        """As `once`, until an answer comes."""

    def receive(self, method: str, path: str, hear: Callable[[bytes], None], most_bytes: int) -> Answered:
        """As `once`; the body of a good answer is handed on as it comes, an empty block first; what is more
        than `most_bytes` is not."""

    def patiently(self, send: Callable[[], Any]) -> Any:
        """Call `send` until its answer is not "later"."""

    def said(self, reply: Any) -> str:
        """The peer's own sentence."""

    def say(self, why: str) -> None:
        """Note why it is waited."""


class WayBack(Protocol):
    """What comes from the peer on the same line; `flycam.sync.fetching.Fetcher` is one."""

    def begin(self, said: Mapping[str, Any]) -> None:
        """Hear the peer's answer to a question."""

    def some(self, target: int, sent: Sent) -> bool:
        """Fetch about so many bytes; whether anything is left."""
