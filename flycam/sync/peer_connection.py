"""What an exchange needs of a line to a peer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from flycam.sync.transfer import SyncReport


class PeerResponse(Protocol):
    """What a peer answered."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def json(self) -> Any: ...


class PeerConnection(Protocol):
    """Requests to one peer; `flycam.pipeline.upload.http_client.ServerConnection` is one."""

    @property
    def url(self) -> str: ...

    def request_once(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> PeerResponse:
        """One request; may raise what `patiently` tries again after."""

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> PeerResponse:
        """As `once`, until an answer comes."""

    def download(
        self, method: str, path: str, hear: Callable[[bytes], None], most_bytes: int
    ) -> PeerResponse:
        """As `once`; the body of a good answer is handed on as it comes, an empty block first; what is more
        than `most_bytes` is not."""

    def call_with_retries(self, send: Callable[[], Any]) -> Any:
        """Call `send` until its answer is not "later"."""

    def get_error_message(self, reply: Any) -> str:
        """The peer's own sentence."""

    def report_wait(self, why: str) -> None:
        """Note why it is waited."""


class ReturnChannel(Protocol):
    """What comes from the peer on the same line; `flycam.sync.reference_client.ReferenceFetcher` is one."""

    def begin(self, said: Mapping[str, Any]) -> None:
        """Hear the peer's answer to a question."""

    def fetch_some(self, target: int, sent: SyncReport) -> bool:
        """Fetch about so many bytes; whether anything is left."""
