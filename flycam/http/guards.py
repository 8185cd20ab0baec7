"""Services of the server, authentication of requests, and guards of routes.

Guards are dependencies that name the least role. A guarded route authenticates before it reads the body.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers as NamedHeaders

from flycam.access.policy import UNRESTRICTED, AccessPolicies, AccessPolicy
from flycam.catalog.access import Accounts, Guest
from flycam.catalog.audit import Audit
from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import VideoSegment
from flycam.config import OpenIdClient, is_loopback, parse_ip
from flycam.errors import AccessDenied, FlycamError
from flycam.http.protocol import (
    ACCOUNT_SCOPE_KEY,
    MAX_BODY_BYTES,
    ReadRequest,
    RequestLog,
    build_sign_in_error,
    is_same_origin,
    read_body,
)
from flycam.messages import Message, _, pgettext
from flycam.model.access import MAX_CLOCK_ERROR_NS, Account, Role, Scope
from flycam.model.records import FrameRecord
from flycam.storage.files import replace_file
from flycam.storage.keys import ObjectStore
from flycam.workspace import Workspace

# -- Services of the server, assembled by the caller -----------------------------------------------
#
# Nothing here reads the environment.


STATIC_DIR = Path(__file__).parent.parent / "serve" / "static"
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
SESSION_KEY_BYTES = 32


def create_session_key() -> bytes:
    """Return a new secret."""
    return secrets.token_bytes(SESSION_KEY_BYTES)


class SignInService(Protocol):
    """OpenID service of the province.

    As `access.openid` implements it, whose libraries are loaded only where one is configured.
    """

    client: OpenIdClient

    def begin(self, state: str, nonce: str, verifier: str) -> str: ...

    def fetch_claims(self, code: str, nonce: str, verifier: str) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """Data folder that is served, and options of the server.

    workspace         store, catalogue, cache folder
    bound_to_loopback True if only this machine can reach the server: the condition for open access while no
                      account exists
    session_key       secret that signs cookies and one-time links (see `authenticator.read_key`)
    static_dir        the built map
    view_cache_bytes  memory for encoded tiles
    follow_s          seconds between reads of the tile log
    uploads_dir       where uploads lie while they arrive; None: this server takes none
    upload_work       command that checks or processes an upload, before its id and "look" or "lay";
                      empty: uploads are kept and not processed
    packs_dir         where requested briefing packs are made; None: this server makes none
    pack_command      command that makes one, before its options and flights; empty: this server makes none
    drill_command     command that makes an exercise on a node without flights; empty: this server makes none
    sync_dir          where steps of nodes lie while they arrive; None: this server takes none
    openid            the province's own sign-in service; None: sign-in by tokens and links only
    trusted_proxies   addresses and networks trusted to state the client's address, and whether it uses https
    origins           sites whose pages may read from here with a token of their own
    authority         certificate (PEM) of this node's own authority, by which it is served; None: it has none
    request_log       log of requests; None: none
    stopping          set once the server begins to stop: streams that would never end then end
    """

    workspace: Workspace
    bound_to_loopback: bool = True
    session_key: bytes = field(default_factory=create_session_key, repr=False)
    static_dir: Path = STATIC_DIR
    view_cache_bytes: int = 128 << 20
    follow_s: float = 1.0
    uploads_dir: Path | None = None
    upload_work: tuple[str, ...] = ()
    packs_dir: Path | None = None
    pack_command: tuple[str, ...] = ()
    drill_command: tuple[str, ...] = ()
    sync_dir: Path | None = None
    openid: SignInService | None = None
    trusted_proxies: tuple[str, ...] = LOOPBACK_ADDRESSES
    origins: frozenset[str] = frozenset()
    authority: bytes | None = None
    request_log: RequestLog | None = None
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)


def get_services(request: Request) -> Services:
    """Return the services of the server behind a request."""
    services: Services = request.app.state.services
    return services


ServicesHere = Annotated[Services, Depends(get_services)]


def get_catalog(request: Request) -> Catalog:
    """Return the catalogue behind a request."""
    return get_services(request).workspace.catalog


def get_store(request: Request) -> ObjectStore:
    """Return the object store behind a request."""
    return get_services(request).workspace.store


CatalogHere = Annotated[Catalog, Depends(get_catalog)]
StoreHere = Annotated[ObjectStore, Depends(get_store)]


# -- Authentication of requests: by bearer token, session cookie, or not at all --------------------
#
# Scopes narrow the addresses that a token reaches; sessions and one-time links are signed values; the last
# use of tokens is noted.
#
# Open access is granted only while no account exists *and* the server is bound to loopback *and* the request
# came straight from a program on this machine (`is_local_request`): not through a proxy that publishes the
# port, and not from a page of another site, or one that points a name of its own at 127.0.0.1.


# -- Addresses that tokens of a scope reach, whatever the role -------------------------------------
#
# A scope narrows what the account may; it never widens it.


_READ_METHODS = frozenset({"GET", "HEAD"})
_SEARCH = "/stac/search"
"""STAC search, which is a POST where the query is long."""

_WRITABLE_PATHS: Mapping[Scope, tuple[str, ...]] = {
    Scope.MAP: ("/tiles", "/tilejson", "/wmts", "/ogc", "/stac", "/cog", "/kml"),
    Scope.UPLOADS: ("/api/uploads", "/files"),
    Scope.SYNC: ("/api/sync",),
}
_READABLE_PATHS: Mapping[Scope, frozenset[str]] = {
    Scope.MAP: frozenset({"/api/session"}),
    Scope.UPLOADS: frozenset({"/api/session", "/api/events"}),
    Scope.SYNC: frozenset({"/api/session"}),
}
_SCOPE_PURPOSES: Mapping[Scope, Message] = {
    Scope.MAP: pgettext("scope", "looking at the map from a GIS program"),
    Scope.UPLOADS: pgettext("scope", "uploads"),
    Scope.SYNC: pgettext("scope", "flycam sync"),
}


def is_in_scope(scope: Scope, method: str, path: str) -> bool:
    """Return True if a token of this scope reaches this method and address."""
    if scope is Scope.ALL:
        return True
    if method in _READ_METHODS and path in _READABLE_PATHS[scope]:
        return True
    is_under = any(path == one or path.startswith(f"{one}/") for one in _WRITABLE_PATHS[scope])
    return is_under and (scope is not Scope.MAP or method in _READ_METHODS or path == _SEARCH)


def build_scope_error(name: str, scope: Scope) -> AccessDenied:
    """Return the error for a token that does not reach an address."""
    return AccessDenied(
        _(
            "{name}: this token is for {purpose} only; take one for everything, or sign in as yourself",
            name=name,
            purpose=_SCOPE_PURPOSES[scope],
        )
    )


def can_sign_in(scope: Scope) -> bool:
    """Return True if a browser may sign in by such a token.

    Tokens for uploads have a page of their own.
    """
    return scope in (Scope.ALL, Scope.UPLOADS)


# -- Signed values: the cookie of a session and the code of a one-time link ------------------------
#
# A value is `kind.name.expiry.nonce.token.signature`, HMAC-SHA256 under the server's key and the account's
# token hash; token: the id of the token by which its holder, or its maker, signed in. So it expires by
# itself, and ends at once when that token ends, or the account gets a new one or is removed. Used and
# signed-out values are in a table (`OneTimeCodes.mark_spent`).


_PARTS = 6
SESSION_KIND = "s"
LINK_KIND = "l"
_MAX_DIGITS = 15
"""Digits of the expiry: Python reads no number of thousands of them."""
# the duty officer stays signed in for 30 days (decision 0033)
SESSION_TTL_S = 30 * 24 * 3600
LINK_TTL_S = 15 * 60
_TTL_S = {SESSION_KIND: SESSION_TTL_S, LINK_KIND: LINK_TTL_S}
OPENID_SESSION_TTL_S = 12 * 3600
"""Session by the sign-in service: an account barred there is out within a shift."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Signed value whose signature holds."""

    account: Account
    expires_s: int
    nonce: str


