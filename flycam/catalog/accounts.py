"""Accounts. A token is 256 random bits, so one SHA-256 keeps it safe at rest and is quick to check."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from typing import Any

from sqlalchemy import Row, delete, select

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.records import Account, Role
from flycam.errors import NotFound

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
        """Write or overwrite an account; a new token replaces the old one."""
        row = {
            "name": account.name,
            "role": account.role.value,
            "token_hash": account.token_hash,
            "created_ns": account.created_ns,
            "communes": "\n".join(account.communes),
        }
        with self._database.write() as connection:
            connection.execute(self._database.upsert(tables.accounts), row)
        self._forget()

    def remove(self, name: str) -> None:
        """Take an account away. NotFound."""
        with self._database.write() as connection:
            gone = connection.execute(delete(tables.accounts).where(tables.accounts.c.name == name)).rowcount
        self._forget()
        if not gone:
            raise NotFound(
                f"{name}: no such account; list them with: flycam user list",
                vi=f"{name}: không có tài khoản này; xem danh sách bằng: flycam user list",
            )

    def all(self) -> list[Account]:
        """All accounts by name."""
        with self._database.read() as connection:
            query = select(tables.accounts).order_by(tables.accounts.c.name)
            return [_account(row) for row in connection.execute(query)]

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


def _account(row: Row[Any]) -> Account:
    return Account(
        name=row.name,
        role=Role(row.role),
        token_hash=row.token_hash,
        created_ns=row.created_ns,
        communes=tuple(row.communes.splitlines()),
    )
