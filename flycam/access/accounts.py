"""Accounts, guest links, tokens, sign-in codes and OpenID sign-in.

Accounts belong to viewers, operators, analysts and administrators; guests see the map by a time-limited link.
"""

from __future__ import annotations

import difflib
import hmac
import json
import math
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from flycam.catalog.access import (
    Guest,
    Person,
    generate_token,
    generate_token_id,
    hash_token,
    make_account_exists,
    make_token_entry,
)
from flycam.config import ROLES, OpenIdClient
from flycam.errors import AccessDenied, InputUnusable, NotFound, OptionUnusable, StorageFailed
from flycam.messages import _
from flycam.model.access import MAX_CLOCK_ERROR_NS, Account, Descendants, OneTimeCode, Role, Scope, Token
from flycam.model.records import AuditEntry
from flycam.model.text import normalize_name, strip_unprintable, to_search_key, validate_name
from flycam.model.time import format_iso
from flycam.storage.files import make_folder, replace_file
from flycam.storage.keys import SETUP_CODE_FILE
from flycam.workspace import Workspace

MAX_GUEST_HOURS = 168.0
_ALL = "all"
_KINDS = ("xa", "phuong", "thi tran", "dac khu")
"""Words before a commune's name, as `to_search_key` spells them."""
_EXAMPLES = 3
_NO_NAME = frozenset("<>")
_HOUR_NS = 3_600_000_000_000


def validate_account_name(name: str) -> str:
    """Return a valid account name, see `validate_name`. Raises InputUnusable.

    It is printed on briefing packs and signs the audit log, so it must be presentable in print.
    """
    name = validate_name(name)
    if _NO_NAME.intersection(name):
        raise InputUnusable(
            _("{name}: a name is printed as it is written; write it without < and >", name=name)
        )
    return name


def add_user(workspace: Workspace, name: str, role: str, communes: str | None = None) -> tuple[Account, str]:
    """Make an account, or give an existing one a new token and role.

    The token is shown only once. A new token revokes the guest links made with the old one: a thief of that
    may have made some too.

    communes  names or codes of its communes, with commas between; "all"; None: as before, a new account has
              all

    Raises InputUnusable, NotFound (no such commune), OptionUnusable (an ambiguous name, or none).
    """
    name = name.strip()
    # an existing account keeps its name, whatever today's rules
    if not workspace.catalog.accounts.find(name):
        name = validate_account_name(name)
    token = generate_token()
    now = workspace.clock_ns()
    account = Account(
        name=name,
        role=Role(role),
        token_hash=hash_token(token),
        created_ns=now,
        communes=_before(workspace, name) if communes is None else resolve_commune_codes(workspace, communes),
    )
    who, detail = workspace.operator or workspace.box, ", ".join([role, *account.communes])
    entry = AuditEntry(who=who, what="user add", subject=account.name, detail=detail, at_ns=now)
    workspace.catalog.accounts.put(account, entry)
    return account, token


def remove_user(workspace: Workspace, name: str) -> tuple[Account, Descendants]:
    """Remove an account: (the account, what of others ended with it).

    Its tokens, sessions, one-time and guest links end, and what was made with its tokens; its actions stay in
    the audit log under its name. Raises NotFound, InputUnusable (the last administrator).
    """
    who = workspace.operator or workspace.box
    return workspace.catalog.accounts.remove(name.strip(), who, workspace.clock_ns())


def _before(workspace: Workspace, name: str) -> tuple[str, ...]:
    """Return an account's communes so far: a new token must not widen its access."""
    known = workspace.catalog.accounts.all()
    return next((one.communes for one in known if one.name == name), ())


def resolve_commune_codes(workspace: Workspace, text: str) -> tuple[str, ...]:
    """Resolve names or codes of communes to codes, by the boundaries in force.

    "all" gives (). Raises NotFound, OptionUnusable (an ambiguous name, or none).
    """
    if text.strip().lower() == _ALL:
        return ()
    names = workspace.catalog.boundaries.names()
    codes = []
    for requested in [one.strip() for one in text.split(",") if one.strip()]:
        key = to_search_key(requested)
        found = [requested] if requested in names else _find_codes(names, key)
        if not found:
            raise _no_commune(requested, key, names)
        if len(found) > 1:
            raise OptionUnusable(
                _(
                    "--communes {asked}: several have this name ({found}); give the code",
                    asked=requested,
                    found=", ".join(found),
                )
            )
        codes += found
    if not codes:
        raise OptionUnusable(_("--communes: names no commune; write all for an account that is for all"))
    return tuple(dict.fromkeys(codes))