def read_key(path: Path) -> bytes:
    """Return the secret kept in `path`, readable by its owner only; made if missing.

    Of two processes that make it at once, one wins and both read the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "wb") as out:
            out.write(create_session_key())
            out.flush()
            # some file systems leave zeros of an unsynced file: a key known to all
            os.fsync(out.fileno())
    key = path.read_bytes()
    return key if len(key) == SESSION_KEY_BYTES else _recreate_key(path)


def sign_value(key: bytes, kind: str, account: Account, expires_s: int) -> str:
    """Sign a value for an account, good until `expires_s` (seconds since 1970)."""
    name = base64.urlsafe_b64encode(account.name.encode()).decode().rstrip("=")
    body = f"{kind}.{name}.{expires_s}.{secrets.token_urlsafe(9)}.{account.token_id}"
    return f"{body}.{_signature(key, account, body)}"


def verify_signed_value(
    key: bytes, kind: str, word: str, account: Account, now_s: float
) -> VerifiedToken | None:
    """Return a signed value's content; None if expired, wrongly signed or another's."""
    parts = word.split(".")
    if (
        len(parts) != _PARTS
        or parts[0] != kind
        or read_claimed_account(word) != (account.name, account.token_id)
    ):
        return None
    if not (parts[2].isascii() and parts[2].isdigit() and len(parts[2]) <= _MAX_DIGITS):
        return None
    expires_s = int(parts[2])
    # a value that has more left than it ever had was made when the clock was ahead
    if not 0 <= expires_s - now_s <= _TTL_S[kind] + MAX_CLOCK_ERROR_NS // 10**9:
        return None
    expected = _signature(key, account, word.rpartition(".")[0])
    if not hmac.compare_digest(expected.encode(), parts[5].encode("utf-8", "surrogateescape")):
        return None
    return VerifiedToken(account, expires_s, parts[3])


def read_claimed_account(word: str) -> tuple[str, str]:
    """Return the (account, token id) that a value claims, proven or not.

    ("", "") where it claims none.
    """
    parts = word.split(".")
    if len(parts) != _PARTS:
        return "", ""
    try:
        return base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)).decode(), parts[4]
    except ValueError:
        return "", ""


def derive_secret(key: bytes, kind: str, body: str) -> str:
    """Derive 43 letters from `body` that only this server can make, always the same."""
    digest = hmac.new(key, f"{kind}:{body}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _signature(key: bytes, account: Account, body: str) -> str:
    return derive_secret(key, account.token_hash, body)


def _recreate_key(path: Path) -> bytes:
    key = create_session_key()
    with replace_file(path, 0o600) as out:
        out.write(key)
    return key


# -- Last use of tokens, written by a background thread: no request waits --------------------------


USAGE_INTERVAL_NS = 600 * 10**9
"""Shortest time between two writes for a token that is used all the time."""
_log = logging.getLogger(__name__)


class TokenUsage:
    """Last uses of tokens that wait to be written. Safe to use from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._noted: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._is_writing = False

    def note(self, token_id: str) -> None:
        """Note that a token was used now; "": none."""
        now_ns = self._workspace.clock_ns()
        with self._lock:
            noted = self._noted.get(token_id)
            if not token_id or (noted is not None and abs(now_ns - noted) < USAGE_INTERVAL_NS):
                return
            self._noted[token_id] = self._waiting[token_id] = now_ns
            if self._is_writing:
                return
            self._is_writing = True
        threading.Thread(target=self._write, name="token uses", daemon=True).start()

    def _write(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_writing = False
                    return
                token_id, at_ns = self._waiting.popitem()
            try:
                self._workspace.catalog.tokens.note_use(token_id, at_ns)
            except FlycamError as error:
                # lost: the next use, ten minutes on, is written again
                _log.warning("%s: its last use is not written down: %s", token_id, error)


# -- Authentication of requests, sessions and one-time links ---------------------------------------


COOKIE = "flycam"
GUEST_COOKIE = "flycam_guest"
"""Cookie of a guest link; a session takes precedence, so that opening a link signs nobody out."""
# short, as a revoked token must stop within four seconds (docs/security.md)
_CACHE_S, _REFUSED_S = 2.0, 0.25
_UNKNOWN = (float("-inf"), None)
_CACHE_ENTRIES = 4096
_ROLE_RANKS = {role: rank for rank, role in enumerate(Role)}

MAX_CREDENTIAL_BYTES = 4096
"""A browser's largest cookie. Longer credentials are refused without a lookup."""
_SHORT_BYTES = 256
"""Up to the length of tokens and lone cookies credentials are cache keys themselves, longer ones by their
SHA-256."""
_CONNECTION_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
_IPV4_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""Prefix of an IPv4 address written as IPv6."""
SAME_USER_STATE_KEY = "is_of_this_user"
"""Key in a request's state of the function that returns whether the client program runs as this user. Called
once a connection: the next one from the same port may be another user's."""
_MAX_COOKIES = 4
"""Cookies of one name, as where a browser has one for the host and another for its domain."""
_CREDENTIAL_HEADERS = frozenset({b"authorization", b"cookie"})
_CLIENT_HEADER = re.compile(
    "(?:accept|access-control-request-|content-|if-|sec-|upload-).*|a-im|alt-used|authorization"
    "|available-dictionary|cache-control|connection|cookie|date|dnt|expect|from|host|http2-settings"
    "|icy-metadata|keep-alive|last-event-id|origin|pragma|prefer|priority|purpose|range|referer|save-data"
    "|service-worker|te|trailer|transfer-encoding|tus-resumable|upgrade|upgrade-insecure-requests|user-agent"
    "|x-prometheus-scrape-timeout-seconds|x-requested-with"
)
"""Headers that browsers, GIS programs, players, HTTP libraries and flycam's own commands send. Any other may
come from something between: proxies have no end of names for whom they speak for."""

Headers = Iterable[tuple[bytes, bytes]]
HttpScope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Principal:
    """Sender of a request with its access policy.

    `account` is None in open access, which may do everything.

    token_id    of the token by which they, or their inviter, signed in; "": none
    sees_tiles  True if role and token reach tiles, whichever tile
    """

    account: Account | None
    access_policy: AccessPolicy
    name: str = field(init=False, compare=False)
    token_id: str = field(init=False, compare=False)
    sees_tiles: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # computed once: the authenticator caches principals
        object.__setattr__(self, "name", self.account.name if self.account else "local")
        object.__setattr__(self, "token_id", self.account.token_id if self.account else "")
        object.__setattr__(self, "sees_tiles", self.has_role(Role.GUEST) and self.can_reach("GET", "/tiles"))

    def has_role(self, role: Role) -> bool:
        """Return True if the principal has at least this role."""
        return self.account is None or _ROLE_RANKS[self.account.role] >= _ROLE_RANKS[role]

    def can_reach(self, method: str, path: str) -> bool:
        """Return True if the principal's token reaches this address."""
        return is_in_scope(self.account.scope if self.account else Scope.ALL, method, path)


_LOCAL_PRINCIPAL = Principal(None, UNRESTRICTED)


class Authenticator:
    """Authenticator of requests, with a short cache.

    An answer is kept two seconds for the very same credential, so that tiles query no catalogue; a refusal a
    quarter of one. Of a long credential the SHA-256 is kept.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._answers: dict[bytes, tuple[float, Principal | None]] = {}
        self._asking: dict[bytes, asyncio.Future[Principal | None]] = {}
        self._lock = threading.Lock()
        self._policies = AccessPolicies(services.workspace.catalog)
        self._uses = TokenUsage(services.workspace)

    @property
    def _accounts(self) -> Accounts:
        return self._services.workspace.catalog.accounts

    def authenticate(self, scope: HttpScope) -> Principal | None:
        """Return the sender of a request; None if it may not come in."""
        key, credential = read_credential(scope["headers"])
        good_until_s, found = self._answers.get(key, _UNKNOWN)
        if time.monotonic() >= good_until_s:
            found = self._look_up(key, credential)
        return found if found is not _LOCAL_PRINCIPAL or is_local_request(scope) else None

    async def authenticate_async(self, scope: HttpScope) -> Principal | None:
        """Authenticate as `authenticate`, from an event loop.

        A cached answer is returned at once; else one lookup in a thread serves all requests with this
        credential meanwhile, and the loop waits for no catalogue.
        """
        key, credential = read_credential(scope["headers"])
        good_until_s, found = self._answers.get(key, _UNKNOWN)
        if time.monotonic() >= good_until_s:
            asking = self._asking.get(key)
            if asking is None:
                asking = asyncio.ensure_future(asyncio.to_thread(self._look_up, key, credential))
                self._asking[key] = asking
                asking.add_done_callback(lambda _: self._asking.pop(key, None))
            # shielded: other requests wait for the same look-up
            found = await asyncio.shield(asking)
        return found if found is not _LOCAL_PRINCIPAL or is_local_request(scope) else None

    def _look_up(self, key: bytes, credential: bytes) -> Principal | None:
        found = self._check(credential.decode("latin-1"))
        good_until_s = time.monotonic() + (_REFUSED_S if found is None else _CACHE_S)
        with self._lock:
            if len(self._answers) >= _CACHE_ENTRIES:
                self._answers.clear()
            self._answers[key] = (good_until_s, found)
        return found

    def find_account_by_token(self, token: str) -> Account | None:
        """Return the account of a token; None if there is none."""
        return self._accounts.find_by_token(token)

    def create_principal(self, account: Account) -> Principal:
        """Return the principal of an account. Raises CatalogUnavailable."""
        return Principal(account, self._policies.get(account))

    def create_session(self, account: Account, seconds: int = SESSION_TTL_S) -> str:
        """Return the cookie value of a new session.

        It lasts `seconds`, and no longer than the token that opened it.
        """
        expires_s = int(time.time()) + seconds
        return sign_value(self._services.session_key, SESSION_KIND, account, expires_s)

    def guest(self, secret: str) -> Guest | None:
        """Return the guest link of a secret while it is valid, else None."""
        workspace = self._services.workspace
        return workspace.catalog.guests.find_by_secret(secret, workspace.clock_ns())

    def get_seconds_left(self, guest: Guest) -> int:
        """Return the seconds that a guest link's cookie lasts: no longer than the link."""
        left_s = (guest.expires_ns - self._services.workspace.clock_ns()) // 10**9
        return int(max(left_s, 0))

    def create_link(self, name: str, token_id: str = "") -> str | None:
        """Return the code of a one-time link, good for 15 minutes; None: no such account.

        token_id: of the token by which its maker signed in, with which the link and its session end; "":
        none.
        """
        account = self._accounts.find(name, token_id)
        if account is None:
            return None
        expires_s = int(time.time()) + LINK_TTL_S
        return sign_value(self._services.session_key, LINK_KIND, account, expires_s)

    def use_link_code(self, code: str) -> Account | None:
        """Return the account that a link opens; None if it is spent, expired or not ours.

        A link opens once, over all processes.
        """
        opened = self._verify_signed_value(LINK_KIND, code)
        if opened is None:
            return None
        workspace = self._services.workspace
        codes = workspace.catalog.codes
        ends_ns = opened.expires_s * 10**9
        is_first = codes.mark_spent(code, opened.account.name, ends_ns, workspace.clock_ns())
        return opened.account if is_first else None

    def end_sessions(self, cookies: str) -> None:
        """End the sessions in a Cookie header.

        In this process at once, in others when their cache expires.
        """
        workspace = self._services.workspace
        codes, ended = workspace.catalog.codes, set[str]()
        for word in _iterate_cookies(COOKIE, cookies):
            opened = self._verify_signed_value(SESSION_KIND, word)
            if opened is not None:
                name, ends_ns = opened.account.name, opened.expires_s * 10**9
                if codes.mark_spent(word, name, ends_ns, workspace.clock_ns()):
                    ended.add(name)
        # forget only these accounts: anybody may sign out as often as they like, and must not empty the cache
        with self._lock:
            others = {key: one for key, one in self._answers.items() if not (one[1] and one[1].name in ended)}
            self._answers = others

    def _check(self, credential: str) -> Principal | None:
        """Return the principal of a credential; None if refused.

        In open access `_LOCAL_PRINCIPAL`, which counts only for requests from this machine.
        """
        account: Account | None = None
        if credential[:7].lower() == "bearer ":
            account = self._accounts.find_by_token(credential[7:].strip())
        elif credential:
            account = self._find_account_by_cookie(credential)
        if account is not None:
            self._uses.note(account.token_id)
            return self.create_principal(account)
        return _LOCAL_PRINCIPAL if self._services.bound_to_loopback and self._accounts.is_empty() else None

    def _find_account_by_cookie(self, header: str) -> Account | None:
        codes = self._services.workspace.catalog.codes
        for word in _iterate_cookies(COOKIE, header):
            opened = self._verify_signed_value(SESSION_KIND, word)
            if opened is not None and not codes.is_spent(word):
                return opened.account
        guests = map(self.guest, _iterate_cookies(GUEST_COOKIE, header))
        return next((guest.account for guest in guests if guest is not None), None)

    def _verify_signed_value(self, kind: str, word: str) -> VerifiedToken | None:
        """Return the content of a signed value, if its signature holds; else None."""
        name, token_id = read_claimed_account(word)
        account = self._accounts.find(name, token_id) if name else None
        if account is None:
            return None
        return verify_signed_value(self._services.session_key, kind, word, account, time.time())


def is_local_request(scope: HttpScope) -> bool:
    """Return True if a program on this machine sent this request here directly.

    By a name of this machine. A proxy on this machine is a program too, and what it forwards is anybody's:
    most say so in a header that no client sends, an older nginx that is configured with nothing but an
    address speaks HTTP/1.0, as no browser does, and a newer one, which says nothing at all, runs as another
    user.
    """
    headers = NamedHeaders(scope=scope)
    client = scope.get("client")
    if client is None or not is_loopback(client[0]) or scope["http_version"] == "1.0":
        return False
    if not all(map(_CLIENT_HEADER.fullmatch, headers)):
        return False
    has_same_user = scope.get("state", {}).get(SAME_USER_STATE_KEY)
    if has_same_user is None or not has_same_user():
        return False
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name.strip("[]")) and is_same_origin(headers)


