"""Accounts.

A token is 256 random bits, so one SHA-256 keeps it safe at rest and is quick to check.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from flycam.catalog import tables, tokens
from flycam.catalog.access_records import Descendants, Token
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.records import Account, AuditEntry, Role
from flycam.catalog.sharing_tables import identities
from flycam.errors import AccessDenied, InputUnusable
from flycam.messages import _

_TOKEN_BYTES = 32
# accounts that another process removed are refused after this
_CACHE_TTL_S = 2.0


def generate_token() -> str:
    """Return a new token, to be shown once to its holder."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def generate_token_id() -> str:
    """Return an id for a token, which is not secret."""
    return f"token-{secrets.token_hex(6)}"


def hash_token(token: str) -> str:
    """Return the hex SHA-256 under which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Accounts:
    """Accounts by name and by token.

    All accounts and tokens are held in memory and read again after two seconds, and for a token that is only
    on disk. So what is removed elsewhere is refused 2 s later, what is made elsewhere signs in at once, and a
    wrong token costs one row.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._by_hash: dict[str, Account] = {}
        self._is_empty = True
        self._read_at = float("-inf")

    def put(self, account: Account, audit_entry: AuditEntry | None = None) -> None:
        """Write or overwrite an account; its new token replaces all that it had.

        What was made with those and the guest links that it made end. A person of the sign-in service whose
        account it was may sign in again.

        audit_entry  its entry for the audit log, on disk together with it and the entries of what ended
        """
        again = update(identities).where(identities.c.name == account.name).values(barred_ns=None)
        with self._database.write(alone_in=tables.audit_log) as connection:
            connection.execute(self._database.upsert(tables.accounts), to_account_row(account))
            ended = tokens.revoke_all(connection, account.name, account.created_ns)
            tokens.insert_first_token(connection, derive_first_token(account))
            connection.execute(again)
            if audit_entry is not None:
                write_entries(
                    connection,
                    [audit_entry, *tokens.make_revocation_entries(ended, audit_entry)],
                    self._database.audit_key,
                )
        self.forget()

    def put_first(self, account: Account, audit_entry: AuditEntry) -> None:
        """Write the node's first account, with its entry for the audit log.

        Of several concurrent attempts one succeeds. Raises AccessDenied (there is an account).
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            if connection.execute(select(tables.accounts.c.name)).first() is not None:
                raise make_account_exists()
            connection.execute(tables.accounts.insert(), to_account_row(account))
            tokens.insert_first_token(connection, derive_first_token(account))
            write_entries(connection, [audit_entry], self._database.audit_key)
        self.forget()

    def remove(self, name: str, who: str, at_ns: int) -> tuple[Account, Descendants]:
        """Remove an account, what was made with its tokens, and its guest links.

        Returns the account, and those of them that were valid. The entries in the audit log are on disk
        together with the removal. A person of the sign-in service does not get the account back until `put`
        makes it again. Raises NotFound, InputUnusable (the last administrator).
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            account = _remove_account(connection, name)
            ended = tokens.revoke_all(connection, name, at_ns)
            barred = update(identities).where(identities.c.name == name).values(barred_ns=at_ns)
            connection.execute(barred)
            detail = ", ".join([account.role, *account.communes])
            told = AuditEntry(who=who, what="user remove", subject=name, detail=detail, at_ns=at_ns)
            write_entries(
                connection, [told, *tokens.make_revocation_entries(ended, told)], self._database.audit_key
            )
        self.forget()
        return account, ended

    def all(self) -> list[Account]:
        """Return all accounts by name."""
        with self._database.read() as connection:
            query = select(tables.accounts).order_by(tables.accounts.c.name)
            return [parse_account_row(row) for row in connection.execute(query)]

    def find_by_token(self, token: str) -> Account | None:
        """Return the account of a valid token, with the token's scope and end.

        None if no account has it.
        """
        secret_hash = hash_token(token)
        self._refresh()
        if secret_hash not in self._by_hash and self._is_held(secret_hash):
            self.forget()
            self._refresh()
        found = self._by_hash.get(secret_hash)
        return found if found is None or found.until_ns is None or time.time_ns() < found.until_ns else None

    def find(self, name: str, token_id: str = "") -> Account | None:
        """Return an account as signed in with a token, read anew.

        None if there is no such account, or the token is not valid. Sessions are sealed by this, and end with
        it.

        token_id  of one of its own tokens, or of another account's by which its holder was let in; "": none
        """
        # from a forged cookie: PostgreSQL takes no such text
        if "\0" in name + token_id:
            return None
        with self._database.read() as connection:
            row = connection.execute(select(tables.accounts).where(tables.accounts.c.name == name)).first()
            token = (
                tokens.find_valid_token(connection, time.time_ns(), token_id) if row and token_id else None
            )
        if row is None or (token_id and token is None):
            return None
        account = parse_account_row(row)
        if token is None or token.account == name:
            return account if token is None else _by(account, token)
        return replace(account, token_id=token.token_id, until_ns=token.expires_ns)

    def is_valid(self, account: Account) -> bool:
        """Check whether the account and the token of its sign-in are valid right now."""
        found = self.find(account.name, account.token_id)
        return found is not None and found.token_hash == account.token_hash

    def is_empty(self) -> bool:
        """Check whether no account exists yet."""
        self._refresh()
        return self._is_empty

    def _is_held(self, secret_hash: str) -> bool:
        with self._database.read() as connection:
            return tokens.is_token_valid(connection, time.time_ns(), secret_hash)

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < _CACHE_TTL_S:
            return
        with self._lock:
            if time.monotonic() - self._read_at < _CACHE_TTL_S:
                return
            with self._database.read() as connection:
                rows = connection.execute(select(tables.accounts))
                known = {one.name: one for one in map(parse_account_row, rows)}
                held = tokens.list_valid_tokens(connection, time.time_ns())
            self._by_hash = {
                one.secret_hash: _by(known[one.account], one) for one in held if one.account in known
            }
            self._is_empty = not known
            self._read_at = time.monotonic()

    def forget(self) -> None:
        """Drop the cache: what was just written applies at once in this process."""
        with self._lock:
            self._read_at = float("-inf")


