"""Who is at the door: a bearer token, a session cookie, or nobody.

Open access is granted only while no account exists *and* the server is bound to loopback *and* the request
names this machine as its host: the last keeps out a proxy that publishes the port, and a web page that points
a name of its own at 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from flycam.catalog.access_records import Scope
from flycam.catalog.accounts import Accounts
from flycam.catalog.records import Account, Role
from flycam.catalog.sharing_records import Guest
from flycam.catalog.withholding import NOTHING_WITHHELD, Withholding
from flycam.catalog.withholdings import Withholdings
from flycam.serve.door import scopes, sessions
from flycam.serve.door.token_uses import TokenUses
from flycam.serve.services import Services, is_loopback

COOKIE = "flycam"
GUEST_COOKIE = "flycam_guest"
"""Of whoever opened a guest link; a session goes before it, so that nobody is signed out by a link."""
_CACHE_S, _REFUSED_S = 2.0, 0.25
_CACHE_ENTRIES = 4096
_RANK = {role: rank for rank, role in enumerate(Role)}

_SAYS_WHO = frozenset({b"authorization", b"cookie", b"host"})

Headers = Iterable[tuple[bytes, bytes]]
_Question = tuple[bytes, bytes]  # credential, host


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and what is withheld from them. `account` is None in open access, which may do everything.

    sees_tiles  whether tiles are for this role and for this token, whichever tile
    is_viewer   whether they have a viewer's role at least
    """

    account: Account | None
    withholding: Withholding
    name: str = field(init=False, compare=False)
    sees_tiles: bool = field(init=False, compare=False)
    is_viewer: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # known once for all that is asked within the moments for which the door remembers them
        object.__setattr__(self, "name", self.account.name if self.account else "local")
        object.__setattr__(self, "sees_tiles", self.may(Role.GUEST) and self.reaches("GET", "/tiles"))
        object.__setattr__(self, "is_viewer", self.may(Role.VIEWER))

    def may(self, role: Role) -> bool:
        """Whether this visitor has at least this role."""
        return self.account is None or _RANK[self.account.role] >= _RANK[role]

    def reaches(self, method: str, path: str) -> bool:
        """Whether the token that this visitor came with is for this address."""
        return scopes.reaches(self.account.scope if self.account else Scope.ALL, method, path)


_LOCAL = Visitor(None, NOTHING_WITHHELD)