def is_same_user(line: socket.socket) -> bool:
    """Return True if the program at the other end of a connection runs as this user.

    It has the other end open now, and this process its own. Read from the kernel's table of connections
    (proc_net_tcp in its documentation), which knows those of this machine alone; True where there is none
    (not Linux).
    """
    tables = [one for one in _CONNECTION_TABLES if one.exists()]
    if not tables:
        return True
    try:
        there, here = _format_table_addresses(line.getpeername()), _format_table_addresses(line.getsockname())
        rows = (row.split() for table in tables for row in table.read_text(encoding="ascii").splitlines())
        # the kernel shows connections that nobody has open any more as root's, in each such state
        open_rows = (row for row in rows if row[3] == _ESTABLISHED and row[9] != "0")
        user = next((row[7] for row in open_rows if row[1] in there and row[2] in here), None)
        # while this end is open the row cannot belong to whoever took the port after the client program
        is_open = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == int(_ESTABLISHED, 16)
    except OSError:  # it is closed
        return False
    return is_open and user == str(os.geteuid())


def _format_table_addresses(end: tuple[Any, ...]) -> set[str]:
    """Format address and port as the kernel's tables do: 32-bit words in hex.

    The words are in the machine's byte order. An end of IPv4 may stand in the table of IPv6 too, and an IPv6
    socket may have an IPv4 address.
    """
    ip = parse_ip(end[0])
    packed = [ip.packed, *([_IPV4_MAPPED_PREFIX + ip.packed] if ip.version == 4 else [])]
    return {f"{_format_hex_words(one)}:{end[1]:04X}" for one in packed}


