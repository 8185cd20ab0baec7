"""People of the province's own sign-in service, and which accounts are theirs.

A person is known by issuer and subject, never by a name: the account is made at the first sign-in, under a
name that no other account has, and takes role and communes from the service at each one. Who was taken away
stays out until an administrator makes the account again.
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
    """Who of the sign-in service has which account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sign_in(self, person: Person, at_ns: int) -> Account:
        """The person's account, made if there is none and brought to what the service says, with the line of
        the audit log that tells of it.

        Raises AccessDenied: whose account was taken away; and while there is no account at all, for the first
        one closes a house that is open to whoever sits at it.
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
        """Whether the account of this name is a person's of the sign-in service."""
        with self._database.read() as connection:
            asked = select(identities.c.name).where(identities.c.name == name)
            return connection.execute(asked).first() is not None


def _entered(connection: Connection, person: Person, accounts: Collection[str], at_ns: int) -> Account:
    """A new account under a name that nobody has or had, with a token that nobody is told."""
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
    """The account that the person has; None: none yet. Raises AccessDenied."""
    c = identities.c
    asked = select(identities).where(c.issuer == person.issuer, c.subject == person.subject)
    known = connection.execute(asked).first()
    if known is None:
        return None
    if known.barred_ns is not None or known.name not in accounts:
        again = format_shell_command(
            "user", "add", known.name
        )  # of the person's own choice, pasted by an administrator
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
