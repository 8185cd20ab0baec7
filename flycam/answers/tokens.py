"""Answers about tokens and one-time codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.catalog.access_records import Descendants
from flycam.frame.secret_text import SecretText
from flycam.frame.timestamp import format_iso
from flycam.messages import Message, _, join, pgettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.access_records import Token


def format_code(code: str, name: str) -> Output:
    """Return account ("" for the first administrator) and code."""
    said = format_setup_code(code)
    if name:
        said = _("{name}, once, within 15 min: {code}", name=name, code=code)
    return {"account": name, "code": code}, [said]


def format_setup_code(code: str) -> Message:
    """Format the message with the code by which the first administrator is made.

    A server and the command print the same.
    """
    return _(
        "no account yet. Set-up code, good once within 60 min: {code}   (open the map and enter it; "
        "another: flycam account code)",
        code=code,
    )


def format_admission(accounts: int) -> Message:
    """Format a starting server's message on who may sign in without a set-up code."""
    if accounts:
        return _("accounts: {count}; they sign in", count=accounts)
    return _(
        "no account yet: open to whoever sits at this machine, for everything. Before a proxy stands in "
        "front, make one: flycam user add NAME --role admin"
    )


def format_token(token: Token, secret: str) -> Output:
    """Return a token as `format_tokens` does, with its secret as token."""
    line = join([_format_line(token), SecretText(secret)], ": ")
    return {**_describe_token(token), "token": secret}, [line]


def format_tokens(tokens: Sequence[Token], made: Mapping[str, Descendants]) -> Output:
    """Return tokens[].

    Keys: token_id, account, label, scope, made_by, made, expires, used (null: never), made_with (id of the
    token with which its maker signed in), ends_with_it (tokens[], guests[]: ids of what was made with it).

    made  what would end with each token, by its id
    """
    lines = []
    for one in tokens:
        used = _("never used")
        if one.used_ns is not None:
            used = _("last used {time}", time=format_iso(one.used_ns))
        lines.append(join([f"{one.token_id}  ", _format_line(one), ", ", used], ""))
        lines += format_ending_lines(made.get(one.token_id))
    answer = {"tokens": [_describe_token(one, made.get(one.token_id)) for one in tokens]}
    return answer, lines or [_("no tokens")]


def format_revoked_token(token: Token, made: Descendants) -> Output:
    """Return a revoked token as `format_tokens` does."""
    ended = join([_format_line(token), _("revoked, with its sessions")], ": ")
    return _describe_token(token, made), [ended, *format_ending_lines(made)]


def format_ending_lines(made: Descendants | None) -> list[Message]:
    """List what ends with a token, a line each."""
    if made is None:
        return []
    named = [f"{one.token_id} ({one.account}, {one.label})" for one in made.tokens]
    return [_("    ends with it: {name}", name=one) for one in [*named, *made.guest_ids]]


def _describe_token(token: Token, made: Descendants | None = None) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "account": token.account,
        "label": token.label,
        "scope": token.scope.value,
        "made_by": token.made_by,
        "made": format_iso(token.made_ns),
        "expires": None if token.expires_ns is None else format_iso(token.expires_ns),
        "used": None if token.used_ns is None else format_iso(token.used_ns),
        "made_with": token.made_with,
        "ends_with_it": (made or Descendants()).ids,
    }


def _format_line(token: Token) -> Message:
    until = _("no end")
    if token.expires_ns is not None:
        until = _("until {time}", time=format_iso(token.expires_ns))
    return _(
        "{account}, {label} ({scope}, {until})",
        account=token.account,
        label=token.label or pgettext("token without a label", "the first"),
        scope=token.scope.value,
        until=until,
    )
