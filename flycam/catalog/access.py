"""Access: accounts and their tokens, restricted areas, classifications, redactions."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import shapely
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, or_, select, update

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import audit_log, guests, identities, one_time_codes, parse_row, to_row, tokens
from flycam.errors import AccessDenied, InputUnusable, NotFound
from flycam.messages import _
from flycam.model.access import (
    MAX_CLOCK_ERROR_NS,
    Account,
    Descendants,
    OneTimeCode,
    RedactionReason,
    RedactionStep,
    Role,
    Scope,
    Token,
)
from flycam.model.flight import Classification
from flycam.model.records import AuditEntry, BoundsLonLat, RevisionState
from flycam.model.text import format_shell_command, to_canonical_name

# -- Restricted areas, classifications of flights and layers, and redactions -----------------------
#
# Each change of an area or a classification is written with its audit entry (None: it is logged elsewhere).


# -- Records of access rules, as frozen values (rules as in `model.records`) -----------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class RestrictedArea:
    """Ground that is withheld from all roles that are not named.

    wkb     polygon or multipolygon; sha256 of the file it was read from
    """

    area_id: str
    name: str
    roles: frozenset[Role]
    sha256: str
    added_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A person as the province's own sign-in service describes them.

    issuer, subject  the service, and its permanent identifier of the person
    name             of the account if it is made now
    communes         codes of those that the account is for; none: for all
    """

    issuer: str
    subject: str
    name: str
    role: Role
    communes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """A guest link. The secret itself is never stored.

    event_id    the only event that it shows; "": all
    communes    codes of those that it is for, as its maker's account; none: for all
    revoked_ns  None: valid until it expires
    made_with   id of the token with which its maker signed in, and with which it ends; None: none, or not
                known
    """

    guest_id: str
    secret_hash: str
    event_id: str
    communes: tuple[str, ...]
    made_by: str
    made_ns: int
    expires_ns: int
    revoked_ns: int | None = None
    made_with: str | None = None

    @property
    def account(self) -> Account:
        """Account as which the link's holder is treated."""
        return Account(
            name=self.guest_id,
            role=Role.GUEST,
            token_hash=self.secret_hash,
            created_ns=self.made_ns,
            communes=self.communes,
            event_id=self.event_id,
        )

    def is_valid(self, now_ns: int) -> bool:
        """Return True unless it is revoked, expired, or made when the clock was ahead."""
        return self.revoked_ns is None and self.made_ns - MAX_CLOCK_ERROR_NS <= now_ns < self.expires_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionRecord:
    """One record of a redaction: it was made, or revoked. A grow-only set.

    frame_id  of the photo
    author    of this record, at `at_ns`
    wkb       the polygon in the photo's own pixels as its file has them: x to the right, y down, corners of
              pixels at integers. A revocation holds the polygon that it revokes
    """

    mask_id: str
    step: RedactionStep
    frame_id: str
    reason: RedactionReason
    author: str
    at_ns: int
    wkb: bytes

    @property
    def line_id(self) -> str:
        """24 hex digits from its content: the same on every node."""
        parts = (self.mask_id, self.step, self.frame_id, self.reason, self.author, str(self.at_ns))
        return hashlib.sha256("\n".join(parts).encode() + self.wkb).hexdigest()[:24]


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionFootprint:
    """Ground that a redaction covers, by one placement of its photo.

    line_id  of the record that made the redaction
    lay      name of the placement, as `access.policy.GroundProjection.name`
    wkb      polygon, longitude and latitude degrees, with `access.policy.REDACTION_MARGIN_M` around; empty if
             the redaction covers no ground
    """

    line_id: str
    lay: str
    wkb: bytes


# -- Restricted areas and classifications ----------------------------------------------------------


