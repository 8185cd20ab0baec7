"""A node and its accounts: `doctor`, `collect`, `account` (formerly `user`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import Output, ProgressBar, get_operator_name, open_workspace, wrap_command
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.access import ACCOUNT_ROLES, Descendants, Scope
from flycam.model.text import SecretText
from flycam.model.time import format_iso

if TYPE_CHECKING:
    from flycam.model.access import Account, Descendants, Token
    from flycam.operations.health import HealthCheck
    from flycam.storage.disk_space import DiskVolume, Freed


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
        "proxy stands in front, make one: flycam user add NAME --role admin"
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
    from flycam.storage.address import parse_store_folder

    with open_workspace(data_dir, creates=True) as (workspace, settings):
        checks = run_health_checks(workspace, settings.data_dir, parse_store_folder(settings.store_url))
        return format_checks(checks)