def _format_hex_words(packed: bytes) -> str:
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(one, sys.byteorder):08X}" for one in words)


def read_credential(headers: Headers) -> tuple[bytes, bytes]:
    """Return (cache key, credential): the Authorization, else the Cookie header.

    Of a header that is too long only our own cookies are kept.
    """
    credential = b""
    for name, value in headers:
        if name in _CREDENTIAL_HEADERS and (name == b"authorization" or not credential):
            credential = value
    if len(credential) <= _SHORT_BYTES:
        return credential, credential
    if len(credential) > MAX_CREDENTIAL_BYTES:
        credential = _keep_own_cookies(credential)
    return sha256(credential).digest(), credential


def _keep_own_cookies(credential: bytes) -> bytes:
    """Return our own cookies of a header; empty if they are too long still.

    Others on the same host may fill many times the room of one.
    """
    header = credential.decode("latin-1")
    own = [f"{name}={value}" for name in (COOKIE, GUEST_COOKIE) for value in _iterate_cookies(name, header)]
    shortened = "; ".join(own).encode("latin-1")
    return shortened if len(shortened) <= MAX_CREDENTIAL_BYTES else b""


def _iterate_cookies(name: str, header: str) -> Iterator[str]:
    """Yield the values of the first `_MAX_COOKIES` cookies of this name.

    A browser sends one, and each is looked up. Searched for: splitting a header of anybody's takes many times
    as long.
    """
    named, at, found = f"{name}=", -1, 0
    while found < _MAX_COOKIES and (at := header.find(named, at + 1)) >= 0:
        if at == 0 or header.endswith((";", "; "), 0, at):
            found += 1
            value = header[at + len(named) :].partition(";")[0].strip()
            if value:
                yield value