def _remove_account(connection: Connection, name: str) -> Account:
    known = {one.name: one for one in map(parse_account_row, connection.execute(select(tables.accounts)))}
    if name not in known:
        raise tokens.make_account_not_found(name)
    if [one.name for one in known.values() if one.role is Role.ADMIN] == [name]:
        raise InputUnusable(
            _(
                "{name}: is the last administrator; first make another: flycam user add NAME --role admin",
                name=name,
            )
        )
    connection.execute(delete(tables.accounts).where(tables.accounts.c.name == name))
    return known[name]


def make_account_exists() -> AccessDenied:
    """Make the error of a set-up code that is useless: there is an account."""
    return AccessDenied(
        _("there is an account already, so no set-up code is good any more; sign in, or ask an admin")
    )


def derive_first_token(account: Account) -> Token:
    """Return the token that comes with a new account, under its own hash."""
    return tokens.make_first_token(generate_token_id(), account.name, account.token_hash, account.created_ns)


def _by(account: Account, token: Token) -> Account:
    """Return an account as signed in with a token."""
    return replace(
        account,
        token_hash=token.secret_hash,
        scope=token.scope,
        token_id=token.token_id,
        until_ns=token.expires_ns,
    )


def to_account_row(account: Account) -> dict[str, Any]:
    """Convert an account to a row."""
    return {
        "name": account.name,
        "role": account.role.value,
        "token_hash": account.token_hash,
        "created_ns": account.created_ns,
        "communes": "\n".join(account.communes),
    }


def parse_account_row(row: Row[Any]) -> Account:
    """Convert a row to an account."""
    return Account(
        name=row.name,
        role=Role(row.role),
        token_hash=row.token_hash,
        created_ns=row.created_ns,
        communes=tuple(row.communes.splitlines()),
    )
