"""Tokens of accounts, several each, with label, scope, expiry and last use.

A token is 256 random bits, so one SHA-256 keeps it safe at rest (decision 0033).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, or_, select, update

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import guests, one_time_codes, tokens
from flycam.errors import InputUnusable, NotFound
from flycam.messages import _
from flycam.model.access import Descendants, Scope, Token
from flycam.model.records import AuditEntry

MAX_TOKENS_PER_ACCOUNT = 50
"""Tokens that an account may hold at a time."""


class Tokens:
    """Tokens by id and by account; `Accounts` signs in by them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, token: Token, audit_entry: AuditEntry) -> None:
        """Write a new token, with its audit entry.

        Raises NotFound (no such account), InputUnusable (the account holds too many).
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            require_account(connection, token.account)
            if len(list_valid_tokens(connection, token.made_ns, token.account)) >= MAX_TOKENS_PER_ACCOUNT:
                raise InputUnusable(
                    _(
                        "{account}: holds {most_held} tokens already; revoke what is no longer used",
                        account=token.account,
                        most_held=MAX_TOKENS_PER_ACCOUNT,
                    )
                )
            connection.execute(tokens.insert(), to_token_row(token))
            write_entries(connection, [audit_entry], self._database.audit_key)

    def list_valid(self, now_ns: int, account: str | None = None) -> list[Token]:
        """Return valid tokens, of one account or of all, by account, oldest first."""
        with self._database.read() as connection:
            return list_valid_tokens(connection, now_ns, account)

    def find_descendants(self, now_ns: int) -> dict[str, Descendants]:
        """Return what would end with each valid token, by its id.

        Tokens with which nothing would end are left out.
        """
        with self._database.read() as connection:
            known, links = list_valid_tokens(connection, now_ns), _links_held(connection, now_ns)
        made = {one.token_id: _find_made_with([one], known, links) for one in known}
        return {token_id: one for token_id, one in made.items() if one != Descendants()}

    def revoke(self, token: Token, seal: str, audit_entry: AuditEntry) -> Descendants:
        """Revoke a token and what was made with it, with the audit entries.

        seal  what seals the account's sessions from now on, if until now this token does
        """
        c = tables.accounts.c
        sealed = update(tables.accounts).where(c.name == token.account, c.token_hash == token.secret_hash)
        with self._database.write(alone_in=tables.audit_log) as connection:
            known, links = (
                list_valid_tokens(connection, audit_entry.at_ns),
                _links_held(connection, audit_entry.at_ns),
            )
            ended = _find_made_with([token], known, links)
            _end(connection, [token], ended, audit_entry.at_ns)
            connection.execute(sealed.values(token_hash=seal))
            write_entries(
                connection,
                [audit_entry, *make_revocation_entries(ended, audit_entry)],
                self._database.audit_key,
            )
        return ended

    def note_use(self, token_id: str, at_ns: int) -> None:
        """Record the use of a token."""
        c = tokens.c
        older = or_(c.used_ns.is_(None), c.used_ns < at_ns)
        with self._database.write() as connection:
            connection.execute(update(tokens).where(c.token_id == token_id, older).values(used_ns=at_ns))


def list_valid_tokens(connection: Connection, now_ns: int, account: str | None = None) -> list[Token]:
    """List valid tokens as `Tokens.list_valid`, within a transaction."""
    c = tokens.c
    query = select(tokens).where(_holds(now_ns))
    if account is not None:
        query = query.where(c.account == account)
    return [_token(row) for row in connection.execute(query.order_by(c.account, c.made_ns, c.token_id))]


def is_token_valid(connection: Connection, now_ns: int, secret_hash: str) -> bool:
    """Check whether a token of this hash is valid, within a transaction."""
    query = select(tokens.c.token_id).where(tokens.c.secret_hash == secret_hash, _holds(now_ns))
    return connection.execute(query).first() is not None


def _holds(now_ns: int) -> ColumnElement[bool]:
    c = tokens.c
    return and_(c.revoked_ns.is_(None), or_(c.expires_ns.is_(None), c.expires_ns > now_ns))


def find_valid_token(connection: Connection, now_ns: int, token_id: str) -> Token | None:
    """Return a valid token, within a transaction; None if there is none."""
    row = connection.execute(select(tokens).where(tokens.c.token_id == token_id, _holds(now_ns))).first()
    return None if row is None else _token(row)


def insert_first_token(connection: Connection, token: Token) -> None:
    """Write the token that comes with an account, within a transaction."""
    connection.execute(delete(tokens).where(tokens.c.secret_hash == token.secret_hash))
    connection.execute(tokens.insert(), to_token_row(token))


def revoke_all(connection: Connection, account: str, at_ns: int) -> Descendants:
    """Revoke an account's tokens, codes and guest links, within a transaction.

    Returns what ended besides the account's own tokens.
    """
    c = one_time_codes.c
    codes = update(one_time_codes).where(c.account == account, c.ended_ns.is_(None))
    connection.execute(codes.values(ended_ns=at_ns))
    known, links = list_valid_tokens(connection, at_ns), _links_held(connection, at_ns)
    # expired ones too: the clock may be set back
    own = list_valid_tokens(connection, 0, account)
    made = _find_made_with(own, known, links)
    guest_ids = {*made.guest_ids, *(one.guest_id for one in links if one.made_by == account)}
    ended = Descendants(tokens=made.tokens, guest_ids=tuple(sorted(guest_ids)))
    _end(connection, own, ended, at_ns)
    return ended


def _find_made_with(own: Sequence[Token], known: Sequence[Token], links: Sequence[Row[Any]]) -> Descendants:
    """Return the tokens and guest links made with some tokens, directly or not.

    For a link without a known token the account's name and the time decide: those made since a token was may
    have been made with it (tokens of other scopes than ALL make none).
    """
    ids, made = {one.token_id for one in own}, list[Token]()
    while more := [one for one in known if one.made_with in ids and one.token_id not in ids]:
        ids.update(one.token_id for one in more)
        made += more
    since_ns = {one.account: one.made_ns for one in reversed(own) if one.scope is Scope.ALL}
    guest_ids = (
        one.guest_id
        for one in links
        if one.made_with in ids
        or (one.made_with is None and one.made_ns >= since_ns.get(one.made_by, one.made_ns + 1))
    )
    return Descendants(tokens=tuple(made), guest_ids=tuple(guest_ids))


def _end(connection: Connection, own: Sequence[Token], made: Descendants, at_ns: int) -> None:
    """Revoke tokens and what was made with them."""
    ids = [one.token_id for one in (*own, *made.tokens)]
    connection.execute(update(tokens).where(tokens.c.token_id.in_(ids)).values(revoked_ns=at_ns))
    links = update(guests).where(guests.c.guest_id.in_(made.guest_ids))
    connection.execute(links.values(revoked_ns=at_ns))


def _links_held(connection: Connection, now_ns: int) -> Sequence[Row[Any]]:
    c = guests.c
    query = select(guests).where(c.revoked_ns.is_(None), c.expires_ns > now_ns)
    return connection.execute(query.order_by(c.guest_id)).all()


def make_revocation_entries(ended: Descendants, why: AuditEntry) -> list[AuditEntry]:
    """Make the audit entries of what ended with what another entry reports."""
    links = [
        AuditEntry(who=why.who, what="guest revoked", subject=one, detail="", at_ns=why.at_ns)
        for one in ended.guest_ids
    ]
    return [
        *(make_token_entry(one, "token revoked", why.who, why.at_ns, one.scope) for one in ended.tokens),
        *links,
    ]


def make_token_entry(token: Token, what: str, who: str, at_ns: int, detail: str) -> AuditEntry:
    """Make the audit entry of a token."""
    made_with = token.made_with and f"made with {token.made_with}"
    full_detail = ", ".join(filter(None, [token.account, token.label, detail, made_with]))
    return AuditEntry(who=who, what=what, subject=token.token_id, detail=full_detail, at_ns=at_ns)


def make_first_token(token_id: str, account: str, secret_hash: str, made_ns: int) -> Token:
    """Make the token that comes with an account."""
    return Token(
        token_id=token_id,
        account=account,
        label="",
        scope=Scope.ALL,
        secret_hash=secret_hash,
        made_by=account,
        made_ns=made_ns,
    )


def require_account(connection: Connection, name: str) -> None:
    """Raise NotFound if there is no account of this name, within a transaction."""
    known = select(tables.accounts.c.name).where(tables.accounts.c.name == name)
    if connection.execute(known).first() is None:
        raise make_account_not_found(name)


def make_account_not_found(name: str) -> NotFound:
    """Make the error of an unknown account name."""
    return NotFound(_("{name}: no such account; list them with: flycam user list", name=name[:80]))


def to_token_row(token: Token) -> dict[str, Any]:
    """Convert a token to a row."""
    return {**asdict(token), "scope": token.scope.value}


def _token(row: Row[Any]) -> Token:
    values = dict(row._mapping)
    return Token(**{**values, "scope": Scope(row.scope)})
