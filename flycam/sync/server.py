"""Receiving end of a connection, `/api/sync` (docs/formats/sync.md).

A node queries what is missing here, then sends one step after the other. Each is spooled until it is
complete, then imported; an interrupted one resumes at its offset. Only these addresses are open to a node's
token.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from flycam.access.policy import AccessPolicy
from flycam.catalog.retention import select_active_purges
from flycam.errors import (
    AccessDenied,
    FlightBusy,
    ObjectMissing,
    RecordsMissing,
    SourceUnreadable,
    StorageFailed,
    StoreConflict,
)
from flycam.http.guards import (
    GuardedRoute,
    NodeOrAdminPrincipal,
    Principal,
    Services,
    ServicesHere,
    get_services,
    require_node,
)
from flycam.http.protocol import (
    BAD_TOKEN,
    MAX_LARGE_BYTES,
    Refused,
    build_too_large_error,
    iterate_body,
    limit_body,
    read_byte_count_header,
)
from flycam.messages import _, pgettext
from flycam.model.access import Role
from flycam.mosaic.tiles.peers import list_previewed_tiles, read_peer_cursors
from flycam.originals import select_locally_purged
from flycam.storage import keys
from flycam.storage.files import RESERVED_BYTES, SPARE_BYTES, get_free_bytes, require_free_space
from flycam.sync.exchange import (
    DECODE_ERRORS,
    DIGEST_PREFIX_DIGITS,
    HEAD_DIGITS,
    ExchangeManifest,
    ExchangeSource,
    InventoryAnswer,
    InventoryQuery,
    ObjectKind,
    from_values,
    read_manifest,
    require_exchange_format,
    require_hex_digits,
    to_values,
)
from flycam.sync.exchange_import import ApplyHooks, ApplyReport, SyncApplyHooks, import_exchange
from flycam.sync.node_keys import bind_node_key, find_node_key
from flycam.sync.reference_feed import (
    ITEM_NAME_DIGITS,
    MAX_FEED_ITEMS_PER_REQUEST,
    ReferenceFeed,
    build_feed,
    compute_feed_state,
    encode_feed_listing,
)
from flycam.workspace import Workspace

# -- Answers to queries, and import of whole steps -------------------------------------------------


_MAX_MANIFEST_BYTES = 16 << 20
_SHA256_DIGITS = 64


def answer_inventory_query(
    node: Workspace,
    question: Mapping[str, Any],
    feed_state: str,
    identify: Callable[[InventoryQuery], None] = lambda _query: None,
) -> dict[str, Any]:
    """Return the values of an `InventoryAnswer` to those of an `InventoryQuery`.

    feed_state  of the reference data that there are for the node
    identify    raises AccessDenied if the account does not act for the node that asks

    Raises SourceUnreadable for a node of another version, or with this one's name, and what `identify`
    raises.
    """
    require_exchange_format(question.get("format"), node.box)
    try:
        query = from_values(InventoryQuery, question)
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _("what the node asks does not read ({error}); bring both nodes to the same version", error=error)
        ) from error
    if query.box == node.box:
        raise SourceUnreadable(
            _("{box}: both nodes carry this name; give one a name of its own with FLYCAM_BOX", box=node.box)
        )
    identify(query)
    taken = read_peer_cursors(node.store, query.box)
    logs = {keys.derive_log_id(query.box, one) for one in query.mosaics}
    active = select_active_purges(node.catalog.retention.list_for_originals(query.originals))
    # what another node says that it deleted keeps nothing from coming
    purged = {sha256 for sha256, lines in active.items() if any(one.box == query.box for one in lines)}
    purged |= select_locally_purged(node.catalog, node.box, active).keys()
    exists = node.store.exists
    answer = InventoryAnswer(
        box=node.box,
        cursors={one: taken[one] for one in query.mosaics if one in taken},
        records=frozenset(_list_missing_records(node, query)),
        terrain=tuple(one for one in query.terrain if not exists(keys.format_terrain_key(one))),
        originals=tuple(
            one for one in query.originals if one not in purged and not exists(keys.format_original_key(one))
        ),
        heads={one: _find_missing_heads(node, one, some) for one, some in query.heads.items()},
        views=frozenset(digest[:DIGEST_PREFIX_DIGITS] for digest in list_previewed_tiles(node.store, logs)),
        feed_state=feed_state,
    )
    return to_values(answer)


def open_step(path: Path) -> tuple[ExchangeSource, ExchangeManifest, int]:
    """Return a complete step, its manifest and the offset of its first object.

    Raises SourceUnreadable.
    """
    source = ExchangeSource(Path("line"), [(path, 0, path.stat().st_size)])
    try:
        manifest, start = read_manifest(source, _MAX_MANIFEST_BYTES)
    except SourceUnreadable:
        source.close()
        raise
    source.path = Path(manifest.box)
    return source, manifest, start


def import_step(
    node: Workspace,
    path: Path,
    hooks: ApplyHooks,
    account: str = "",
    check: Callable[[ExchangeManifest], None] = lambda _manifest: None,
) -> ApplyReport:
    """Import a complete step from a file; importing it again changes nothing.

    account  that sent it, for the audit log
    check    raises where it must not be imported

    Raises SourceUnreadable, RecordsMissing, StoreConflict (nodes of one name), FlightBusy, StorageFailed,
    and what `check` raises.
    """
    source, manifest, start = open_step(path)
    with source:
        check(manifest)
        return import_exchange(node, source, manifest, start, hooks, account=account)


def _find_missing_heads(node: Workspace, mosaic_id: str, wanted: Iterable[str]) -> frozenset[str]:
    """Return the heads that the mosaic here lacks."""
    here = {head.content_hash[:HEAD_DIGITS] for head in node.catalog.tiles.heads(mosaic_id, 0)}
    return frozenset(wanted) - here


def _list_missing_records(node: Workspace, query: InventoryQuery) -> list[str]:
    """Return the records missing here; delete those that are no longer named."""
    if query.records is None:
        return []
    prefix = keys.format_peer_records_prefix(query.box)
    here = {key.removeprefix(prefix): key for key in node.store.list(prefix)}
    for sha256 in here.keys() - set(query.records):
        node.store.delete(here[sha256])
    return [one for one in query.records if one not in here and len(one) == _SHA256_DIGITS]


# -- Binding of accounts to node names -------------------------------------------------------------
#
# Stored both ways at first contact. A node names itself in its messages, and only its token identifies it:
# without the binding, a stolen token could act in the name of every node. With the name goes the key that
# signs its bundles.


class NodeIdentities:
    """Bindings of node names to accounts.

    A name belongs to the account that used it first, and an account acts for one node, for as long as its
    role is that of a node. Thread-safe.
    """

    def __init__(self, node: Workspace) -> None:
        self._node = node
        self._lock = threading.Lock()

    def require(self, account: str, box: str, key: str = "") -> None:
        """Bind an account to a node's name if neither is bound.

        key  that the node states as its own; "": none

        Raises AccessDenied where either is bound to another, and where the name is known by another key: an
        account that used no name yet proves none.
        """
        with self._lock:
            if not self._is_node_account(account):
                raise AccessDenied(BAD_TOKEN)  # removed while its sign-in was remembered
            self._release_former(box)
            bound = self._read(keys.format_account_node_key(account)) or box
            if bound != box:
                raise AccessDenied(
                    _(
                        "{account}: this token belongs to the node {bound}, and not to {box}; make an "
                        "account for {box} on the server: flycam account add NAME --role box",
                        account=account,
                        bound=bound,
                        box=box,
                    )
                )
            if not self._read(keys.format_node_account_key(box)) and key != (
                find_node_key(self._node, box) or key
            ):
                raise AccessDenied(
                    _(
                        "{box}: this name belongs to a node with another key; give this machine a name of "
                        "its own with FLYCAM_BOX, or, if it was installed anew, run on the server: flycam "
                        "box forget {box}",
                        box=box,
                    )
                )
            if self._read_or_bind(keys.format_node_account_key(box), account) != account:
                raise AccessDenied(
                    _(
                        "{box}: this name belongs to a node with another account than {account}; give "
                        "this machine a name of its own with FLYCAM_BOX, or that account's token (on the "
                        "server: flycam account add ACCOUNT --role box)",
                        box=box,
                        account=account,
                    )
                )
            self._read_or_bind(keys.format_account_node_key(account), box)

    def bind_key(self, account: str, box: str, key: str, *, is_proven: bool) -> None:
        """Note a node's public key, "" if it states none (`bind_node_key`).

        is_proven  the account is this node's: then the key replaces one known before
        """
        if key:
            with self._lock:
                bind_node_key(self._node, box, key, account, replaces=is_proven)

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
        account = self._read(keys.format_node_account_key(box))
        if account and not self._is_node_account(account):
            self._node.store.delete(keys.format_account_node_key(account))
            self._node.store.delete(keys.format_node_account_key(box))

    def _is_node_account(self, account: str) -> bool:
        known = self._node.catalog.accounts.all()
        return any(one.name == account and one.role is Role.BOX for one in known)


# -- Spool of incoming steps: one step a sender, kept between attempts -----------------------------
#
#     SHA256.part   what came so far; its length is where the sender resumes
#
# Nothing here is the only copy: a step is acknowledged when it was imported, and until then its sender has
# it. So the bytes are not synced; what a power cut leaves is compared with the SHA-256 and sent again if it
# differs. They stay until the next step: a sender that missed the answer asks again, and importing a step
# again changes nothing.


_SMALL_BYTES = 8 << 20
"""Steps up to this size are accepted while there is any room: records, among them withdrawals and
redactions, are in such.
"""


class Spool:
    """One sender's folder. Thread-safe; only the latest attempt may write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._turn = 0
        self._left_free = SPARE_BYTES
        self._taking = threading.Lock()

    @contextmanager
    def lock_for_import(self) -> Iterator[None]:
        """Hold while a step of this sender is imported: meanwhile no other begins.

        Nor does this one begin again. Raises FlightBusy at once if one is held: senders retry by
        themselves, and hold no thread here.
        """
        if not self._taking.acquire(blocking=False):
            raise _build_busy_error()
        try:
            yield
        finally:
            self._taking.release()

    def offset(self, sha256: str, size: int) -> int:
        """Return the byte at which the step resumes; `size` if all came."""
        try:
            at = self._part(sha256).stat().st_size
        except FileNotFoundError:
            return 0
        return at if at <= size else 0

    def begin(self, sha256: str, at: int, size: int = 0) -> int | None:
        """Take the turn to add bytes from `at` on; None if the step resumes elsewhere.

        Other steps of this sender are deleted.

        size  of the whole step, bytes

        Raises FlightBusy if that would delete bytes that are being imported, DiskFull if the rest of it
        would leave less room than flights need (a small one: than the catalogue needs), StorageFailed.
        """
        with self._lock, _storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._part(sha256)
            here = part.stat().st_size if part.exists() else 0
            if self._taking.locked() and (at == 0 or not here):
                raise _build_busy_error()
            for other in self._folder.iterdir():
                if other != part:
                    other.unlink(missing_ok=True)
            left_free = RESERVED_BYTES if size <= _SMALL_BYTES else SPARE_BYTES
            self._require_room(size - at, left_free)
            if at not in (here, 0):
                return None
            if at == 0:
                part.write_bytes(b"")
            self._turn, self._left_free = self._turn + 1, left_free
            return self._turn

    def add(self, turn: int, sha256: str, data: bytes) -> bool:
        """Add bytes; False if a later attempt has the turn.

        Raises DiskFull, StorageFailed.
        """
        with self._lock, _storage_errors(self._folder):
            if turn != self._turn:
                return False
            self._require_room(len(data), self._left_free)
            with self._part(sha256).open("ab") as file:
                file.write(data)
            return True

    def find_complete(self, sha256: str) -> Path | None:
        """Return the step's file if it matches its name; else delete it and return None."""
        part = self._part(sha256)
        with _storage_errors(self._folder):
            try:
                # without the lock, for hashing gigabytes would delay other requests
                with part.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                        return part
            except FileNotFoundError:
                return None
            with self._lock:
                part.unlink(missing_ok=True)
            return None

    def forget(self, sha256: str) -> None:
        """Delete a step that cannot be imported."""
        with self._lock, suppress(OSError):
            self._part(sha256).unlink(missing_ok=True)

    def require_free_bytes(self, more_bytes: int) -> None:
        """Raise DiskFull if a step's contents would leave less room than flights need."""
        with _storage_errors(self._folder):
            self._require_room(more_bytes, SPARE_BYTES)

    def _require_room(self, more_bytes: int, left_free: int) -> None:
        if more_bytes > 0:
            free = get_free_bytes(self._folder)
            require_free_space(
                self._folder, free, more_bytes, pgettext("sending", "resumes by itself"), left_free
            )

    def _part(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.part"


def _build_busy_error() -> FlightBusy:
    return FlightBusy(_("what this node sent before is still being imported; it resumes by itself"))


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    """Turn OSError into StorageFailed naming the folder."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            _(
                "{folder}: incoming data cannot be stored ({strerror}); free some space there",
                folder=folder,
                strerror=error.strerror,
            )
        ) from error


# -- `/api/sync/common`: reference data for nodes (docs/formats/sync.md) ---------------------------
#
# Restricted areas, confirmed changes, layers, communes, terrain; never more than the account may see.


_OCTET_TYPE = "application/octet-stream"
_MAX_RESPONSE_BYTES = 64 << 20
_MAX_CACHED_FEEDS = 4

reference_router = APIRouter()


class ReferenceFeedCache:
    """Latest reference feed under each access policy, for several threads at once."""

    def __init__(self, node: Workspace) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._made: dict[str, ReferenceFeed] = {}

    def get_feed(self, policy: AccessPolicy) -> ReferenceFeed:
        """Return the feed as it is now."""
        of = policy.fingerprint
        with self._lock:
            made = self._made.pop(of, None)
            if made is None or made.state != compute_feed_state(self._node, policy):
                made = build_feed(self._node, policy)
            self._made[of] = made
            while len(self._made) > _MAX_CACHED_FEEDS:
                self._made.pop(next(iter(self._made)))
            return made


def _get_reference_cache(request: Request) -> ReferenceFeedCache:
    found: ReferenceFeedCache = request.app.state.shelf
    return found


ReferenceCacheHere = Annotated[ReferenceFeedCache, Depends(_get_reference_cache)]


@reference_router.get("/api/sync/common", response_class=Response)
def list_reference_items(
    principal: NodeOrAdminPrincipal, here: ReferenceCacheHere, services: ServicesHere
) -> Response:
    """List the reference items for a node, and the state of the feed."""
    commons = here.get_feed(principal.access_policy)
    data = encode_feed_listing(services.workspace, commons)
    return Response(data, media_type=_OCTET_TYPE, headers={"Cache-Control": "no-store"})


@reference_router.get("/api/sync/common/things", response_class=Response)
def fetch_reference_items(
    principal: NodeOrAdminPrincipal,
    here: ReferenceCacheHere,
    services: ServicesHere,
    of: Annotated[
        str, Query(max_length=MAX_FEED_ITEMS_PER_REQUEST * (ITEM_NAME_DIGITS + 1), pattern=r"^[0-9a-f,]+$")
    ],
    at: Annotated[int, Query(ge=0)] = 0,
    most: Annotated[int, Query(ge=1)] = _MAX_RESPONSE_BYTES,
) -> Response:
    """Return the bytes of items, one after another.

    From byte `at` of the first on, at most `most`. 409 if one is no longer there: the list has changed.
    """
    commons = here.get_feed(principal.access_policy)
    by_name = {one.sha256[:ITEM_NAME_DIGITS]: one for one in commons.items}
    found = [by_name.get(name) for name in of.split(",")]
    wanted = [one for one in found if one is not None]
    if len(wanted) < len(found) or at >= wanted[0].size_bytes:
        raise Refused(409, _("the list is another by now: ask for it"))
    length = min(sum(one.size_bytes for one in wanted) - at, most, _MAX_RESPONSE_BYTES)
    body = commons.blocks(services.workspace, wanted, at, length)
    headers = {"Content-Length": str(length), "Cache-Control": "no-store"}
    return StreamingResponse(body, media_type=_OCTET_TYPE, headers=headers)


# -- Upload of steps by field nodes ----------------------------------------------------------------


MAX_STEP_BYTES = 4 << 30
_WRITE_BYTES = 64 << 10
_OCTETS = {_OCTET_TYPE: {"schema": {"type": "string", "format": "binary"}}}


_MAX_CONCURRENT_IMPORTS = 2
"""Imports at a time, over all nodes, in threads of their own: the threads that requests share authenticate
and render tiles."""
_LARGE_KINDS = (ObjectKind.TILE, ObjectKind.TERRAIN, ObjectKind.ORIGINAL)
"""Objects that wait for disk space, however small their step."""

router = APIRouter(route_class=GuardedRoute)


class StepReceiver:
    """Steps on their way in, by sender."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._spools: dict[str, Spool] = {}
        self._audited: set[tuple[str, str]] = set()
        self._identities = NodeIdentities(services.workspace)
        self.imports = ThreadPoolExecutor(_MAX_CONCURRENT_IMPORTS, "taking-in")

    def get_spool(self, visitor: Principal) -> Spool:
        """Return the sender's own spool. Raises Refused 404 where this server takes none."""
        folder = self._services.sync_dir
        if folder is None:
            raise Refused(404, _("this server imports no steps"))
        return self._spools.setdefault(visitor.name, Spool(folder / keys.derive_node_id(visitor.name)))

    def require_node_name(self, visitor: Principal, name: str, key: str = "") -> None:
        """Raise AccessDenied where a node's account uses another node's name.

        An administrator, and open access, may use any.
        """
        if visitor.account is not None and visitor.account.role is Role.BOX:
            self._identities.require(visitor.name, name, key)

    def identify(self, visitor: Principal, query: InventoryQuery) -> None:
        """Require that a node asks in its own name, and note its key. Raises AccessDenied."""
        self.require_node_name(visitor, query.box, query.key)
        is_proven = visitor.account is not None and visitor.account.role is Role.BOX
        self._identities.bind_key(visitor.name, query.box, query.key, is_proven=is_proven)

    def take(self, visitor: Principal, path: Path) -> ApplyReport:
        """Import a step that arrived whole.

        Raises as `import_step`, AccessDenied, and DiskFull where it holds more than records and overviews and
        would leave less room than flights need.
        """

        def check(manifest: ExchangeManifest) -> None:
            large = sum(one.size_bytes for one in manifest.items if one.kind in _LARGE_KINDS)
            self.get_spool(visitor).require_free_bytes(large)
            self.require_node_name(visitor, manifest.box)

        workspace = self._services.workspace
        return import_step(workspace, path, SyncApplyHooks(workspace), visitor.name, check)

    def audit_visit(self, visitor: Principal, name: str) -> None:
        """Write to the audit log that a node came, once in the life of this server."""
        if (visitor.name, name) not in self._audited:
            self._audited.add((visitor.name, name))
            self._services.workspace.catalog.audit.append(visitor.name, "sync", name)


@router.post("/api/sync", openapi_extra=limit_body(MAX_LARGE_BYTES))
def query_missing_objects(
    question: Annotated[dict[str, Any], Body()], request: Request, principal: NodeOrAdminPrincipal
) -> dict[str, Any]:
    """Return which of the objects that a node names are missing here.

    Also how far its logs were imported, and the state of the reference feed for it (`/api/sync/common`).
    """
    arrivals = _get_receiver(request)
    workspace = get_services(request).workspace
    feed_state = compute_feed_state(workspace, principal.access_policy)
    answer = answer_inventory_query(workspace, question, feed_state, partial(arrivals.identify, principal))
    arrivals.audit_visit(principal, str(question["box"]))
    return answer


@router.head("/api/sync/steps/{sha256}", response_class=Response)
def get_step_offset(sha256: str, request: Request, principal: NodeOrAdminPrincipal) -> Response:
    """Return the offset at which a step continues: Upload-Offset, of Upload-Length."""
    size = read_byte_count_header(request, "upload-length")
    at = _get_receiver(request).get_spool(principal).offset(_require_sha256(sha256), size)
    return Response(headers={"Upload-Offset": str(at), "Cache-Control": "no-store"})


@router.put("/api/sync/steps/{sha256}", openapi_extra={"requestBody": {"content": _OCTETS, "required": True}})
async def append_step_bytes(sha256: str, request: Request, principal: NodeOrAdminPrincipal) -> dict[str, Any]:
    """Append bytes of a step from Upload-Offset on.

    Answered once all of Upload-Length came and was imported. 409 if the step continues at another offset, if
    what it builds on has to be queried anew, or while another step of this node is being imported; 460 if the
    bytes came changed.
    """
    arrivals = _get_receiver(request)
    spool = arrivals.get_spool(principal)
    at, size = (
        read_byte_count_header(request, "upload-offset"),
        read_byte_count_header(request, "upload-length"),
    )
    if not at <= size <= MAX_STEP_BYTES:
        raise build_too_large_error(MAX_STEP_BYTES)
    turn = await asyncio.to_thread(spool.begin, _require_sha256(sha256), at, size)
    if turn is None:
        raise _build_offset_conflict(spool.offset(sha256, size))
    at = await _receive(request, spool, turn, sha256, at, size)
    if at < size:
        raise _build_offset_conflict(at)
    await asyncio.to_thread(require_node, request)
    with spool.lock_for_import():
        take = partial(_import_received_step, arrivals, principal, spool, sha256)
        return await asyncio.get_running_loop().run_in_executor(arrivals.imports, take)


async def _receive(request: Request, spool: Spool, turn: int, sha256: str, at: int, size: int) -> int:
    """Write the body into the spool; return the step's offset.

    What came before a cut counts.
    """
    buffer = bytearray()

    async def write() -> None:
        nonlocal at
        if buffer and not await asyncio.to_thread(spool.add, turn, sha256, bytes(buffer)):
            raise FlightBusy(_("another attempt is sending this step; it is tried again by itself"))
        at += len(buffer)
        buffer.clear()

    try:
        async for part in iterate_body(request):
            buffer += part
            if at + len(buffer) > size:
                buffer.clear()
                raise build_too_large_error(size)
            if len(buffer) >= _WRITE_BYTES:
                await write()
                # again: the token may have been revoked meanwhile
                await asyncio.to_thread(require_node, request)
    finally:
        await write()
    return at


def _import_received_step(
    arrivals: StepReceiver, principal: Principal, spool: Spool, sha256: str
) -> dict[str, Any]:
    path = spool.find_complete(sha256)
    if path is None:
        raise Refused(460, pgettext("step", "the bytes arrived changed: send them again"))
    try:
        taken = arrivals.take(principal, path)
    except (AccessDenied, RecordsMissing, SourceUnreadable, StoreConflict):
        spool.forget(sha256)
        raise
    return {
        "flights": list(taken.flights),
        "lines": taken.lines,
        "apart": [one.summary for one in taken.conflicts],
        "unnamed": list(taken.unreferenced),
    }


def _build_offset_conflict(at: int) -> Refused:
    return Refused(
        409,
        _("this step resumes at byte {offset}", offset=at),
        {"Upload-Offset": str(at)},
    )


def _require_sha256(sha256: str) -> str:
    try:
        return require_hex_digits(sha256, 64)
    except ValueError as error:
        raise Refused(400, _("a step is named by its SHA-256")) from error


def _get_receiver(request: Request) -> StepReceiver:
    arrivals: StepReceiver = request.app.state.arrivals
    return arrivals
