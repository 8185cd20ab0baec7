"""Signed values: the cookie of a session and the code of a one-time link.

A value is `kind.name.expiry.nonce.token.signature`, HMAC-SHA256 under the server's key and the account's
token hash; token: the id of the token by which its holder, or its maker, signed in. So it expires by itself,
and ends at once when that token ends, or the account gets a new one or is removed. Used and signed-out values
are in a table (`OneTimeCodes.mark_spent`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from flycam.catalog.records import Account
from flycam.serve.services import SESSION_KEY_BYTES, create_session_key
from flycam.store.fsync import move_into_place

_PARTS = 6
SESSION_KIND = "s"
LINK_KIND = "l"
_MAX_DIGITS = 15
"""Digits of the expiry: Python reads no number of thousands of them."""
# the duty officer stays signed in for 30 days (decision 0033)
SESSION_TTL_S = 30 * 24 * 3600
LINK_TTL_S = 15 * 60
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
    if expires_s < now_s:
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
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(key)
    move_into_place(temporary, path)
    return key