# -- Guards of routes: least roles, and the audit of downloads -------------------------------------


_ROLE_NAMES: Mapping[Role, Message] = {
    Role.BOX: pgettext("role", "box"),
    Role.GUEST: pgettext("role", "guest"),
    Role.VIEWER: pgettext("role", "viewer"),
    Role.OPERATOR: pgettext("role", "operator"),
    Role.ANALYST: pgettext("role", "analyst"),
    Role.ADMIN: pgettext("role", "admin"),
}


def require_role(role: Role) -> Callable[[Request], Principal]:
    """Return a dependency that gives the principal.

    It raises SignInRequired or AccessDenied.
    """

    def check(request: Request) -> Principal:
        door: Authenticator = request.app.state.door
        visitor = door.authenticate(request.scope)
        if visitor is None:
            raise build_sign_in_error(request.scope["headers"])
        request.scope[ACCOUNT_SCOPE_KEY] = visitor.name
        if visitor.account is not None and not visitor.can_reach(request.method, request.scope["path"]):
            raise build_scope_error(visitor.name, visitor.account.scope)
        if not visitor.has_role(role):
            raise build_role_error(visitor, role)
        return visitor

    return check


def build_role_error(principal: Principal, role: Role) -> AccessDenied:
    """Return the error for a principal whose role is too low."""
    return AccessDenied(
        _(
            "{name}: this needs the role {role}; ask an administrator for it",
            name=principal.name,
            role=_ROLE_NAMES[role],
        )
    )


