"""Interface of the connection to a peer that an exchange uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from flycam.messages import Message
from flycam.sync.transfer import SyncReport


class PeerResponse(Protocol):
    """Response of a peer."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def json(self) -> Any: ...


class PeerConnection(Protocol):
    """Requests to one peer.

    `flycam.pipeline.upload.http_client.ServerConnection` is one.
    """

    @property
    def url(self) -> str: ...

    def request_once(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> PeerResponse:
        """Send one request; may raise what `call_with_retries` retries."""

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> PeerResponse:
        """Send a request as `request_once` does, until a response comes."""

    def download(
        self, method: str, path: str, hear: Callable[[bytes], None], most_bytes: int
    ) -> PeerResponse:
        """Send a request as `request_once` does; pass a good response's body to `hear`.

        It is passed as it comes, an empty block first, and nothing beyond `most_bytes`.
        """

    def call_with_retries(self, send: Callable[[], Any]) -> Any:
        """Call `send` until its answer is not "later"."""

    def get_error_message(self, reply: Any) -> Message:
        """Return the peer's own message."""

    def report_wait(self, why: Message) -> None:
        """Report the reason for a wait."""


class ReturnChannel(Protocol):
    """Data from the peer on the same connection.

    `flycam.sync.reference_client.ReferenceFetcher` is one.
    """

    def begin(self, said: Mapping[str, Any]) -> None:
        """Process the peer's answer to a query."""

    def fetch_some(self, target: int, sent: SyncReport) -> bool:
        """Fetch about so many bytes; return True if anything is left."""
