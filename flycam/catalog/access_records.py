"""Tokens and one-time codes, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Scope of a token within what its account's role allows.

    Everything; the map and its standards, read-only; uploads; synchronisation between nodes.
    `serve.auth.scopes` lists the addresses.
    """

    ALL = "all"
    MAP = "map"
    UPLOADS = "uploads"
    SYNC = "sync"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token of an account; the secret itself is never stored.

    label       given by its maker; "": the one that came with the account
    made_with   id of the token with which its maker signed in, and with which it ends; None: none, or not
                known
    expires_ns  None: never
    used_ns     when it was last used, to some minutes; None: never
    revoked_ns  None: valid until it expires
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
        """Return True unless it is revoked or expired."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Descendants:
    """Tokens and guest links made with a token, directly or not; they end with it.

    guest_ids  of guest links
    """

    tokens: tuple[Token, ...] = ()
    guest_ids: tuple[str, ...] = ()

    @property
    def ids(self) -> dict[str, list[str]]:
        """Ids by the keys `tokens` and `guests`, as answers show them."""
        return {"tokens": [one.token_id for one in self.tokens], "guests": list(self.guest_ids)}


@dataclass(frozen=True, kw_only=True, slots=True)
class OneTimeCode:
    """A code that signs an account in once; the code itself is never stored.

    account   that it signs in
    token_id  of the token with which its maker signed in, and with which the session ends; "": none
    ended_ns  when it was used or replaced by another; None: neither
    """

    code_hash: str
    account: str
    token_id: str
    made_ns: int
    expires_ns: int
    ended_ns: int | None = None
    is_used: bool = False
