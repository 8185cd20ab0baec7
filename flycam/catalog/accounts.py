"""Accounts. A token is 256 random bits, so one SHA-256 keeps it safe at rest and is quick to check."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.records import Account, AuditEntry, Role
from flycam.catalog.sharing_tables import guests, identities
from flycam.errors import InputUnusable, NotFound

_TOKEN_BYTES = 32
_CACHE_S = 2.0


def new_token() -> str:
    """A fresh token, shown once to the person it is for."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is kept of a token: hex SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Accounts:
    """Accounts by name and by token.

    All accounts are held in memory and read again after two seconds. So a check costs one hash and one
    look-up whether the token is right or wrong, and an account taken away elsewhere is refused 2 s later.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._by_hash: dict[str, Account] = {}
        self._read_at = float("-inf")

    def put(self, account: Account) -> None:
        """Write or overwrite an account; a new token replaces the old one. A person of the sign-in service
        whose it was may come again."""
        again = update(identities).where(identities.c.name == account.name).values(barred_ns=None)
        with self._database.write() as connection:
            connection.execute(self._database.upsert(tables.accounts), row_of(account))
            connection.execute(again)
        self._forget()

    def remove(self, name: str, who: str, at_ns: int) -> tuple[Account, list[str]]:
        """Take an account away, with the guest links that it made: (the account, ids of those that held).

        The lines of the audit log that tell of it are on disk together with it. A person of the sign-in
        service does not get it back until `put` makes it again.
        Raises NotFound, InputUnusable (the last administrator).
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            account = _taken_away(connection, name)
            barred = update(identities).where(identities.c.name == name).values(barred_ns=at_ns)
            connection.execute(barred)
            links = _links_ended(connection, name, at_ns)
            detail = ", ".join([account.role, *account.communes])
            told = [("user remove", name, detail), *(("guest revoked", link, "") for link in links)]
            entries = [
                AuditEntry(who=who, what=what, subject=subject, detail=said, at_ns=at_ns)
                for what, subject, said in told
            ]
            write_entries(connection, entries, self._database.audit_key)
        self._forget()
        return account, links

    def all(self) -> list[Account]:
        """All accounts by name."""
        with self._database.read() as connection:
            query = select(tables.accounts).order_by(tables.accounts.c.name)
            return [account_of(row) for row in connection.execute(query)]

    def by_token(self, token: str) -> Account | None:
        """The account of a token; None if no account has it."""
        return self._current().get(hash_token(token))

    def is_empty(self) -> bool:
        """Whether no account exists yet."""
        return not self._current()

    def _current(self) -> dict[str, Account]:
        if time.monotonic() - self._read_at < _CACHE_S:
            return self._by_hash
        with self._lock:
            if time.monotonic() - self._read_at >= _CACHE_S:
                self._by_hash = {account.token_hash: account for account in self.all()}
                self._read_at = time.monotonic()
            return self._by_hash

    def _forget(self) -> None:
        with self._lock:
            self._read_at = float("-inf")


def _taken_away(connection: Connection, name: str) -> Account:
    known = {one.name: one for one in map(account_of, connection.execute(select(tables.accounts)))}
    if name not in known:
        raise NotFound(
            f"{name}: no such account; list them with: flycam user list",
            vi=f"{name}: không có tài khoản này; xem danh sách bằng: flycam user list",
        )
    if [one.name for one in known.values() if one.role is Role.ADMIN] == [name]:
        raise InputUnusable(
            f"{name}: is the last administrator; first make another: flycam user add NAME --role admin",
            vi=f"{name}: là quản trị viên cuối cùng; trước hết hãy tạo người khác: "
            "flycam user add TÊN --role admin",
        )
    connection.execute(delete(tables.accounts).where(tables.accounts.c.name == name))
    return known[name]


def _links_ended(connection: Connection, name: str, at_ns: int) -> list[str]:
    c = guests.c
    held = (c.made_by == name, c.revoked_ns.is_(None), c.expires_ns > at_ns)
    links = list(connection.execute(select(c.guest_id).where(*held).order_by(c.guest_id)).scalars())
    connection.execute(update(guests).where(*held).values(revoked_ns=at_ns))
    return links


def row_of(account: Account) -> dict[str, Any]:
    """As the table keeps it."""
    return {
        "name": account.name,
        "role": account.role.value,
        "token_hash": account.token_hash,
        "created_ns": account.created_ns,
        "communes": "\n".join(account.communes),
    }


def account_of(row: Row[Any]) -> Account:
    """As the table keeps it."""
    return Account(
        name=row.name,
        role=Role(row.role),
        token_hash=row.token_hash,
        created_ns=row.created_ns,
        communes=tuple(row.communes.splitlines()),
    )
