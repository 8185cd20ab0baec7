"""Identities: people of the province's own sign-in service, and their accounts.

A person is known by issuer and subject, never by a name: the account is made at the first sign-in, under a
name that no other account has, and takes role and communes from the service at each one. A person whose
account was removed stays out until an administrator makes it again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import count

from sqlalchemy import Connection, select, update

from flycam.catalog import tables
from flycam.catalog.accounts import generate_token, hash_token, parse_account_row, to_account_row
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.records import Account, AuditEntry
from flycam.catalog.sharing_records import Person
from flycam.catalog.sharing_tables import identities
from flycam.errors import AccessDenied
from flycam.frame.text_normalization import format_shell_command
from flycam.messages import _


class Identities:
    """Accounts of people of the sign-in service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sign_in(self, person: Person, at_ns: int) -> Account:
        """Return the person's account, made if missing and updated from the service.

        Its audit entry is written with it.

        Raises AccessDenied: the account was removed; or there is no account at all yet, and the first one
        closes a node that is open to the person at the machine.
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            rows = connection.execute(select(tables.accounts))
            accounts = {one.name: one for one in map(parse_account_row, rows)}
            if not accounts:
                raise _no_administrator()
            before = _account_before(connection, person, accounts)
            account = before or _entered(connection, person, accounts, at_ns)
            account = replace(account, role=person.role, communes=person.communes)
            if account != before:
                row = to_account_row(account)
                what = {"role": row["role"], "communes": row["communes"]}
                its = tables.accounts.c.name == account.name
                connection.execute(update(tables.accounts).where(its).values(what))
                write_entries(
                    connection, [_make_audit_entry(person, account, at_ns)], self._database.audit_key
                )
        return account

    def is_external(self, name: str) -> bool:
        """Return True if the account of this name belongs to the sign-in service."""
        with self._database.read() as connection:
            asked = select(identities.c.name).where(identities.c.name == name)
            return connection.execute(asked).first() is not None


def _entered(connection: Connection, person: Person, accounts: Collection[str], at_ns: int) -> Account:
    """Make an account under a name that was never used.

    Nobody is given its token.
    """
    taken = {*accounts, *connection.execute(select(identities.c.name)).scalars()}
    names = (person.name if n == 1 else f"{person.name} ({n})" for n in count(1))
    account = Account(
        name=next(one for one in names if one not in taken),
        role=person.role,
        token_hash=hash_token(generate_token()),
        created_ns=at_ns,
        communes=person.communes,
    )
    row = {"issuer": person.issuer, "subject": person.subject, "name": account.name, "first_ns": at_ns}
    connection.execute(identities.insert(), row)
    connection.execute(tables.accounts.insert(), to_account_row(account))
    return account


def _account_before(connection: Connection, person: Person, accounts: dict[str, Account]) -> Account | None:
    """Return the person's account; None if there is none yet.

    Raises AccessDenied.
    """
    c = identities.c
    asked = select(identities).where(c.issuer == person.issuer, c.subject == person.subject)
    known = connection.execute(asked).first()
    if known is None:
        return None
    if known.barred_ns is not None or known.name not in accounts:
        # quoted for the shell: the name is the person's own choice, pasted by an administrator
        again = format_shell_command("user", "add", known.name)
        raise AccessDenied(
            _(
                "{name}: this account was taken away; an administrator lets you in again with: {again}",
                name=known.name,
                again=again,
            )
        )
    return accounts[known.name]


def _make_audit_entry(person: Person, account: Account, at_ns: int) -> AuditEntry:
    detail = ", ".join([account.role, *account.communes, f"{person.subject} of {person.issuer}"])
    return AuditEntry(
        who=account.name, what="user by sign-in service", subject=account.name, detail=detail, at_ns=at_ns
    )


def _no_administrator() -> AccessDenied:
    return AccessDenied(
        _("there is no account yet; make an administrator first: flycam user add NAME --role admin")
    )
