"""Tokens of accounts: several each, with a label, a scope, an end, and when they were last seen.

A token is 256 random bits, so one SHA-256 keeps it safe at rest (decision 0033).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, or_, select, update

from flycam.catalog import tables
from flycam.catalog.access_records import Scope, Token
from flycam.catalog.access_tables import one_time_codes, tokens
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry
from flycam.catalog.sharing_tables import guests
from flycam.errors import InputUnusable, NotFound

MOST_HELD = 50
"""Tokens that an account may hold at a time: all are tried where a session is proven."""


class Tokens:
    """Tokens by id and by account. `Accounts` knows whom they let in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, token: Token, told: AuditEntry) -> None:
        """Enter a new token, with the line of the audit log that tells of it.

        Raises NotFound (no such account), InputUnusable (the account holds too many).
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            require_account(connection, token.account)
            if len(held(connection, token.made_ns, token.account)) >= MOST_HELD:
                raise InputUnusable(
                    f"{token.account}: holds {MOST_HELD} tokens already; revoke what is not used any more",
                    vi=f"{token.account}: đã có {MOST_HELD} mã truy cập; hãy thu hồi mã không còn dùng",
                )
            connection.execute(tokens.insert(), row_of(token))
            write_entries(connection, [told], self._database.audit_key)

    def held(self, now_ns: int, account: str | None = None) -> list[Token]:
        """Those that hold, of one account or of all, by account, the oldest first."""
        with self._database.read() as connection:
            return held(connection, now_ns, account)

    def revoke(self, token: Token, seal: str, told: AuditEntry) -> None:
        """Let a token open nothing any more, with the line of the audit log that tells of it. The guest links
        that its account made since the token was made end with it, for it may have made them; tokens of
        other scopes than ALL make none.

        seal  what seals the account's sessions from now on, if until now this token does
        """
        c = tables.accounts.c
        sealed = update(tables.accounts).where(c.name == token.account, c.token_hash == token.secret_hash)
        with self._database.write(alone_in=tables.audit_log) as connection:
            connection.execute(_ending(told.at_ns).where(tokens.c.token_id == token.token_id))
            connection.execute(sealed.values(token_hash=seal))
            reaches_links = token.scope is Scope.ALL
            links = end_links(connection, token.account, told.at_ns, token.made_ns) if reaches_links else []
            write_entries(connection, [told, *links_told(links, told)], self._database.audit_key)

    def note_use(self, token_id: str, at_ns: int) -> None:
        """That a token was seen."""
        c = tokens.c
        older = or_(c.used_ns.is_(None), c.used_ns < at_ns)
        with self._database.write() as connection:
            connection.execute(update(tokens).where(c.token_id == token_id, older).values(used_ns=at_ns))


def held(connection: Connection, now_ns: int, account: str | None = None) -> list[Token]:
    """As `Tokens.held`, within a transaction."""
    c = tokens.c
    query = select(tokens).where(_holds(now_ns))
    if account is not None:
        query = query.where(c.account == account)
    return [_token(row) for row in connection.execute(query.order_by(c.account, c.made_ns, c.token_id))]


def is_held(connection: Connection, now_ns: int, secret_hash: str) -> bool:
    """Whether a token of this hash holds, within a transaction."""
    query = select(tokens.c.token_id).where(tokens.c.secret_hash == secret_hash, _holds(now_ns))
    return connection.execute(query).first() is not None


def _holds(now_ns: int) -> ColumnElement[bool]:
    c = tokens.c
    return and_(c.revoked_ns.is_(None), or_(c.expires_ns.is_(None), c.expires_ns > now_ns))


def replace_all(connection: Connection, token: Token) -> None:
    """Leave an account this one token, within a transaction."""
    end_all(connection, token.account, token.made_ns)
    connection.execute(delete(tokens).where(tokens.c.secret_hash == token.secret_hash))
    connection.execute(tokens.insert(), row_of(token))


def end_all(connection: Connection, account: str, at_ns: int) -> None:
    """Let no token of an account, and no code, open anything any more."""
    connection.execute(_ending(at_ns).where(tokens.c.account == account))
    c = one_time_codes.c
    codes = update(one_time_codes).where(c.account == account, c.ended_ns.is_(None))
    connection.execute(codes.values(ended_ns=at_ns))


def end_links(connection: Connection, account: str, at_ns: int, since_ns: int = 0) -> list[str]:
    """Let no guest link that an account made from `since_ns` on open anything any more: ids of those that
    held."""
    c = guests.c
    held = (c.made_by == account, c.made_ns >= since_ns, c.revoked_ns.is_(None), c.expires_ns > at_ns)
    links = list(connection.execute(select(c.guest_id).where(*held).order_by(c.guest_id)).scalars())
    connection.execute(update(guests).where(*held).values(revoked_ns=at_ns))
    return links


def links_told(links: Iterable[str], why: AuditEntry) -> list[AuditEntry]:
    """The lines that tell of links which ended with what another line tells."""
    return [
        AuditEntry(who=why.who, what="guest revoked", subject=one, detail="", at_ns=why.at_ns)
        for one in links
    ]


def first_token(token_id: str, account: str, secret_hash: str, made_ns: int) -> Token:
    """The one that comes with an account."""
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
    """Raise NotFound, within a transaction, where there is no account of this name."""
    known = select(tables.accounts.c.name).where(tables.accounts.c.name == name)
    if connection.execute(known).first() is None:
        raise no_account(name)


def no_account(name: str) -> NotFound:
    """That there is no account of this name."""
    return NotFound(
        f"{name[:80]}: no such account; list them with: flycam user list",
        vi=f"{name[:80]}: không có tài khoản này; xem danh sách bằng: flycam user list",
    )


def row_of(token: Token) -> dict[str, Any]:
    """As the table keeps it."""
    return {**asdict(token), "scope": token.scope.value}


def _ending(at_ns: int) -> Any:
    return update(tokens).where(tokens.c.revoked_ns.is_(None)).values(revoked_ns=at_ns)


def _token(row: Row[Any]) -> Token:
    values = dict(row._mapping)
    return Token(**{**values, "scope": Scope(row.scope)})