require_viewer_or_node = require_role(Role.BOX)
require_guest = require_role(Role.GUEST)
require_viewer = require_role(Role.VIEWER)
require_operator = require_role(Role.OPERATOR)
require_analyst = require_role(Role.ANALYST)
require_admin = require_role(Role.ADMIN)


def require_node(request: Request) -> Principal:
    """Return a principal that may synchronise a node's records.

    That is a node, an administrator, or open access. Raises SignInRequired, AccessDenied.
    """
    visitor = require_viewer_or_node(request)
    if visitor.account is not None and visitor.account.role not in (Role.BOX, Role.ADMIN):
        raise AccessDenied(
            _(
                "{name}: this needs a node's own token; on the server: flycam account add NAME --role box",
                name=visitor.name,
            )
        )
    return visitor


def get_access_policy(request: Request) -> AccessPolicy:
    """Return the access policy of the sender. Raises SignInRequired."""
    return require_guest(request).access_policy


GUARDS = frozenset(
    {
        require_viewer_or_node,
        require_guest,
        require_viewer,
        require_operator,
        require_analyst,
        require_admin,
        require_node,
        get_access_policy,
    }
)
"""Dependencies that look at the principal, and at nothing else of a request."""

AccessPolicyHere = Annotated[AccessPolicy, Depends(get_access_policy)]

