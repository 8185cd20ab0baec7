"""Accounts of viewers, operators, analysts and administrators; and guests with a time-limited link."""

from __future__ import annotations

import difflib
import math
import secrets
from collections.abc import Mapping

from flycam.catalog.access_records import Descendants
from flycam.catalog.accounts import generate_token, hash_token
from flycam.catalog.records import Account, AuditEntry, Role
from flycam.catalog.sharing_records import Guest
from flycam.errors import InputUnusable, NotFound, OptionUnusable
from flycam.frame.text_normalization import to_search_key, validate_name
from flycam.messages import _
from flycam.pipeline.workspace import Workspace

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
    told = AuditEntry(who=who, what="user add", subject=account.name, detail=detail, at_ns=now)
    workspace.catalog.accounts.put(account, told)
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
    for asked in [one.strip() for one in text.split(",") if one.strip()]:
        key = to_search_key(asked)
        found = [asked] if asked in names else _find_codes(names, key)
        if not found:
            raise _no_commune(asked, key, names)
        if len(found) > 1:
            raise OptionUnusable(
                _(
                    "--communes {asked}: several have this name ({found}); give the code",
                    asked=asked,
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
    alike = [name for spelled, name in by_key.items() if key in spelled]
    alike = alike or [by_key[one] for one in difflib.get_close_matches(key, by_key, _EXAMPLES)]
    near = "; ".join(sorted(alike)[:_EXAMPLES])
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
    said = [lasts, guest.event_id or "all events", *communes, made_with and f"made with {made_with}"]
    detail = ", ".join(filter(None, said))
    told = AuditEntry(who=who, what="guest link", subject=guest.guest_id, detail=detail, at_ns=now)
    workspace.catalog.guests.put(guest, told)
    return guest, secret


def revoke_guest(workspace: Workspace, guest_id: str, who: str) -> Guest:
    """Revoke a guest link. Raises NotFound."""
    now = workspace.clock_ns()
    told = AuditEntry(who=who, what="guest revoked", subject=guest_id, detail="", at_ns=now)
    return workspace.catalog.guests.revoke(guest_id, now, told)
