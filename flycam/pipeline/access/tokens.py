"""Tokens of an account: each made for one purpose, shown once, and revoked one by one."""

from __future__ import annotations

import math

from flycam.catalog.access_records import Descendants, Scope, Token
from flycam.catalog.accounts import generate_token, generate_token_id, hash_token
from flycam.catalog.records import Account
from flycam.catalog.tokens import make_token_entry
from flycam.errors import InputUnusable, NotFound, OptionUnusable
from flycam.frame.text_normalization import normalize_name, validate_name
from flycam.frame.timestamp import format_iso
from flycam.messages import _
from flycam.pipeline.workspace import Workspace

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
    told = make_token_entry(token, "token revoked", who, workspace.clock_ns(), token.scope)
    # sessions are sealed by a token's hash: a new seal ends those of this token (decision 0033)
    ended = workspace.catalog.tokens.revoke(token, hash_token(generate_token()), told)
    workspace.catalog.accounts.forget()
    return token, ended