GuestPrincipal = Annotated[Principal, Depends(require_guest)]
ViewerPrincipal = Annotated[Principal, Depends(require_viewer)]
OperatorPrincipal = Annotated[Principal, Depends(require_operator)]
AnalystPrincipal = Annotated[Principal, Depends(require_analyst)]
AdminPrincipal = Annotated[Principal, Depends(require_admin)]
NodeOrAdminPrincipal = Annotated[Principal, Depends(require_node)]


# -- Audit of downloads: photos, videos and exports, once a minute each ----------------------------
#
# Many ranges of one file are then one line of the audit log.


DOWNLOAD_WINDOW_S = 60.0
# an entry that is forgotten is logged twice, never left out
_MAX_REMEMBERED = 4096


class DownloadLog:
    """Downloads that this process logged in the last minute.

    Memory is bounded; safe to use from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._written: OrderedDict[tuple[str, str, str, str], float] = OrderedDict()

    def note(self, audit: Audit, who: str, frame: FrameRecord) -> None:
        """Log that `who` opens this photo, unless logged less than DOWNLOAD_WINDOW_S ago.

        Raises CatalogUnavailable when it cannot be written: then the photo must not be served.
        """
        self._once(audit, who, "photo opened", frame.frame_id, frame.header.provenance.source_name)

    def note_video(self, audit: Audit, who: str, piece: VideoSegment) -> None:
        """Log that `who` opens a flight's video at this segment.

        Further ranges within DOWNLOAD_WINDOW_S belong to it.
        """
        self._once(audit, who, "video opened", piece.flight_id, piece.sha256)

    def note_guest(self, audit: Audit, guest_id: str, address: str) -> None:
        """Log that a guest link was opened from an address."""
        self._once(audit, guest_id, "guest link opened", address, "")

    def note_export(self, audit: Audit, who: str, what: str, subject: str, detail: str) -> bool:
        """Log that `who` downloads an export; return True if it was not logged already.

        what: "changes exported", …. Raises as `note`.
        """
        return self._once(audit, who, what, subject, detail, beside=detail)

    def _once(
        self, audit: Audit, who: str, what: str, subject: str, detail: str, *, beside: str = ""
    ) -> bool:
        key = (who, what, subject, beside)
        with self._lock:
            now = self._clock()
            last = self._written.get(key)
            if last is not None and now - last < DOWNLOAD_WINDOW_S:
                return False
            audit.append(who, what, subject, detail)
            self._written[key] = now
            self._written.move_to_end(key)
            while len(self._written) > _MAX_REMEMBERED:
                self._written.popitem(last=False)
        return True


# -- Routes that authenticate before they read the body --------------------------------------------


class GuardedRoute(APIRoute):
    """Route with a JSON body, which FastAPI would parse before it checks credentials."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, behind the route's guards and body limit."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        max_bytes = (self.openapi_extra or {}).get("x-max-bytes", MAX_BODY_BYTES)
        guards = [one.call for one in self.dependant.dependencies if one.call in GUARDS]

        async def handle_guarded(request: Request) -> Response:
            for guard in guards:
                await run_in_threadpool(guard, request)
            return await handle(ReadRequest(request, await read_body(request, max_bytes)))

        return handle_guarded