class Door:
    """Checks credentials. An answer is kept two seconds for the very same header, so tiles cost no hash; a
    refusal a quarter of one."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._answers: dict[_Question, tuple[float, Visitor | None]] = {}
        self._asking: dict[_Question, asyncio.Future[Visitor | None]] = {}
        self._lock = threading.Lock()
        self._withholdings = Withholdings(services.workspace.catalog)
        self._uses = TokenUses(services.workspace)

    @property
    def _accounts(self) -> Accounts:
        return self._services.workspace.catalog.accounts

    def visitor(self, headers: Headers) -> Visitor | None:
        """Who sent these headers; None if nobody who may come in."""
        return self.answer(*credential_of(headers))

    async def visitor_soon(self, headers: Headers) -> Visitor | None:
        """As `visitor`, from an event loop, which waits for no catalogue."""
        return await self.answer_soon(*credential_of(headers))

    def remembered(self, credential: bytes, host: bytes) -> tuple[float, Visitor | None] | None:
        """(when, what) was answered to these headers a moment ago; None: they have to be looked up."""
        answer = self._answers.get((credential, host))
        if answer is None:
            return None
        lasts_s = _CACHE_S if answer[1] is not None else _REFUSED_S
        return answer if time.monotonic() - answer[0] < lasts_s else None

    async def answer_soon(self, credential: bytes, host: bytes) -> Visitor | None:
        """As `answer`, from an event loop: what is known is said at once, all else is looked up in a thread,
        once for all who ask the same meanwhile."""
        known = self.remembered(credential, host)
        if known is not None:
            return known[1]
        question = (credential, host)
        asking = self._asking.get(question)
        if asking is None:
            asking = asyncio.ensure_future(asyncio.to_thread(self.answer, credential, host))
            self._asking[question] = asking
            asking.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(asking)

    def answer(self, credential: bytes, host: bytes) -> Visitor | None:
        """As `visitor`, from the Authorization (else Cookie) and Host headers themselves."""
        known = self.remembered(credential, host)
        if known is not None:
            return known[1]
        question = (credential, host)
        found = self._check(credential.decode("latin-1"), host.decode("latin-1"))
        with self._lock:
            if len(self._answers) >= _CACHE_ENTRIES:
                self._answers.clear()
            self._answers[question] = (time.monotonic(), found)
        return found

    def by_token(self, token: str) -> Account | None:
        """The account of a token."""
        return self._accounts.by_token(token)

    def visitor_of(self, account: Account) -> Visitor:
        """The visitor that an account makes. Raises CatalogUnavailable."""
        return Visitor(account, self._withholdings.of(account))

    def session_for(self, account: Account, seconds: int = sessions.SESSION_SECONDS) -> str:
        """Cookie value of a new session that lasts so long, and no longer than the token that opened it."""
        expires_s = int(time.time()) + seconds
        return sessions.sign(self._services.session_key, sessions.SESSION, account, expires_s)

    def guest(self, secret: str) -> Guest | None:
        """The guest link of a secret, while it holds."""
        workspace = self._services.workspace
        return workspace.catalog.guests.by_secret(secret, workspace.clock_ns())

    def seconds_left(self, guest: Guest) -> int:
        """So long the cookie of whoever opened a guest link lasts: no longer than the link."""
        left_s = (guest.expires_ns - self._services.workspace.clock_ns()) // 10**9
        return int(max(left_s, 0))

    def link_for(self, name: str) -> str | None:
        """Code of a one-time link for an account, good for 15 minutes; None if there is no such name."""
        known = self._accounts.by_name(name)
        if not known:
            return None
        account = known[-1]
        expires_s = int(time.time()) + sessions.LINK_SECONDS
        return sessions.sign(self._services.session_key, sessions.LINK, account, expires_s)

    def use_link(self, code: str) -> Account | None:
        """The account a link opens, once over all processes; None if it is spent, expired or not ours."""
        opened = self._opened(sessions.LINK, code)
        if opened is None:
            return None
        workspace = self._services.workspace
        codes = workspace.catalog.codes
        ends_ns = opened.expires_s * 10**9
        is_first = codes.spend_link(code, opened.account.name, ends_ns, workspace.clock_ns())
        return opened.account if is_first else None

    def _check(self, credential: str, host: str) -> Visitor | None:
        account: Account | None = None
        if credential[:7].lower() == "bearer ":
            account = self._accounts.by_token(credential[7:].strip())
        elif credential:
            account = self._of_cookie(credential)
        if account is not None:
            self._uses.note(account.token_id)
            return self.visitor_of(account)
        return _LOCAL if self._is_open(host) else None

    def _of_cookie(self, header: str) -> Account | None:
        cookies = [part.strip().partition("=")[::2] for part in header.split(";")]
        for value in (value for name, value in cookies if name == COOKIE):
            opened = self._opened(sessions.SESSION, value)
            if opened is not None:
                return opened.account
        guests = (self.guest(value) for name, value in cookies if name == GUEST_COOKIE)
        return next((guest.account for guest in guests if guest is not None), None)

    def _is_open(self, host: str) -> bool:
        if not self._services.bound_to_loopback or not self._accounts.is_empty():
            return False
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return is_loopback(name.strip("[]"))

    def _opened(self, kind: str, word: str) -> sessions.Opened | None:
        """What a word says to whichever of its account's tokens sealed it."""
        key, now_s = self._services.session_key, time.time()
        for account in self._accounts.by_name(sessions.name_in(word)):
            opened = sessions.open_word(key, kind, word, account, now_s)
            if opened is not None:
                return opened
        return None


def credential_of(headers: Headers) -> tuple[bytes, bytes]:
    """The Authorization (else Cookie) and the Host header."""
    credential = host = b""
    for name, value in headers:
        if name not in _SAYS_WHO:
            continue
        if name == b"host":
            host = value
        elif name == b"authorization" or not credential:
            credential = value
    return credential, host
