"""Records of access and retention: roles, accounts, tokens, redactions, holds and purges."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# -- Tokens and one-time codes, as frozen values ---------------------------------------------------


MAX_CLOCK_ERROR_NS = 86_400 * 10**9
"""What lets somebody in for a time is refused if it was made longer than this in the future: the clock was
ahead then, and it would last for years."""


class Scope(StrEnum):
    """Scope of a token within what its account's role allows.

    Everything; the map and its standards, read-only; uploads; synchronisation between nodes.
    `http.guards` lists the addresses.
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


# -- Redactions: parts of a photo that most people must not see ------------------------------------


MAX_CORNERS = 200
"""Corners of a redaction's outline."""


class RedactionReason(StrEnum):
    """Reason for a redaction: what it covers."""

    HOME = "home"
    VICTIM = "victim"
    OTHER = "other"


class RedactionStep(StrEnum):
    """Step in a redaction's history.

    TAKEN_BACK is final: to restore it, draw another. BACK_ASKED: another node took it back, which takes
    nothing back here until an analyst here does.
    """

    MADE = "made"
    REVOKED = "taken_back"
    REVOCATION_REQUESTED = "back_asked"


# -- Retention: originals that have a term, and steps of holds and purges --------------------------


MAX_TERM_DAYS = 36_500
"""The longest term; beyond it, originals are kept for ever."""


class RetainedKind(StrEnum):
    """Kind of original with a term of its own.

    UPLOAD: a photo or video from an upload that is no photo of a flight: videos, rejected photos, memory
    cards that never came on the map.
    """

    PHOTO = "photo"
    VIDEO = "video"
    MARK_PHOTO = "mark_photo"
    UPLOAD = "upload"


class HoldStep(StrEnum):
    """Step in a hold's history. RELEASED is final: to hold again, make another."""

    HELD = "held"
    RELEASED = "released"


class PurgeStep(StrEnum):
    """Step in an original's deletion history.

    LIFTED revokes one purge for good: the bytes may come back, and another purge is another line.
    """

    PURGED = "let_go"
    LIFTED = "lifted"


# -- Roles and accounts ----------------------------------------------------------------------------


class Role(StrEnum):
    """Role of an account; each includes those before it.

    A node's account may synchronise (`flycam sync`) and nothing else, and no other role but the
    administrator's may; a guest has a link and no account: the map and its tiles, nothing else.
    """

    BOX = "box"
    GUEST = "guest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ANALYST = "analyst"
    ADMIN = "admin"


ACCOUNT_ROLES = tuple(role for role in Role if role is not Role.GUEST)
"""Roles that an account can have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account of this node.

    token_hash  of the token that it came with; without one it seals the account's sessions
    communes    codes of those that the account is for; none: for all of the node's
    event_id    of a guest: the only event that is shown; "": all
    scope, token_id, until_ns  of the token of its sign-in; "": without one; None: it never expires
    """

    name: str
    role: Role
    token_hash: str
    created_ns: int
    communes: tuple[str, ...] = ()
    event_id: str = ""
    scope: Scope = Scope.ALL
    token_id: str = field(default="", compare=False)
    until_ns: int | None = field(default=None, compare=False)