class Restrictions:
    """Areas by id or name; classifications by the id of a flight or a layer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, area: RestrictedArea, audit_entry: AuditEntry | None = None) -> None:
        """Write an area in place of the one with its id."""
        name, roles = to_canonical_name(area.name), " ".join(sorted(area.roles))
        row = to_row(tables.restricted_areas, area, name=name, roles=roles)
        with self._database.write(alone_in=audit_log) as connection:
            connection.execute(self._database.upsert(tables.restricted_areas), row)
            write_entries(connection, [audit_entry] if audit_entry else [], self._database.audit_key)

    def remove(
        self, ref: str, make_audit_entry: Callable[[RestrictedArea], AuditEntry] | None = None
    ) -> RestrictedArea:
        """Remove the area of this id or name. Raises NotFound."""
        c = tables.restricted_areas.c
        with self._database.write(alone_in=audit_log) as connection:
            query = select(tables.restricted_areas).where(or_(c.area_id == ref, c.name == ref))
            row = connection.execute(query).first()
            if row is None:
                raise NotFound(
                    _("{ref}: there is no such restricted area; see 'flycam restricted list'", ref=ref)
                )
            connection.execute(delete(tables.restricted_areas).where(c.area_id == row.area_id))
            area = _area(row)
            write_entries(
                connection, [make_audit_entry(area)] if make_audit_entry else [], self._database.audit_key
            )
        return area

    def areas(self) -> list[RestrictedArea]:
        """Return every area, by name."""
        query = select(tables.restricted_areas).order_by(tables.restricted_areas.c.name)
        return self._database.fetch(_area, query)

    def classify(
        self, subject: str, level: Classification, at_ns: int, audit_entry: AuditEntry | None = None
    ) -> None:
        """Set the classification of a flight or a layer (its id)."""
        row = {"subject": subject, "level": level.value, "at_ns": at_ns}
        with self._database.write(alone_in=audit_log) as connection:
            connection.execute(self._database.upsert(tables.classifications), row)
            write_entries(connection, [audit_entry] if audit_entry else [], self._database.audit_key)

    def levels(self) -> Mapping[str, Classification]:
        """Return the classification of every classified subject; others are OPEN."""
        c = tables.classifications.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.subject, c.level))
            return {row.subject: Classification(row.level) for row in rows}

    def level(self, subject: str) -> Classification:
        """Return the classification of one flight or layer."""
        c = tables.classifications.c
        with self._database.read() as connection:
            row = connection.execute(select(c.level).where(c.subject == subject)).first()
        return Classification.OPEN if row is None else Classification(row.level)


def _area(row: Row[Any]) -> RestrictedArea:
    return parse_row(RestrictedArea, row, roles=frozenset(map(Role, row.roles.split())))


# -- Redactions, as records that are never overwritten, and the ground that they cover -------------
#
# A redaction is active until a record revokes it, in whatever order the records come and from whichever node.


_lines = tables.redactions
_grounds = tables.redaction_grounds


class Redactions:
    """Records by redaction and photo. A write is on disk on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, lines: Sequence[RedactionRecord], audit_entries: Mapping[str, AuditEntry] | None = None
    ) -> list[RedactionRecord]:
        """Add records; return those that were new.

        audit_entries  by `line_id` the audit entry of each that is new: both are written, or neither
        """
        if not lines:
            return []
        insert = self._database.insert(_lines).on_conflict_do_nothing(index_elements=["line_id"])
        with self._database.write(alone_in=audit_log if audit_entries else _lines) as connection:
            named = {one.line_id: one for one in lines}
            query = select(_lines.c.line_id).where(_lines.c.line_id.in_(list(named)))
            here = set(connection.execute(query).scalars())
            connection.execute(insert, [to_row(_lines, one) for one in named.values()])
            entries = [entry for line_id, entry in (audit_entries or {}).items() if line_id not in here]
            write_entries(connection, entries, self._database.audit_key)
        return [one for name, one in named.items() if name not in here]

    def learn(self, lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
        """Add records from another node; return those that were new.

        A revocation from there is kept as a request only: a stolen token or stick uncovers nothing. What is
        known to be revoked by that very record stays so.
        """
        every = list(lines)
        here = {one.line_id for mask_id in {one.mask_id for one in every} for one in self._of_mask(mask_id)}
        requests = [
            replace(one, step=RedactionStep.REVOCATION_REQUESTED)
            for one in every
            if one.step is RedactionStep.REVOKED and one.line_id not in here
        ]
        return self.append([*(one for one in every if one.step is not RedactionStep.REVOKED), *requests])

    def history(self, mask_id: str) -> list[RedactionRecord]:
        """Return all records of a redaction, oldest first. Raises NotFound."""
        found = self._of_mask(mask_id)
        if not found:
            raise NotFound(
                _("{mask_id}: there is no such mask; see 'flycam restricted masks'", mask_id=mask_id[:80])
            )
        return found

    def _of_mask(self, mask_id: str) -> list[RedactionRecord]:
        return self._fetch(select(_lines).where(_lines.c.mask_id == mask_id))

    def lines(self) -> list[RedactionRecord]:
        """Return every record, oldest first."""
        return self._fetch(select(_lines))

    def count(self) -> int:
        """Count the records; none is ever removed."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(_lines)).scalar_one()

    def list_for_photo(self, frame_id: str) -> list[RedactionRecord]:
        """Return every record of a photo's redactions, oldest first."""
        return self._fetch(select(_lines).where(_lines.c.frame_id == frame_id))

    def list_for_flight(self, flight_id: str) -> list[RedactionRecord]:
        """Return every record of redactions on a flight's photos, oldest first."""
        photos = select(tables.frames.c.frame_id).where(tables.frames.c.flight_id == flight_id)
        return self._fetch(select(_lines).where(_lines.c.frame_id.in_(photos)))

    def stamp(self) -> tuple[int, ...]:
        """Return a value that changes whenever what redactions withhold may change.

        It covers the records, their ground, the placements of their photos, and the revisions shown. One
        read; what it counts only grows, or is a state that ends.
        """
        frames, revisions = tables.frames, tables.revisions
        masked = select(_lines.c.frame_id)
        photos = select(func.count()).select_from(frames).where(frames.c.frame_id.in_(masked))
        by_state = select(func.count()).select_from(revisions)
        counted = (
            select(func.count()).select_from(_lines),
            select(func.count()).select_from(_grounds),
            select(func.count()).select_from(tables.placements),
            select(func.count()).select_from(tables.unverified_footprints),
            photos,
            photos.where(frames.c.exterior.is_not(None)),
            *(by_state.where(revisions.c.state == state.value) for state in RevisionState),
        )
        with self._database.read() as connection:
            (row,) = connection.execute(select(*(one.scalar_subquery() for one in counted)))
            return tuple(int(one) for one in row)

    def put_footprints(self, grounds: Iterable[RedactionFootprint]) -> None:
        """Write the ground of redactions, in place of what was there."""
        rows = [to_row(_grounds, one) for one in grounds]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(_grounds), rows)

    def learn_footprints(self, grounds: Iterable[RedactionFootprint]) -> None:
        """Add ground that another node computed where none is known.

        So nothing from there uncovers anything here. Empty ground is not trusted, but computed here.
        """
        non_empty = [one for one in grounds if not shapely.from_wkb(one.wkb).is_empty]
        if non_empty:
            names = ["line_id", "lay"]
            insert = self._database.insert(_grounds).on_conflict_do_nothing(index_elements=names)
            with self._database.write() as connection:
                connection.execute(insert, [to_row(_grounds, one) for one in non_empty])

    def list_footprints(self, line_ids: Iterable[str]) -> list[RedactionFootprint]:
        """Return the ground of these redactions, by every known placement."""
        query = select(_grounds).where(_grounds.c.line_id.in_(list(line_ids)))
        return self._database.fetch(RedactionFootprint, query.order_by(_grounds.c.line_id, _grounds.c.lay))

    def _fetch(self, query: Select[Any]) -> list[RedactionRecord]:
        ordered = query.order_by(_lines.c.at_ns, _lines.c.line_id)
        return self._database.fetch(RedactionRecord, ordered)