def _find_codes(names: Mapping[str, str], key: str) -> list[str]:
    """Find codes of communes by exact name, else without the word for their kind."""
    spelled = {code: to_search_key(name) for code, name in names.items()}
    exactly = [code for code, one in spelled.items() if one == key]
    return exactly or [code for code, one in spelled.items() if _bare(one) == _bare(key)]


def _bare(key: str) -> str:
    kind = next((kind for kind in _KINDS if key.startswith(f"{kind} ")), "")
    return key.removeprefix(kind).lstrip()


def _no_commune(text: str, key: str, names: Mapping[str, str]) -> NotFound:
    if not names:
        return NotFound(
            _(
                "{asked}: no communes are known here yet; bring their boundaries: flycam communes add FILE",
                asked=text,
            )
        )
    by_key = {to_search_key(name): name for name in names.values()}
    similar = [name for spelled, name in by_key.items() if key in spelled]
    similar = similar or [by_key[one] for one in difflib.get_close_matches(key, by_key, _EXAMPLES)]
    near = "; ".join(sorted(similar)[:_EXAMPLES])
    if not near:
        return NotFound(_("{asked}: no commune has this name or code", asked=text))
    return NotFound(_("{asked}: no commune has this name or code; nearest: {near}", asked=text, near=near))


def resolve_guest_communes(
    workspace: Workspace, text: str | None, own: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Resolve the codes of the communes that a guest sees; empty: all.

    text  their names or codes, with commas between; None, "", "all": as the inviter
    own   codes of the inviter's communes, empty: all; a guest sees no more

    Raises NotFound, OptionUnusable (an ambiguous name, or a commune beyond the inviter's).
    """
    codes = resolve_commune_codes(workspace, text) if text and text.strip() else ()
    beyond = [code for code in codes if own and code not in own]
    if beyond:
        raise OptionUnusable(
            _(
                "{beyond}: your account is not for these communes; a guest sees no more than you do",
                beyond=", ".join(beyond),
            )
        )
    return codes or own


def invite_guest(
    workspace: Workspace,
    hours: float,
    event: str | None,
    who: str,
    communes: tuple[str, ...] = (),
    until_ns: int | None = None,
    made_with: str = "",
) -> tuple[Guest, str]:
    """Make a link that shows the map and its tiles; its secret is shown only once.

    event     the only event that it shows (id or name); None: all
    communes  codes of those that it shows (`resolve_guest_communes`); empty: all
    until_ns  latest end, whatever the hours: a link must not outlive the sign-in of its maker; None: by its
              hours alone
    made_with id of its maker's token, with which it ends; "": of none

    Raises NotFound, OptionUnusable (no number of hours, or more than a week).
    """
    if not (math.isfinite(hours) and 0.0 < hours <= MAX_GUEST_HOURS):
        raise OptionUnusable(
            _(
                "--hours {hours:g}: give a number above 0, at most {most_guest_hours:g}",
                hours=hours,
                most_guest_hours=MAX_GUEST_HOURS,
            )
        )
    secret, now = generate_token(), workspace.clock_ns()
    guest = Guest(
        guest_id=f"guest-{secrets.token_hex(6)}",
        secret_hash=hash_token(secret),
        event_id=workspace.catalog.flights.event(event).event_id if event else "",
        communes=communes,
        made_by=who,
        made_ns=now,
        expires_ns=min([now + round(hours * _HOUR_NS), *([] if until_ns is None else [until_ns])]),
        made_with=made_with or None,
    )
    lasts = f"{(guest.expires_ns - now) / _HOUR_NS:g} h"
    details = [lasts, guest.event_id or "all events", *communes, made_with and f"made with {made_with}"]
    detail = ", ".join(filter(None, details))
    entry = AuditEntry(who=who, what="guest link", subject=guest.guest_id, detail=detail, at_ns=now)
    workspace.catalog.guests.put(guest, entry)
    return guest, secret


def revoke_guest(workspace: Workspace, guest_id: str, who: str) -> Guest:
    """Revoke a guest link. Raises NotFound."""
    now = workspace.clock_ns()
    entry = AuditEntry(who=who, what="guest revoked", subject=guest_id, detail="", at_ns=now)
    return workspace.catalog.guests.revoke(guest_id, now, entry)


# -- Accounts of people who sign in through OpenID Connect -----------------------------------------


_MAX_NAME_LENGTH = 100
_UNNAMED = "unnamed"


def sign_in_with_openid(workspace: Workspace, client: OpenIdClient, claims: Mapping[str, Any]) -> Account:
    """Return the account of the person with these verified claims.

    It is made if there is none. Raises AccessDenied: no communes are named where they must be, the account
    was removed, or there is no account at all yet.
    """
    person = Person(
        issuer=client.issuer,
        subject=str(claims["sub"]),
        name=_name(client, claims),
        role=map_role(client, claims),
        communes=_communes(workspace, client, claims),
    )
    return workspace.catalog.identities.sign_in(person, workspace.clock_ns())


def map_role(client: OpenIdClient, claims: Mapping[str, Any]) -> Role:
    """Return the highest role that the claim's words give; viewer without any."""
    found = {client.roles[word] for word in _words(_claim(claims, client.role_claim)) if word in client.roles}
    return max(found, key=ROLES.index, default=Role.VIEWER)


def _communes(workspace: Workspace, client: OpenIdClient, claims: Mapping[str, Any]) -> tuple[str, ...]:
    if client.communes_claim is None:
        return ()
    text = ",".join(_words(_claim(claims, client.communes_claim)))
    try:
        return resolve_commune_codes(workspace, text)
    except InputUnusable as error:
        raise AccessDenied(
            _(
                '{communes_claim} "{text}": the sign-in service names no communes of this '
                "map: its administrator enters names or codes, or all",
                communes_claim=client.communes_claim,
                text=text[:200],
            )
        ) from error


def _name(client: OpenIdClient, claims: Mapping[str, Any]) -> str:
    """Return the person's name at the service.

    The service's host is appended unless it is an e-mail address.
    """
    offered = (claims.get(one) for one in ("preferred_username", "email", "sub"))
    plain = (strip_unprintable(str(one)) for one in offered if one)
    name = next(filter(None, plain), _UNNAMED)[:_MAX_NAME_LENGTH]
    return name if "@" in name else f"{name}@{urlsplit(client.issuer).hostname}"


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """Look up a claim by name, else by a dotted path of nested claims."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _words(claim: Any) -> list[str]:
    """Split a claim into words: one, several with commas between, or a list."""
    if isinstance(claim, str):
        return [one.strip() for one in claim.split(",") if one.strip()]
    return [one for one in claim if isinstance(one, str)] if isinstance(claim, list) else []


# -- Sign-in codes: one-time codes, and the set-up code of the first administrator -----------------
#
# A code is typed by hand where a token is too long. It is 60 random bits, valid for an hour at most and for
# one use, so its SHA-256 keeps it safe (decision 0033). The set-up code is kept in a file beside the
# catalogue: a node that was only started is still empty, and a backup may be restored into it.


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
    record = {"sha256": _hash(code), "expires_ns": workspace.clock_ns() + SETUP_CODE_TTL_MIN * _MINUTE_NS}
    path = workspace.cache_dir / SETUP_CODE_FILE
    try:
        make_folder(path.parent)
        with replace_file(path, 0o600) as out:
            out.write(json.dumps(record).encode())
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
    entry = AuditEntry(who=who, what="sign-in code", subject=name, detail=detail, at_ns=now)
    workspace.catalog.codes.put(made, entry)
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
    entry = AuditEntry(who=name, what="user add", subject=name, detail="admin, by set-up code", at_ns=now)
    workspace.catalog.accounts.put_first(account, entry)
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
        record = json.loads((workspace.cache_dir / SETUP_CODE_FILE).read_bytes())
    # no code was made here, or it was deleted: any code is wrong then
    except (OSError, ValueError):
        record = {"sha256": "", "expires_ns": 0}
    if not hmac.compare_digest(record["sha256"], _hash(code)):
        raise AccessDenied(
            _(
                "this code is wrong, or a newer one was made; compare it letter by letter, or "
                "take another (on the server: flycam account code)"
            )
        )
    left_ns = record["expires_ns"] - workspace.clock_ns()
    # more than a code ever lasts: it was made when the clock was ahead
    if not 0 < left_ns <= SETUP_CODE_TTL_MIN * _MINUTE_NS + MAX_CLOCK_ERROR_NS:
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


# -- Tokens of an account: each made for one purpose, shown once, and revoked one by one -----------


DEFAULT_TOKEN_DAYS = 365.0
MAX_TOKEN_DAYS = 3660.0
MAX_LABEL_LENGTH = 80
_DAY_NS = 86_400 * 10**9


def make_token(
    workspace: Workspace,
    account: str,
    label: str,
    scope: Scope,
    days: float | None,
    who: str,
    maker: Account | None = None,
) -> tuple[Token, str]:
    """Make a further token of an account; its secret is shown only once.

    days   None: it never expires
    maker  the account that makes it, as signed in by its own token: a token must not make one that outlives
           it; None: a person at the machine

    Raises NotFound (no such account), InputUnusable (no label, too many tokens), OptionUnusable (days).
    """
    if not normalize_name(label):
        raise InputUnusable(
            _(
                "a token needs a label of at most {most_label} letters; say what it is for",
                most_label=MAX_LABEL_LENGTH,
            )
        )
    label = validate_name(label, MAX_LABEL_LENGTH)
    if days is not None and not (math.isfinite(days) and 0.0 < days <= MAX_TOKEN_DAYS):
        raise OptionUnusable(
            _(
                "--days {days:g}: give a number above 0, at most {most_days:g}",
                days=days,
                most_days=MAX_TOKEN_DAYS,
            )
        )
    secret, now = generate_token(), workspace.clock_ns()
    until_ns = None if maker is None else maker.until_ns
    ends = [one for one in (until_ns, None if days is None else now + round(days * _DAY_NS)) if one]
    token = Token(
        token_id=generate_token_id(),
        account=account.strip(),
        label=label,
        scope=scope,
        secret_hash=hash_token(secret),
        made_by=who,
        made_ns=now,
        expires_ns=min(ends, default=None),
        made_with=(maker.token_id or None) if maker is not None else None,
    )
    until = "no end" if token.expires_ns is None else f"until {format_iso(token.expires_ns)}"
    workspace.catalog.tokens.put(token, make_token_entry(token, "token", who, now, f"{scope}, {until}"))
    # read anew, so that the token is valid at once in this process
    workspace.catalog.accounts.forget()
    return token, secret


def list_active_tokens(workspace: Workspace, account: str | None = None) -> list[Token]:
    """List the valid tokens, of one account or of all."""
    return workspace.catalog.tokens.list_valid(workspace.clock_ns(), account)


def find_descendants(workspace: Workspace) -> dict[str, Descendants]:
    """Find what would end with each valid token, by its id."""
    return workspace.catalog.tokens.find_descendants(workspace.clock_ns())


def revoke_token(
    workspace: Workspace, token_id: str, who: str, account: str | None = None
) -> tuple[Token, Descendants]:
    """Revoke a token, its sessions, and all that was made with it.

    Returns (the token, what else ended).

    account  whose it has to be; None: anybody's

    Raises NotFound.
    """
    token = next((one for one in list_active_tokens(workspace, account) if one.token_id == token_id), None)
    if token is None:
        raise NotFound(
            _("{token_id}: no such token holds; see 'flycam account tokens'", token_id=token_id[:80])
        )
    entry = make_token_entry(token, "token revoked", who, workspace.clock_ns(), token.scope)
    # sessions are sealed by a token's hash: a new seal ends those of this token (decision 0033)
    ended = workspace.catalog.tokens.revoke(token, hash_token(generate_token()), entry)
    workspace.catalog.accounts.forget()
    return token, ended
