"""Answers about a node: checks, accounts, and freed disk space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.answers.tokens import format_ending_lines
from flycam.frame.secret_text import SecretText
from flycam.messages import Message, _, join, ngettext, pgettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.access_records import Descendants
    from flycam.catalog.records import Account
    from flycam.pipeline.disk_space import DiskVolume, Freed
    from flycam.pipeline.garbage_collection import CollectReport
    from flycam.pipeline.operations.health import HealthCheck


def format_collect(report: CollectReport, *, dry_run: bool) -> Output:
    """Return tiles, clips, freed_bytes, local_bytes, waiting and busy."""
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
            "{tiles} and {clips} would be deleted, {freed_mb:.1f} MB, and {local_mb:.1f} MB of local copies; "
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
    told = [
        _("  {disk}: {size_gb:.1f} GB free", disk=one.name, size_gb=one.free_bytes / 1e9) for one in places
    ]
    untold = _("  how much is free where store and database lie, nobody can tell")
    return answer, [first, *(told or [untold])]


def _count_tiles(count: int) -> Message:
    return ngettext("{count} old tile state", "{count} old tile states", count)


def _count_clips(count: int) -> Message:
    return ngettext("{count} old clip", "{count} old clips", count)


def format_account(account: Account, token: str, names: Mapping[str, str]) -> Output:
    """Return name, role, communes[] (codes) and token of an account.

    names  of communes by code
    """
    line = SecretText(f"{_account_line(account, names)}: {token}")
    return {**_account(account), "token": token}, [line]


def format_accounts(accounts: Sequence[Account], names: Mapping[str, str]) -> Output:
    """Return accounts[]: name, role, communes[] (codes).

    names  of communes by code
    """
    lines = [_account_line(one, names) for one in accounts]
    return {"accounts": [_account(one) for one in accounts]}, lines or [_("no accounts")]


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
    said = {**_account(account), "guest_links": list(links), "tokens": made.ids["tokens"]}
    return said, [ended, *format_ending_lines(made)]


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
    "film": pgettext("health check", "film"),
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