def select_active_redactions(lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
    """Return the records of redactions that nobody revoked.

    A redaction is identified by its id and its photo: a record that names another photo revokes nothing.
    """
    every = list(lines)
    back = {(one.mask_id, one.frame_id) for one in every if one.step is RedactionStep.REVOKED}
    made = (one for one in every if one.step is RedactionStep.MADE)
    return [one for one in made if (one.mask_id, one.frame_id) not in back]


def select_revocation_requests(lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
    """Return the records by which other nodes ask to revoke active redactions."""
    every = list(lines)
    active = {(one.mask_id, one.frame_id) for one in select_active_redactions(every)}
    requests = (one for one in every if one.step is RedactionStep.REVOCATION_REQUESTED)
    return [one for one in requests if (one.mask_id, one.frame_id) in active]


# -- Accounts, their tokens, guest links, external identities and one-time codes -------------------
#
# A token, and the secret of a guest link, is 256 random bits, so one SHA-256 keeps it safe at rest and is
# quick to check (decision 0033).


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
            connection.execute(self._database.upsert(tables.accounts), to_row(tables.accounts, account))
            ended = revoke_all(connection, account.name, account.created_ns)
            insert_first_token(connection, derive_first_token(account))
            connection.execute(again)
            if audit_entry is not None:
                write_entries(
                    connection,
                    [audit_entry, *make_revocation_entries(ended, audit_entry)],
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
            connection.execute(tables.accounts.insert(), to_row(tables.accounts, account))
            insert_first_token(connection, derive_first_token(account))
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
            ended = revoke_all(connection, name, at_ns)
            barred = update(identities).where(identities.c.name == name).values(barred_ns=at_ns)
            connection.execute(barred)
            detail = ", ".join([account.role, *account.communes])
            entry = AuditEntry(who=who, what="user remove", subject=name, detail=detail, at_ns=at_ns)
            write_entries(
                connection, [entry, *make_revocation_entries(ended, entry)], self._database.audit_key
            )
        self.forget()
        return account, ended

    def all(self) -> list[Account]:
        """Return all accounts by name."""
        query = select(tables.accounts).order_by(tables.accounts.c.name)
        return self._database.fetch(Account, query)

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
            token = find_valid_token(connection, time.time_ns(), token_id) if row and token_id else None
        if row is None or (token_id and token is None):
            return None
        account = parse_row(Account, row)
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
            return is_token_valid(connection, time.time_ns(), secret_hash)

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at < _CACHE_TTL_S:
            return
        with self._lock:
            if time.monotonic() - self._read_at < _CACHE_TTL_S:
                return
            with self._database.read() as connection:
                known = _fetch_accounts(connection)
                valid_tokens = list_valid_tokens(connection, time.time_ns())
            self._by_hash = {
                one.secret_hash: _by(known[one.account], one) for one in valid_tokens if one.account in known
            }
            self._is_empty = not known
            self._read_at = time.monotonic()

    def forget(self) -> None:
        """Drop the cache: what was just written applies at once in this process."""
        with self._lock:
            self._read_at = float("-inf")


def _fetch_accounts(connection: Connection) -> dict[str, Account]:
    rows = connection.execute(select(tables.accounts))
    return {row.name: parse_row(Account, row) for row in rows}


def _remove_account(connection: Connection, name: str) -> Account:
    known = _fetch_accounts(connection)
    if name not in known:
        raise make_account_not_found(name)
    if [one.name for one in known.values() if one.role is Role.ADMIN] == [name]:
        raise InputUnusable(
            _(
                "{name}: is the last administrator; first make another: flycam account add NAME --role admin",
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
    return make_first_token(generate_token_id(), account.name, account.token_hash, account.created_ns)


def _by(account: Account, token: Token) -> Account:
    """Return an account as signed in with a token."""
    return replace(
        account,
        token_hash=token.secret_hash,
        scope=token.scope,
        token_id=token.token_id,
        until_ns=token.expires_ns,
    )


# -- Tokens of accounts, several each, with label, scope, expiry and last use ----------------------


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
            connection.execute(tokens.insert(), to_row(tokens, token))
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
    return [
        parse_row(Token, row) for row in connection.execute(query.order_by(c.account, c.made_ns, c.token_id))
    ]


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
    return None if row is None else parse_row(Token, row)


def insert_first_token(connection: Connection, token: Token) -> None:
    """Write the token that comes with an account, within a transaction."""
    connection.execute(delete(tokens).where(tokens.c.secret_hash == token.secret_hash))
    connection.execute(tokens.insert(), to_row(tokens, token))


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
    return NotFound(_("{name}: no such account; list them with: flycam account list", name=name[:80]))


# -- Guest links by id and by secret ---------------------------------------------------------------
#
# A secret is 256 random bits, stored as its SHA-256, as tokens of accounts are.


class Guests:
    """Guest links by id and by secret.

    All are held in memory and read again after two seconds: a link that is revoked elsewhere stops working
    within two seconds, an expired one at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._by_hash: dict[str, Guest] = {}
        self._read_at = float("-inf")

    def put(self, guest: Guest, audit_entry: AuditEntry | None = None) -> None:
        """Write a link, with its audit entry."""
        with self._database.write(alone_in=tables.audit_log) as connection:
            connection.execute(self._database.upsert(guests), to_row(guests, guest))
            write_entries(connection, [audit_entry] if audit_entry else [], self._database.audit_key)
        self._forget()

    def all(self) -> list[Guest]:
        """Return every link there ever was, newest first."""
        query = select(guests).order_by(guests.c.made_ns.desc(), guests.c.guest_id)
        return self._database.fetch(Guest, query)

    def revoke(self, guest_id: str, at_ns: int, audit_entry: AuditEntry | None = None) -> Guest:
        """Revoke a link, with its audit entry; one already revoked stays as it is.

        Raises NotFound.
        """
        of_it = guests.c.guest_id == guest_id
        with self._database.write(alone_in=tables.audit_log) as connection:
            still = update(guests).where(of_it, guests.c.revoked_ns.is_(None)).values(revoked_ns=at_ns)
            connection.execute(still)
            row = connection.execute(select(guests).where(of_it)).first()
            write_entries(connection, [audit_entry] if audit_entry and row else [], self._database.audit_key)
        self._forget()
        if row is None:
            raise NotFound(
                _("{guest_id}: there is no such guest link; see 'flycam guests list'", guest_id=guest_id[:80])
            )
        return parse_row(Guest, row)

    def find_by_secret(self, secret: str, now_ns: int) -> Guest | None:
        """Return the link of a secret if it is valid now."""
        found = self._current().get(hash_token(secret))
        return found if found is not None and found.is_valid(now_ns) else None

    def _current(self) -> dict[str, Guest]:
        with self._lock:
            if time.monotonic() - self._read_at >= _CACHE_TTL_S:
                self._by_hash = {one.secret_hash: one for one in self.all()}
                self._read_at = time.monotonic()
            return self._by_hash

    def _forget(self) -> None:
        with self._lock:
            self._read_at = float("-inf")


# -- Identities: people of the province's own sign-in service, and their accounts ------------------
#
# A person is known by issuer and subject, never by a name: the account is made at the first sign-in, under a
# name that no other account has, and takes role and communes from the service at each one. A person whose
# account was removed stays out until an administrator makes it again.


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
            accounts = _fetch_accounts(connection)
            if not accounts:
                raise _no_administrator()
            before = _account_before(connection, person, accounts)
            account = before or _entered(connection, person, accounts, at_ns)
            account = replace(account, role=person.role, communes=person.communes)
            if account != before:
                row = to_row(tables.accounts, account)
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
            query = select(identities.c.name).where(identities.c.name == name)
            return connection.execute(query).first() is not None


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
    connection.execute(tables.accounts.insert(), to_row(tables.accounts, account))
    return account


def _account_before(connection: Connection, person: Person, accounts: dict[str, Account]) -> Account | None:
    """Return the person's account; None if there is none yet.

    Raises AccessDenied.
    """
    c = identities.c
    query = select(identities).where(c.issuer == person.issuer, c.subject == person.subject)
    known = connection.execute(query).first()
    if known is None:
        return None
    if known.barred_ns is not None or known.name not in accounts:
        # quoted for the shell: the name is the person's own choice, pasted by an administrator
        again = format_shell_command("account", "add", known.name)
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
        _("there is no account yet; make an administrator first: flycam account add NAME --role admin")
    )


# -- One-time codes, stored as their SHA-256 -------------------------------------------------------
#
# Also one-time links that were used and sessions that signed out, of which a server stores nothing before.


class OneTimeCodes:
    """One-time codes, one at a time for each account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, code: OneTimeCode, audit_entry: AuditEntry) -> None:
        """Write a new code in place of the account's former one, with its audit entry.

        Raises NotFound (no such account).
        """
        c = one_time_codes.c
        before = update(one_time_codes).where(c.account == code.account, c.ended_ns.is_(None))
        with self._database.write(alone_in=tables.audit_log) as connection:
            require_account(connection, code.account)
            connection.execute(before.values(ended_ns=code.made_ns))
            connection.execute(one_time_codes.insert(), to_row(one_time_codes, code))
            write_entries(connection, [audit_entry], self._database.audit_key)

    def spend(self, code_hash: str, at_ns: int) -> OneTimeCode:
        """Use a code, at most once over all processes.

        Raises AccessDenied, whose message says why.
        """
        with self._database.write(alone_in=tables.audit_log) as connection:
            code = _found(connection, code_hash, at_ns)
            of_it = one_time_codes.c.code_hash == code_hash
            connection.execute(update(one_time_codes).where(of_it).values(ended_ns=at_ns, is_used=True))
        return code

    def mark_spent(self, secret: str, account: str, expires_ns: int, at_ns: int) -> bool:
        """Record that a one-time link was used, or a session signed out.

        Returns True the first time, over all processes.
        """
        used = OneTimeCode(
            code_hash=hash_token(secret),
            account=account,
            token_id="",
            made_ns=at_ns,
            expires_ns=expires_ns,
            ended_ns=at_ns,
            is_used=True,
        )
        same = select(one_time_codes.c.code_hash).where(one_time_codes.c.code_hash == used.code_hash)
        with self._database.write(alone_in=tables.audit_log) as connection:
            is_first = connection.execute(same).first() is None
            if is_first:
                connection.execute(one_time_codes.insert(), to_row(one_time_codes, used))
        return is_first

    def is_spent(self, secret: str) -> bool:
        """Check whether a one-time link was used, or a session signed out."""
        same = select(one_time_codes.c.code_hash).where(one_time_codes.c.code_hash == hash_token(secret))
        with self._database.read() as connection:
            return connection.execute(same).first() is not None


def _found(connection: Connection, code_hash: str, at_ns: int) -> OneTimeCode:
    row = connection.execute(select(one_time_codes).where(one_time_codes.c.code_hash == code_hash)).first()
    if row is None:
        raise _wrong()
    code = parse_row(OneTimeCode, row)
    if code.is_used:
        raise AccessDenied(_("this code was used already, and lets in once only; ask for a new one"))
    if code.ended_ns is not None:
        raise AccessDenied(
            _("this code was ended by a newer one, or by a new token of its account; use the last one made")
        )
    # or made when the clock was ahead
    if not code.made_ns - MAX_CLOCK_ERROR_NS <= at_ns < code.expires_ns:
        raise AccessDenied(
            _("this code has expired; ask for a new one (on the server: flycam account code NAME)")
        )
    return code


def _wrong() -> AccessDenied:
    return AccessDenied(_("this code is wrong; compare it letter by letter, or ask for a new one"))
