"""Interfaces and common types of synchronisation.

Interfaces of the node, of the bytes that an exchange is read from, and of the connection to a peer; limits
and report of a transfer, and the binding of accounts to node names.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flycam.errors import AccessDenied, ObjectMissing, SourceUnreadable
from flycam.messages import Message, _
from flycam.model.access import Role
from flycam.storage import keys
from flycam.sync.manifest import ExchangeManifest, ManifestItem, MissingObjects

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.storage.base import ObjectStore


class Node(Protocol):
    """The part of a node that sync uses.

    `flycam.workspace.Workspace` is one.

    box        this node's name in the tile log
    clock_ns   UTC nanoseconds, for what is written here; the order of an exchange does not depend on it
    cache_dir  local files that can be deleted at any time
    """

    @property
    def store(self) -> ObjectStore: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def box(self) -> str: ...

    @property
    def clock_ns(self) -> Callable[[], int]: ...

    @property
    def cache_dir(self) -> Path: ...

    def require_disk_space(self, more_bytes: int = 0) -> None:
        """Raise DiskFull if so many bytes more would use the catalogue's reserve."""


# -- Report of a flight that cannot be merged ------------------------------------------------------


def describe_conflict(flight_id: str, name: str, sentence: Message) -> dict[str, str]:
    """Return a flight that is not sent or merged, and why, for answers and commands."""
    return {"flight_id": flight_id, "name": name, **sentence.to_fields()}


# -- Binding of accounts to node names -------------------------------------------------------------
#
# Stored both ways at first contact. A node names itself in its messages, and only its token identifies it:
# without the binding, a stolen token could act in the name of every node.


class NodeIdentities:
    """Bindings of node names to accounts.

    A name belongs to the account that used it first, and an account acts for one node, for as long as its
    role is that of a node. Thread-safe.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()

    def require(self, account: str, box: str) -> None:
        """Bind an account to a node's name if neither is bound.

        Raises AccessDenied where either is bound to another.
        """
        with self._lock:
            self._release_former(box)
            bound = self._read(keys.format_account_node_key(account)) or box
            if bound != box:
                raise AccessDenied(
                    _(
                        "{account}: this token belongs to the node {bound}, and not to {box}; make an "
                        "account for {box} on the server: flycam user add NAME --role box",
                        account=account,
                        bound=bound,
                        box=box,
                    )
                )
            if self._read_or_bind(keys.format_node_account_key(box), account) != account:
                raise AccessDenied(
                    _(
                        "{box}: this name belongs to a node that comes with another account than "
                        "{account}; give this machine a name of its own with FLYCAM_BOX, or that "
                        "account's token (on the server: flycam user add ACCOUNT --role box)",
                        box=box,
                        account=account,
                    )
                )
            self._read_or_bind(keys.format_account_node_key(account), box)

    def _read_or_bind(self, key: str, name: str) -> str:
        """Return the name under a key, set to `name` if there was none."""
        store = self._node.store
        if store.put_if_absent(key, name.encode()):
            store.flush()
        return self._read(key)

    def _read(self, key: str) -> str:
        """Return the name under a key, "" if there is none."""
        with suppress(ObjectMissing):
            return self._node.store.get(key).decode()
        return ""

    def _release_former(self, box: str) -> None:
        """Free a name whose account has another role now, or was removed."""
        account, known = self._read(keys.format_node_account_key(box)), self._node.catalog.accounts.all()
        if account and not any(one.name == account and one.role is Role.BOX for one in known):
            self._node.store.delete(keys.format_account_node_key(account))
            self._node.store.delete(keys.format_node_account_key(box))


# -- Interface of the bytes that an exchange is read from ------------------------------------------


class ExchangeSource(Protocol):
    """Bytes that were found complete; path: named in errors about their contents."""

    @property
    def path(self) -> Path: ...

    def read(self, start: int, length: int) -> bytes:
        """Return bytes start..start+length; SourceUnreadable beyond the end."""

    def blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield what `read` returns in blocks."""


def iterate_objects(manifest: ExchangeManifest, start: int) -> Iterator[tuple[ManifestItem, int]]:
    """Yield each object of an exchange and its offset; the first is at `start`."""
    for item in manifest.items:
        yield item, start
        start += item.size_bytes


def read_object(source: ExchangeSource, item: ManifestItem, at: int, max_bytes: int) -> bytes:
    """Return an object's bytes; SourceUnreadable if wrong or more than `max_bytes`."""
    if item.size_bytes > max_bytes:
        raise build_hash_mismatch_error(source.path)
    data = source.read(at, item.size_bytes)
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise build_hash_mismatch_error(source.path)
    return data


def build_hash_mismatch_error(path: Path) -> SourceUnreadable:
    """Return the error for bytes that do not match the manifest."""
    return SourceUnreadable(
        _(
            "{path}: holds other bytes than its list of contents says; write it again on "
            "the node it comes from",
            path=path,
        )
    )


# -- Limits and report of a transfer ---------------------------------------------------------------


REQUEST_OVERHEAD_BYTES = 1000
"""Of a request and its response, as they are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferLimits:
    """Limits of a connection.

    rate_bytes_s, budget_bytes  None: unlimited
    metered                     no tiles, no photos
    originals                   photos too
    """

    rate_bytes_s: float | None = None
    budget_bytes: int | None = None
    metered: bool = False
    originals: bool = False


@dataclass(kw_only=True, slots=True)
class SyncReport:
    """Result of synchronising, summed over rounds.

    sent_bytes  handed to the connection, retransmissions included; received_bytes: what came back
    step_bytes  of them, of steps: without queries
    left_bytes  of tiles and photos that the peer still lacks, or about which it was not queried
    conflicts   flights that the peer could not merge, in its words
    skipped     keys of what is lost or damaged here and was therefore not sent
    ended_by    why it ended before all was sent: "budget", "metered" or ""
    """

    peer: str = ""
    steps: int = 0
    tiles: int = 0
    views: int = 0
    originals: int = 0
    sent_bytes: int = 0
    step_bytes: int = 0
    received_bytes: int = 0
    tile_bytes: int = 0
    left_bytes: int = 0
    conflicts: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)
    ended_by: str = ""


def compute_budget_left(limits: TransferLimits, report: SyncReport) -> int:
    """Return the bytes left of the budget, which counts both ways; maxsize if none."""
    budget = limits.budget_bytes
    return sys.maxsize if budget is None else budget - report.sent_bytes - report.received_bytes


# -- Interface of the connection to a peer that an exchange uses -----------------------------------


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

    `flycam.http.client.ServerConnection` is one.
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

    def begin(self, missing: MissingObjects) -> None:
        """Process the peer's answer to a query."""

    def fetch_some(self, target: int, sent: SyncReport) -> bool:
        """Fetch about so many bytes; return True if anything is left."""
