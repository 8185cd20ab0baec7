"""How people and programs come in, as frozen values: tokens, and codes that are typed by hand once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a token reaches of all that its account's role may: everything; the map and its standards, to look
    at; uploads; what boxes exchange. Which addresses these are: `serve.auth.scopes`."""

    ALL = "all"
    MAP = "map"
    UPLOADS = "uploads"
    SYNC = "sync"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One of the tokens of an account. The token itself is never kept.

    label       what whoever made it calls it; "": the one that came with the account
    made_with   id of the token by which its maker had come, with which it ends; None: of none, or not known
    expires_ns  None: never
    used_ns     when it was last seen, to some minutes; None: never yet
    revoked_ns  None: it holds until it expires
    """

    token_id: str
    account: str
    label: str
    scope: Scope
    secret_hash: str
    made_by: str
    made_ns: int
    expires_ns: int | None = None
    used_ns: int | None = None
    revoked_ns: int | None = None
    made_with: str | None = None

    def is_valid(self, now_ns: int) -> bool:
        """Whether it opens anything."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Descendants:
    """What was made with a token, and with what was made with it: all of it ends with the token.

    guest_ids  of guest links
    """

    tokens: tuple[Token, ...] = ()
    guest_ids: tuple[str, ...] = ()

    @property
    def ids(self) -> dict[str, list[str]]:
        """tokens, guests: as answers tell of them."""
        return {"tokens": [one.token_id for one in self.tokens], "guests": list(self.guest_ids)}


@dataclass(frozen=True, kw_only=True, slots=True)
class OneTimeCode:
    """A code that lets somebody in once. The code itself is never kept.

    account   whom it lets in
    token_id  of the token by which its maker had come, with which the session ends; "": of none
    ended_ns  when it was used, or another took its place; None: neither
    """

    code_hash: str
    account: str
    token_id: str
    made_ns: int
    expires_ns: int
    ended_ns: int | None = None
    is_used: bool = False
