"""A node, its accounts and its stored data: `doctor`, `account`, `verify`, `backup` …"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import (
    FILE_PATH,
    Output,
    PartialFailure,
    ProgressBar,
    get_operator_name,
    open_workspace,
    print_line,
    wrap_command,
)
from flycam.errors import FlycamError, OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.access import ACCOUNT_ROLES, Descendants, HoldStep, RetainedKind, Scope
from flycam.model.text import SecretText
from flycam.model.time import format_day, format_iso

if TYPE_CHECKING:
    from flycam.access.audit import AuditVerification
    from flycam.catalog.audit_key import SignedLines
    from flycam.catalog.catalog import Catalog
    from flycam.catalog.retention import HoldRecord, RetentionTerm
    from flycam.model.access import Account, Token
    from flycam.operations.backup import BackupManifest
    from flycam.operations.health import HealthCheck
    from flycam.operations.retention import DueOriginal
    from flycam.operations.verify import Damage
    from flycam.storage.files import DiskVolume, Freed


# -- Answers about tokens and one-time codes -------------------------------------------------------


def format_code(code: str, name: str) -> Output:
    """Return account ("" for the first administrator) and code."""
    text = format_setup_code(code)
    if name:
        text = _("{name}, once, within 15 min: {code}", name=name, code=code)
    return {"account": name, "code": code}, [text]


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
        "no account yet: open to programs of this user on this machine, for everything. Before a "
        "proxy stands in front, make one: flycam account add NAME --role admin"
    )


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


def format_freed_space(freed: Freed, places: Sequence[DiskVolume], *, dry_run: bool = False) -> Output:
    """Return what an eviction freed.

    Keys: tiles, clips, copies, freed_bytes, places[] (name, free_bytes), dry_run.
    """
    answer = {
        "tiles": freed.tiles,
        "clips": freed.clips,
        "copies": freed.copies,
        "freed_bytes": freed.size_bytes,
        "places": [{"name": one.name, "free_bytes": one.free_bytes} for one in places],
        "dry_run": dry_run,
    }
    values = {
        "tiles": _count_tiles(freed.tiles),
        "clips": _count_clips(freed.clips),
        "copies": ngettext("{count} local copy", "{count} local copies", freed.copies),
        "size_mb": freed.size_bytes / 1e6,
    }
    if dry_run:
        first = _(
            "{tiles}, {clips} and {copies} could be deleted, {size_mb:.1f} MB: all of it can be made again",
            **values,
        )
    else:
        first = _(
            "{tiles}, {clips} and {copies} were deleted, {size_mb:.1f} MB: all of it can be made again",
            **values,
        )
    volumes = [
        _("  {disk}: {size_gb:.1f} GB free", disk=one.name, size_gb=one.free_bytes / 1e9) for one in places
    ]
    unknown = _("  free space of store and database cannot be read from here")
    return answer, [first, *(volumes or [unknown])]


def _count_tiles(count: int) -> Message:
    return ngettext("{count} old tile state", "{count} old tile states", count)


def _count_clips(count: int) -> Message:
    return ngettext("{count} old clip", "{count} old clips", count)


def format_removed_account(account: Account, made: Descendants) -> Output:
    """Return name, role and communes[] of a removed account, and what ended with it.

    guest_links[], tokens[]: ids (tokens: of other accounts).
    """
    links = made.guest_ids
    ended = ngettext(
        "{name}: removed; the tokens, the sessions and {count} guest link end",
        "{name}: removed; the tokens, the sessions and {count} guest links end",
        len(links),
        name=account.name,
    )
    fields = {**_account(account), "guest_links": list(links), "tokens": made.ids["tokens"]}
    return fields, [ended, *format_ending_lines(made)]


def _account(account: Account) -> dict[str, Any]:
    return {"name": account.name, "role": account.role.value, "communes": list(account.communes)}


def _account_line(account: Account, names: Mapping[str, str]) -> str:
    where = "".join(f", {names.get(code, code)}" for code in account.communes)
    return f"{account.name} ({account.role.value}{where})"


_CHECK_NAMES = {
    "disk": pgettext("health check", "disk"),
    "room": pgettext("health check", "room"),
    "encryption": pgettext("health check", "encryption"),
    "privacy": pgettext("health check", "privacy"),
    "boxes": pgettext("health check", "other nodes"),
    "power": pgettext("health check", "power"),
    "clock": pgettext("health check", "clock"),
    "store": pgettext("health check", "store"),
    "catalogue": pgettext("health check", "catalogue"),
    "accounts": pgettext("health check", "accounts"),
    "terrain": pgettext("health check", "terrain"),
    "communes": pgettext("health check", "communes"),
    "film": pgettext("health check", "video"),
    "readback": pgettext("health check", "readback"),
    "backup": pgettext("health check", "backup"),
    "unfinished": pgettext("health check", "unfinished"),
}


def _mark(check: HealthCheck) -> str:
    return "!!" if not check.ok else "!" if check.warns else "ok"


def format_checks(checks: Sequence[HealthCheck]) -> Output:
    """Return checks and ready.

    The last line says whether this machine is ready for a flight.
    """
    answer = {
        "ready": all(c.ok for c in checks),
        "checks": [
            {"name": c.name, "ok": c.ok, "warns": c.warns, **c.sentence.to_fields("sentence")} for c in checks
        ],
    }
    lines = [join([f"{_mark(c):2}  ", _CHECK_NAMES[c.name], ": ", c.sentence], "") for c in checks]
    amiss = [_CHECK_NAMES[c.name] for c in checks if not c.ok]
    if amiss:
        lines.append(_("NOT READY: see {checks} above", checks=join(amiss, ", ")))
    else:
        lines.append(_("READY for a flight"))
    return answer, lines


# -- Commands `account`, and `user`, its older name ------------------------------------------------


@click.group()
def account_group() -> None:
    """Accounts, their tokens, and codes that let in once."""


@click.group()
def user_group() -> None:
    """Accounts: as `account`."""


@click.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in ACCOUNT_ROLES]),
    default="viewer",
    show_default=True,
)
@click.option(
    "--communes",
    help="Communes that it is for (names or codes, commas between; all). Default: as before, else all.",
)
@wrap_command
def add_account_command(*, data_dir: str | None, name: str, role: str, communes: str | None) -> Output:
    """Make an account; its token is shown once."""
    from flycam.access.accounts import add_user

    with open_workspace(data_dir, creates=True) as (workspace, __):
        account, token = add_user(workspace, name, role, communes)
        names = workspace.catalog.boundaries.names()
        line = SecretText(f"{_account_line(account, names)}: {token}")
        return {**_account(account), "token": token}, [line]


@click.command("list")
@wrap_command
def list_accounts_command(*, data_dir: str | None) -> Output:
    """The accounts, their roles and communes."""

    with open_workspace(data_dir) as (workspace, __):
        names = workspace.catalog.boundaries.names()
        accounts = workspace.catalog.accounts.all()
        lines = [_account_line(one, names) for one in accounts]
        return {"accounts": [_account(one) for one in accounts]}, lines or [_("no accounts")]


@click.command("remove")
@click.argument("name")
@wrap_command
def remove_account_command(*, data_dir: str | None, name: str) -> Output:
    """Take an account away: its tokens, what was made with them, its sessions and guest links end; what it
    did stays in the audit log."""
    from flycam.access.accounts import remove_user

    with open_workspace(data_dir) as (workspace, __):
        return format_removed_account(*remove_user(workspace, name))


@account_group.command("code")
@click.argument("name", required=False)
@wrap_command
def make_account_code_command(*, data_dir: str | None, name: str | None) -> Output:
    """A code to type into the sign-in form, good once: for NAME, or to make the first administrator."""
    from flycam.access.accounts import make_setup_code, make_sign_in_code

    with open_workspace(data_dir, creates=True) as (workspace, settings):
        code = (
            make_sign_in_code(workspace, name, get_operator_name(settings))
            if name
            else make_setup_code(workspace)
        )
        return format_code(code, name or "")


@account_group.command("token")
@click.argument("name")
@click.option("--label", required=True, help='What it is for: "QGIS phòng bản đồ".')
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.ALL.value,
    show_default=True,
    help="map: tiles and standards, to look at; uploads: flights sent in; sync: what nodes exchange.",
)
@click.option("--days", type=float, default=365.0, show_default=True, help="Until it expires.")
@click.option("--for-ever", is_flag=True, help="It never expires.")
@wrap_command
def make_account_token_command(
    *, data_dir: str | None, name: str, label: str, scope: str, days: float, for_ever: bool
) -> Output:
    """Make a further token of an account; it is shown once."""
    from flycam.access.accounts import make_token

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        made, secret = make_token(workspace, name, label, Scope(scope), None if for_ever else days, who)
        line = join([_format_line(made), SecretText(secret)], ": ")
        return {**_describe_token(made), "token": secret}, [line]


@account_group.command("tokens")
@click.argument("name", required=False)
@wrap_command
def show_account_tokens_command(*, data_dir: str | None, name: str | None) -> Output:
    """The tokens that hold, of one account or of all, and what would end with each."""
    from flycam.access.accounts import find_descendants, list_active_tokens

    with open_workspace(data_dir) as (workspace, __):
        return format_tokens(list_active_tokens(workspace, name), find_descendants(workspace))


@account_group.command("revoke")
@click.argument("token_id", metavar="TOKEN_ID")
@wrap_command
def revoke_account_token_command(*, data_dir: str | None, token_id: str) -> Output:
    """Let one token (its id, as `account tokens` lists it) open nothing more, nor what was made with it."""
    from flycam.access.accounts import revoke_token

    with open_workspace(data_dir) as (workspace, settings):
        return format_revoked_token(*revoke_token(workspace, token_id, get_operator_name(settings)))


for _command in (add_account_command, list_accounts_command, remove_account_command):
    account_group.add_command(_command)
    user_group.add_command(_command)


# -- Commands `doctor` and `collect` ---------------------------------------------------------------


@click.command()
@click.option("--grace-days", type=float, default=7.0, show_default=True, help="Keep what is younger.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--until-free",
    "wanted_gb",
    type=click.FloatRange(min=0.0, max=1e9),
    metavar="GB",
    help="As flights do where room is low: until so much is free, young ones too.",
)
@wrap_command
def collect_command(
    *, data_dir: str | None, grace_days: float, dry_run: bool, wanted_gb: float | None
) -> Output:
    """Delete old tile states and old clips that nothing refers to; never photos or terrain."""
    from flycam.mosaic.eviction import DAY_S, collect_garbage, estimate_evictable, evict_derived

    with open_workspace(data_dir) as (workspace, __):
        if wanted_gb is not None:
            freed = (
                estimate_evictable(workspace) if dry_run else evict_derived(workspace, round(wanted_gb * 1e9))
            )
            return format_freed_space(freed, workspace.list_disks(), dry_run=dry_run)
        report = collect_garbage(
            workspace, grace_s=grace_days * DAY_S, dry_run=dry_run, progress=ProgressBar()
        )
        answer = {
            "tiles": report.tiles,
            "clips": report.clips,
            "freed_bytes": report.freed_bytes,
            "local_bytes": report.local_bytes,
            "waiting": report.within_grace,
            "busy": list(report.busy),
            "dry_run": dry_run,
        }
        values = {
            "tiles": _count_tiles(report.tiles),
            "clips": _count_clips(report.clips),
            "freed_mb": report.freed_bytes / 1e6,
            "local_mb": report.local_bytes / 1e6,
            "waiting": ngettext(
                "{count} is within the grace", "{count} are within the grace", report.within_grace
            ),
        }
        if dry_run:
            first = _(
                "{tiles} and {clips} would be deleted, {freed_mb:.1f} MB, and {local_mb:.1f} MB of local "
                "copies; "
                "{waiting}",
                **values,
            )
        else:
            first = _(
                "{tiles} and {clips} were deleted, {freed_mb:.1f} MB, and {local_mb:.1f} MB of local copies; "
                "{waiting}",
                **values,
            )
        busy = [
            _("  ! {name}: is being written at this moment; collect again later", name=name)
            for name in report.busy
        ]
        return answer, [first, *busy]


@click.command()
@wrap_command
def doctor_command(*, data_dir: str | None) -> Output:
    """Is this machine ready for a flight?"""
    from flycam.operations.health import run_health_checks
    from flycam.storage.stores import parse_store_folder

    with open_workspace(data_dir, creates=True) as (workspace, settings):
        checks = run_health_checks(workspace, settings.data_dir, parse_store_folder(settings.store_url))
        return format_checks(checks)


# -- Keeping of stored data: `verify`, `backup`, `restore`, `audit`, `retention` -------------------


_KINDS = {
    "photo": pgettext("stored object", "photo"),
    "dem": pgettext("stored object", "terrain file"),
    "layer": pgettext("stored object", "layer's file"),
    "mark_photo": pgettext("stored object", "photo of a mark"),
    "recording": pgettext("stored object", "recorded video"),
    "file": pgettext("stored object", "original file"),
    "terrain": pgettext("stored object", "recorded terrain"),
    "given": pgettext("stored object", "what another node gave"),
    "tile": pgettext("stored object", "tile"),
    "clip": pgettext("stored object", "commune clip"),
    "report": pgettext("stored object", "quality report"),
    "pack": pgettext("stored object", "meeting pack"),
}
_STATES = {"lost": pgettext("stored object", "lost"), "damaged": pgettext("stored object", "damaged")}
_MAX_LINES = 50


def _line(one: Damage) -> Message:
    name = " ".join(filter(None, (one.item.name, f"({one.flight})" if one.flight else ""))) or one.item.key
    outcome = join([_STATES[one.state], one.advice or _("made whole again")], ": ")
    return join(["  ok" if one.advice is None else "  !!", _KINDS[one.item.kind], name, outcome])


def format_backup_check(folder: Path, manifest: BackupManifest, bad: Sequence[str]) -> Output:
    """Return the content of a backup.

    Keys: path, objects, bytes, flights, missing[], outside[], audit_head, damaged[].
    """
    answer = {**_manifest(folder, manifest), "damaged": list(bad)}
    if bad:
        return answer, _format_damaged_names(bad)
    line = _(
        "{folder}: the backup is whole, {flights}, {objects}",
        folder=folder,
        flights=_count_flights(manifest.flights),
        objects=_count_objects(manifest.objects),
    )
    return answer, [line]


def _count_flights(count: int) -> Message:
    return ngettext("{count} flight", "{count} flights", count)


def _count_objects(count: int) -> Message:
    return ngettext("{count} object", "{count} objects", count)


def _format_damaged_names(names: Sequence[str]) -> list[str]:
    return [*(f"  !! {name}" for name in names[:_MAX_LINES]), *(["  …"] if len(names) > _MAX_LINES else [])]


def format_audit(proof: AuditVerification) -> Output:
    """Return the result of an audit log's verification.

    Keys: whole, lines, head, signature, key, signed_by[], first_bad, fault.
    """
    if proof.first_bad is not None:
        return _audit(proof), []
    summary = ngettext(
        "{count} line, none was changed; the last (note it elsewhere): {noted}",
        "{count} lines, none was changed; the last (note it elsewhere): {noted}",
        0 if proof.head is None else proof.head.seq,
        noted="-" if proof.head is None else proof.head.head_argument,
    )
    return _audit(proof), [summary, *(_signed(one, proof.key) for one in proof.check.signed_by)]


def _signed(one: SignedLines, own: str) -> Message:
    if one.key == own:
        key_owner = _("this node's key")
    else:
        key_owner = _("a key given") if one.is_known else _("an earlier key")
    return _(
        "  lines {first}-{last} signed by {whose}: {key}",
        first=one.first,
        last=one.last,
        whose=key_owner,
        key=one.key,
    )


def _audit(proof: AuditVerification) -> dict[str, Any]:
    head = proof.head
    return {
        "whole": proof.first_bad is None,
        "lines": 0 if head is None else head.seq,
        "head": None if head is None else head.head_argument,
        "signature": None if head is None else head.signature or None,
        "key": proof.key or None,
        "signed_by": [
            {"key": one.key, "first": one.first, "last": one.last, "lines": one.lines, "known": one.is_known}
            for one in proof.check.signed_by
        ],
        "first_bad": proof.first_bad,
        "fault": None if proof.check.fault is None else proof.check.fault.value,
    }


def _manifest(folder: Path, manifest: BackupManifest) -> dict[str, Any]:
    head = manifest.audit_head
    return {
        "path": str(folder),
        "made_ns": manifest.made_ns,
        "box": manifest.box,
        "flights": manifest.flights,
        "objects": manifest.objects,
        "bytes": manifest.size,
        "missing": list(manifest.missing),
        "outside": list(manifest.outside),
        "audit_head": None if head is None else f"{head[0]}:{head[1]}",
    }


# -- Commands `verify`, `backup`, `restore` and `audit` --------------------------------------------


@click.command()
@click.option("--since", "since_days", type=float, metavar="DAYS", help="Leave out what was read since then.")
@click.option("--share", type=float, default=1.0, show_default=True, help="Read so much, the oldest first.")
@click.option(
    "--from", "source", type=FILE_PATH, help="Card, folder or backup to put lost objects back from."
)
@click.option("--dry-run", is_flag=True, help="Only read; make nothing again.")
@wrap_command
def verify_command(
    *, data_dir: str | None, since_days: float | None, share: float, source: Path | None, dry_run: bool
) -> Output:
    """Read everything back against its hashes, and make again what can be made again."""
    from flycam.mosaic.eviction import DAY_S
    from flycam.operations.verify import VerifyRequest, verify_objects
    from flycam.retry import retry_on_outage

    request = VerifyRequest(
        since_s=None if since_days is None else since_days * DAY_S,
        share=share,
        source=source,
        repair=not dry_run,
    )
    puts_back = source is not None and source.is_dir() and not dry_run
    with open_workspace(data_dir, is_store_new=puts_back) as (workspace, __):
        report = retry_on_outage(
            workspace,
            lambda progress: verify_objects(workspace, request, progress),
            ProgressBar(),
            print_line,
        )
        mended, not_mended = len(report.damages) - len(report.unrepaired), len(report.unrepaired)
        answer = {
            "whole": report.error is None,
            "objects": report.objects,
            "bytes": report.size,
            "parts": report.parts,
            "left": report.left,
            "let_go": report.purged,
            "mended": mended,
            "standing": not_mended,
            "damaged": [
                {
                    "key": one.item.key,
                    "kind": one.item.kind.value,
                    "name": one.item.name,
                    "flight": one.flight,
                    "flight_id": one.item.flight_id,
                    "state": one.state.value,
                    "mended": one.advice is None,
                    **(
                        {"cure": None, "cure_vi": None}
                        if one.advice is None
                        else one.advice.to_fields("cure")
                    ),
                }
                for one in report.damages
            ],
            "catalogue": list(report.catalogue),
            "audit": _audit(report.audit),
            "seconds": round(report.seconds, 1),
        }
        lines = [
            ngettext(
                "{count} object, {size_mb:.1f} MB read back; repaired: {mended}, not repaired: {standing}",
                "{count} objects, {size_mb:.1f} MB read back; repaired: {mended}, not repaired: {standing}",
                report.objects,
                size_mb=report.size / 1e6,
                mended=mended,
                standing=not_mended,
            )
        ]
        if report.left:
            lines.append(
                ngettext(
                    "{count} part was not read this time",
                    "{count} parts were not read this time",
                    report.left,
                )
            )
        if report.purged:
            lines.append(
                ngettext(
                    "{count} original was deleted under the retention term and is not lost",
                    "{count} originals were deleted under the retention term and are not lost",
                    report.purged,
                )
            )
        # remaining damage comes first: a long list of mended tiles must not hide it
        ordered = [*report.unrepaired, *(one for one in report.damages if one.advice is None)]
        lines += [_line(one) for one in ordered[:_MAX_LINES]]
        if len(ordered) > _MAX_LINES:
            lines.append(_("  … and {count} more (--json lists them)", count=len(ordered) - _MAX_LINES))
        return _raise_after((answer, lines), report.error)


@click.command()
@click.argument("folder", type=FILE_PATH, metavar="DIR")
@wrap_command
def backup_command(*, data_dir: str | None, folder: Path) -> Output:
    """Save the catalogue and every object into DIR; again: what is new. Others may go on working."""
    from flycam.operations.backup import save_backup
    from flycam.retry import retry_on_outage

    with open_workspace(data_dir) as (workspace, settings):
        if folder.resolve().is_relative_to(settings.data_dir):
            raise OptionUnusable(
                _(
                    "{folder}: is in the data folder, and would be lost with it; name one on another disk",
                    folder=folder,
                )
            )
        report = retry_on_outage(
            workspace, lambda progress: save_backup(workspace, folder, progress), ProgressBar(), print_line
        )
        manifest = report.manifest
        answer = {
            **_manifest(report.folder, manifest),
            "new": report.new,
            "new_bytes": report.new_bytes,
            "removed": report.removed,
            "seconds": round(report.seconds, 1),
        }
        first = ngettext(
            "{folder}: {count} object, {size_mb:.1f} MB; {new} of them new, {new_mb:.1f} MB",
            "{folder}: {count} objects, {size_mb:.1f} MB; {new} of them new, {new_mb:.1f} MB",
            manifest.objects,
            folder=report.folder,
            size_mb=manifest.size / 1e6,
            new=report.new,
            new_mb=report.new_bytes / 1e6,
        )
        if report.removed:
            removed_text = ngettext("{count} old one removed", "{count} old ones removed", report.removed)
            first = join([first, removed_text], "; ")
        outside = [
            _("  ! {path}: is used in place, and is not stored", path=path) for path in manifest.outside
        ]
        return _raise_after((answer, [first, *outside]), report.error)


@click.command()
@click.argument("folder", type=FILE_PATH, metavar="DIR")
@click.option("--check", is_flag=True, help="Only read the backup against its hashes; write nothing.")
@wrap_command
def restore_command(*, data_dir: str | None, folder: Path, check: bool) -> Output:
    """Restore the backup in DIR into an empty data folder (--data NEW), all that is as it was written."""
    from flycam.operations.restore import make_backup_error, require_manifest, restore_backup, verify_backup

    if check:
        manifest = require_manifest(folder)
        bad = verify_backup(folder, manifest, ProgressBar())
        return _raise_after(
            format_backup_check(folder, manifest, bad),
            make_backup_error(folder, bad),
        )
    with open_workspace(data_dir, creates=True) as (workspace, __):
        report = restore_backup(workspace, folder, ProgressBar())
        manifest = report.manifest
        answer = {
            **_manifest(report.folder, manifest),
            "written": report.written,
            "left_out": list(report.unreadable),
            "seconds": round(report.seconds, 1),
        }
        line = _(
            "{flights}, {objects} restored from {folder}",
            flights=_count_flights(manifest.flights),
            objects=_count_objects(manifest.objects - len(report.unreadable)),
            folder=report.folder,
        )
        return _raise_after((answer, [line, *_format_damaged_names(report.unreadable)]), report.error)


@click.group()
def audit_group() -> None:
    """The audit log: who did what."""


@audit_group.command("verify")
@click.option("--head", metavar="NUMBER:DIGEST", help="A line noted before, which must still be the same.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Key of another node that wrote here too.")
@wrap_command
def verify_audit_log_command(*, data_dir: str | None, head: str | None, keys: tuple[str, ...]) -> Output:
    """Prove that no line of the log was changed, written anew, taken out or, with --head, cut off."""
    from flycam.access.audit import make_audit_error, verify_audit_log

    expected_head = None if head is None else _parse_head(head)
    known = [_parse_key(key) for key in keys]
    with open_workspace(data_dir) as (workspace, __):
        proof = verify_audit_log(workspace, expected_head, known)
        return _raise_after(format_audit(proof), make_audit_error(proof))


def _parse_head(text: str) -> tuple[int, str]:
    number, __, digest = text.partition(":")
    if not number.isdigit() or int(number) < 1 or len(digest) < 8:
        raise OptionUnusable(
            _(
                "--head {text}: write a line's number and its digest (8 digits at least), as 17:9f86d081",
                text=text,
            )
        )
    return int(number), digest


def _parse_key(text: str) -> str:
    from flycam.catalog.audit_key import is_public_key

    key = text.strip().lower()
    if not is_public_key(key):
        raise OptionUnusable(
            _("--key {text}: give the 64 digits that 'flycam audit verify' and packs print", text=text[:80])
        )
    return key


def _raise_after(answered: Output, trouble: FlycamError | None) -> Output:
    if trouble is not None:
        raise PartialFailure(*answered, trouble)
    return answered


# -- Retention of originals ------------------------------------------------------------------------


_RETAINED_KINDS = {
    RetainedKind.PHOTO: pgettext("retained originals", "photos"),
    RetainedKind.VIDEO: pgettext("retained originals", "recorded video"),
    RetainedKind.MARK_PHOTO: pgettext("retained originals", "photos of marks"),
    RetainedKind.UPLOAD: pgettext("retained originals", "videos and photos of uploads"),
}
_HOLD_STEPS = {
    HoldStep.HELD: pgettext("retained originals", "held"),
    HoldStep.RELEASED: pgettext("retained originals", "released"),
}


def format_terms(catalog: Catalog) -> Output:
    """Return terms[], and holds[] in force."""
    from flycam.operations.retention import list_active_holds, list_flight_and_event_names

    terms, holds = catalog.retention.terms(), list_active_holds(catalog)
    names = list_flight_and_event_names(catalog)
    lines = [_term_line(one, names) for one in terms]
    lines = lines or [_("no terms: all originals are kept forever")]
    lines += [_hold_line(one, names) for one in holds]
    return {
        "terms": [
            {
                "kind": one.kind.value,
                "days": one.days,
                "event_id": one.subject or None,
                "author": one.author,
                "at_ns": one.at_ns,
            }
            for one in terms
        ],
        "holds": [_hold(one) for one in holds],
    }, lines


def format_hold(line: HoldRecord, names: Mapping[str, str]) -> Output:
    """Return hold_id, step, subject, reason, author and at_ns of a hold."""
    return _hold(line), [_hold_line(line, names)]


def _term_line(term: RetentionTerm, names: Mapping[str, str]) -> Message:
    days = _("forever") if term.days is None else ngettext("{count} day", "{count} days", term.days)
    event = f" ({names.get(term.subject, term.subject)})" if term.subject else ""
    by = join([f"({term.author}, ", format_day(term.at_ns), ")"], "")
    return join([_RETAINED_KINDS[term.kind], f"{event}: ", days, " ", by], "")


def _hold(line: HoldRecord) -> dict[str, Any]:
    return {
        "hold_id": line.hold_id,
        "step": line.step.value,
        "subject": line.subject,
        "reason": line.reason,
        "author": line.author,
        "at_ns": line.at_ns,
    }


def _hold_line(line: HoldRecord, names: Mapping[str, str]) -> Message:
    name = names.get(line.subject, line.subject)
    by = join([f"({line.author}, ", format_day(line.at_ns), ")"], "")
    return join([f"{line.hold_id}  {name}: ", _HOLD_STEPS[line.step], f": {line.reason} ", by], "")


def _group(some: Sequence[DueOriginal]) -> dict[str, Any]:
    first = some[0]
    return {
        "kind": first.claim.kind.value,
        "flight_id": first.claim.flight_id or None,
        "event_id": first.claim.event_id or None,
        "originals": len(some),
        "days": first.days,
        "told_by": first.ordered_by or None,
        "since_ns": min(one.since_ns for one in some),
        "sha256": [one.claim.sha256 for one in some],
    }


def _group_line(some: Sequence[DueOriginal], names: Mapping[str, str]) -> Message:
    first = some[0]
    owner_name = names.get(first.claim.flight_id) or names.get(first.claim.event_id) or first.claim.name
    if first.ordered_by:
        reason = _("deleted on {box}", box=first.ordered_by)
    else:
        reason = ngettext("past {count} day", "past {count} days", first.days or 0)
    return _(
        "{name}: {kind} ({count}), {reason}, due since {day}",
        name=owner_name,
        count=len(some),
        kind=_RETAINED_KINDS[first.claim.kind],
        reason=reason,
        day=format_day(min(one.since_ns for one in some)),
    )


# -- Commands of `retention` -----------------------------------------------------------------------


_KIND = click.Choice([one.value for one in RetainedKind])
_FOREVER, _HOUSE = "forever", "house"


@click.group()
def retention_group() -> None:
    """How long originals of homes and victims are kept; nothing is let go before somebody confirms it."""


@retention_group.command("set")
@click.argument("kind", type=_KIND)
@click.argument("days", metavar="DAYS|forever|house")
@click.option("--event", help="Of this event alone (name or id). Default: of the house.")
@wrap_command
def set_retention_term_command(*, data_dir: str | None, kind: str, days: str, event: str | None) -> Output:
    """Keep originals of a KIND so many DAYS after their flight; `house`: the event as all others."""
    from flycam.operations.retention import reset_event_term, set_retention_term

    is_number = days.isascii() and days.isdigit()
    if not (is_number or days == _FOREVER or (days == _HOUSE and event is not None)):
        raise OptionUnusable(
            _("{text}: give a number of days, 'forever', or with --event 'house'", text=days[:40])
        )
    with open_workspace(data_dir, creates=True) as (workspace, settings):
        who = get_operator_name(settings)
        if days == _HOUSE and event is not None:
            reset_event_term(workspace, RetainedKind(kind), event, who)
        else:
            set_retention_term(
                workspace, RetainedKind(kind), None if days == _FOREVER else int(days), who, event
            )
        return format_terms(workspace.catalog)


@retention_group.command("list")
@wrap_command
def list_retention_command(*, data_dir: str | None) -> Output:
    """The terms, and the holds in force."""

    with open_workspace(data_dir) as (workspace, __):
        return format_terms(workspace.catalog)


@retention_group.command("due")
@wrap_command
def list_due_originals_command(*, data_dir: str | None) -> Output:
    """List the originals due today, with the digest that confirms this list."""
    from flycam.operations.retention import list_due_originals, list_flight_and_event_names

    with open_workspace(data_dir) as (workspace, __):
        due = list_due_originals(workspace)
        names = list_flight_and_event_names(workspace.catalog)
        groups = due.groups
        answer = {
            "digest": due.digest,
            "originals": len(due.originals),
            "begun": due.begun,
            "groups": [_group(some) for some in groups],
        }
        lines = [_group_line(some, names) for some in groups]
        if due.begun:
            lines.append(_("{count} confirmed and not deleted yet", count=due.begun))
        if lines:
            lines.append(
                _(
                    "to confirm this list: flycam retention confirm {digest} --authority NAME",
                    digest=due.digest,
                )
            )
        return answer, lines or [_("nothing is due")]


@retention_group.command("confirm")
@click.argument("digest")
@click.option("--authority", required=True, help="Who confirms it, by name.")
@wrap_command
def confirm_due_list_command(*, data_dir: str | None, digest: str, authority: str) -> Output:
    """Let go of what stands on the list of this DIGEST, for good; the same again completes it."""
    from flycam.operations.retention import confirm_purge

    if not authority.strip():
        raise OptionUnusable(_("--authority: give the name of the administrator who confirms the list"))
    with open_workspace(data_dir) as (workspace, __):
        done = confirm_purge(workspace, digest, authority.strip())
        answer = {
            "digest": done.digest,
            "confirmed": done.confirmed,
            "let_go": done.purge.originals,
            "bytes": done.purge.size_bytes,
            "waiting": list(done.purge.waiting),
        }
        first = ngettext(
            "{count} original deleted, {size_mb:.1f} MB",
            "{count} originals deleted, {size_mb:.1f} MB",
            done.purge.originals,
            size_mb=done.purge.size_bytes / 1e6,
        )
        waiting = [_("  ! {name}: waits: run the same again later", name=name) for name in done.purge.waiting]
        return answer, [first, *waiting]


@retention_group.command("hold")
@click.argument("ref", metavar="FLIGHT|EVENT")
@click.option("--reason", required=True, help="Why nothing of it may be let go.")
@wrap_command
def hold_originals_command(*, data_dir: str | None, ref: str, reason: str) -> Output:
    """Let nothing go of a flight or an event, until the hold is released."""
    from flycam.operations.retention import list_flight_and_event_names, place_hold

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        line = place_hold(workspace, f"hold-{secrets.token_hex(8)}", ref, reason, who)
        return format_hold(line, list_flight_and_event_names(workspace.catalog))


@retention_group.command("release")
@click.argument("hold_id", metavar="HOLD")
@click.option("--reason", required=True, help="Why it need not be held any more.")
@wrap_command
def release_hold_command(*, data_dir: str | None, hold_id: str, reason: str) -> Output:
    """End a hold, for good: who wants it again makes another."""
    from flycam.operations.retention import list_flight_and_event_names, release_hold

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        line = release_hold(workspace, hold_id, reason, who)
        return format_hold(line, list_flight_and_event_names(workspace.catalog))


@retention_group.command("lift")
@click.argument("ref", metavar="FLIGHT|SHA256")
@click.option("--reason", required=True, help="Why the originals may come back.")
@wrap_command
def lift_purge_command(*, data_dir: str | None, ref: str, reason: str) -> Output:
    """Let originals that were let go come back: 'flycam verify --from CARD' puts them back then."""
    from flycam.operations.retention import lift_purge

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        lines = lift_purge(workspace, ref, reason, who)
        hashes = sorted({one.sha256 for one in lines})
        line = ngettext(
            "{count} original can be restored: flycam verify --from CARD",
            "{count} originals can be restored: flycam verify --from CARD",
            len(hashes),
        )
        return {"originals": len(hashes), "sha256": hashes}, [line]
