"""One-time codes: typed by hand where a token is too long, and the one that makes the first administrator.

A code is 60 random bits, valid for an hour at most and for one use, so its SHA-256 keeps it safe (decision
0033). The set-up code is kept in a file beside the catalogue: a node that was only started is still empty,
and a backup may be restored into it.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from contextlib import suppress

from flycam.catalog.access_records import OneTimeCode
from flycam.catalog.accounts import generate_token, hash_token, make_account_exists
from flycam.catalog.records import Account, AuditEntry, Role
from flycam.errors import AccessDenied, StorageFailed
from flycam.frame.timestamp import format_iso
from flycam.messages import _
from flycam.pipeline.access.accounts import validate_account_name
from flycam.pipeline.cache_layout import SETUP_CODE_FILE
from flycam.pipeline.workspace import Workspace
from flycam.store.fsync import make_folder, move_into_place

SETUP_CODE_TTL_MIN = 60
SIGN_IN_CODE_TTL_MIN = 15
# Crockford's base 32, without I, L, O and U (decision 0033)
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 12
_GROUP = 4
_MINUTE_NS = 60 * 10**9
_LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def is_code(text: str) -> bool:
    """Return True if a text has the form of a code, as people write it."""
    letters = _letters(text)
    return len(letters) == _LENGTH and all(one in _LETTERS for one in letters)


def make_setup_code(workspace: Workspace) -> str:
    """Make the code for the first administrator on the map's page.

    It replaces an earlier one. Raises AccessDenied (there is an account), StorageFailed.
    """
    if workspace.catalog.accounts.all():
        raise make_account_exists()
    code = _new_code()
    kept = {"sha256": _hash(code), "expires_ns": workspace.clock_ns() + SETUP_CODE_TTL_MIN * _MINUTE_NS}
    path = workspace.cache_dir / SETUP_CODE_FILE
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        make_folder(path.parent)
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(kept, out)
        move_into_place(temporary, path)
    except OSError as error:
        raise StorageFailed(
            _(
                "{path}: the set-up code cannot be kept ({strerror}); free or repair the disk",
                path=path,
                strerror=error.strerror,
            )
        ) from error
    return _grouped(code)


def make_sign_in_code(workspace: Workspace, name: str, who: str, token_id: str = "") -> str:
    """Make a code that signs in the account of this name once.

    It replaces an earlier one.

    token_id  of its maker's token, with which the session then ends; "": of none

    Raises NotFound.
    """
    code, now = _new_code(), workspace.clock_ns()
    made = OneTimeCode(
        code_hash=_hash(code),
        account=name,
        token_id=token_id,
        made_ns=now,
        expires_ns=now + SIGN_IN_CODE_TTL_MIN * _MINUTE_NS,
    )
    detail = f"until {format_iso(made.expires_ns)}{f', made with {token_id}' if token_id else ''}"
    told = AuditEntry(who=who, what="sign-in code", subject=name, detail=detail, at_ns=now)
    workspace.catalog.codes.put(made, told)
    return _grouped(code)


def make_first_administrator(workspace: Workspace, code: str, name: str) -> tuple[Account, str]:
    """Make the node's first account by its set-up code.

    Returns (the account, its token, shown only once). Raises InputUnusable (no name, or an invalid one),
    AccessDenied (why the code is not, or no longer, valid).
    """
    name = validate_account_name(name)
    _require_setup_code(workspace, code)
    token, now = generate_token(), workspace.clock_ns()
    account = Account(name=name, role=Role.ADMIN, token_hash=hash_token(token), created_ns=now)
    told = AuditEntry(who=name, what="user add", subject=name, detail="admin, by set-up code", at_ns=now)
    workspace.catalog.accounts.put_first(account, told)
    # the code is void now that there is an account
    with suppress(OSError):
        (workspace.cache_dir / SETUP_CODE_FILE).unlink()
    return account, token


def consume_code(workspace: Workspace, code: str) -> Account:
    """Spend a code; return the account that it signs in.

    Raises AccessDenied with the reason.
    """
    spent = workspace.catalog.codes.spend(_hash(code), workspace.clock_ns())
    found = workspace.catalog.accounts.find(spent.account, spent.token_id)
    if found is None:
        raise AccessDenied(_("the account or token by which this code was made has ended; ask for a new one"))
    return found


def _require_setup_code(workspace: Workspace, code: str) -> None:
    if workspace.catalog.accounts.all():
        raise make_account_exists()
    try:
        kept = json.loads((workspace.cache_dir / SETUP_CODE_FILE).read_bytes())
    # no code was made here, or it was deleted: any code is wrong then
    except (OSError, ValueError):
        kept = {"sha256": "", "expires_ns": 0}
    if not hmac.compare_digest(kept["sha256"], _hash(code)):
        raise AccessDenied(
            _(
                "this code is wrong, or a newer one was made; compare it letter by letter, or "
                "take another (on the server: flycam account code)"
            )
        )
    if kept["expires_ns"] <= workspace.clock_ns():
        raise AccessDenied(_("this code has expired; take another (on the server: flycam account code)"))


def _new_code() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def _grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def _hash(code: str) -> str:
    return hash_token(_letters(code))


def _letters(text: str) -> str:
    """Normalise a typed code: people write O for 0, and I or l for 1."""
    return text.strip().upper().translate(_LOOKALIKES)
