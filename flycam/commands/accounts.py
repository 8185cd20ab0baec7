"""Accounts, and what lets them in: `account`, and `user`, which is its older name."""

from __future__ import annotations

import click

from flycam.catalog.access_records import Scope
from flycam.catalog.records import ACCOUNT_ROLES
from flycam.commands.house import Result, opened, who_asks
from flycam.console import command, language


@click.group()
def account() -> None:
    """Accounts, their tokens, and codes that let in once."""


@click.group()
def user() -> None:
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
@command
def user_add(*, data_dir: str | None, name: str, role: str, communes: str | None) -> Result:
    """Make an account; its token is shown once."""
    from flycam.answers.house import of_account
    from flycam.pipeline.people.accounts import add_user

    with opened(data_dir, begins=True) as (workspace, _):
        account, token = add_user(workspace, name, role, communes)
        return of_account(account, token, workspace.catalog.boundaries.names())


@click.command("list")
@command
def user_list(*, data_dir: str | None) -> Result:
    """The accounts, their roles and communes."""
    from flycam.answers.house import of_accounts

    with opened(data_dir) as (workspace, _):
        names = workspace.catalog.boundaries.names()
        return of_accounts(workspace.catalog.accounts.all(), names, language())


@click.command("remove")
@click.argument("name")
@command
def user_remove(*, data_dir: str | None, name: str) -> Result:
    """Take an account away: its tokens, what was made with them, its sessions and guest links end; what it
    did stays in the audit log."""
    from flycam.answers.house import of_removed_account
    from flycam.pipeline.people.accounts import remove_user

    with opened(data_dir) as (workspace, _):
        return of_removed_account(*remove_user(workspace, name), language())


@account.command("code")
@click.argument("name", required=False)
@command
def account_code(*, data_dir: str | None, name: str | None) -> Result:
    """A code to type into the sign-in form, good once: for NAME, or to make the first administrator."""
    from flycam.answers.access import of_code
    from flycam.pipeline.people.codes import make_code, make_setup_code

    with opened(data_dir, begins=True) as (workspace, settings):
        code = make_code(workspace, name, who_asks(settings)) if name else make_setup_code(workspace)
        return of_code(code, name or "", language())


@account.command("token")
@click.argument("name")
@click.option("--label", required=True, help='What it is for: "QGIS phòng bản đồ".')
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.ALL.value,
    show_default=True,
    help="map: tiles and standards, to look at; uploads: flights sent in; sync: what boxes exchange.",
)
@click.option("--days", type=float, default=365.0, show_default=True, help="Until it expires.")
@click.option("--for-ever", is_flag=True, help="It never expires.")
@command
def account_token(
    *, data_dir: str | None, name: str, label: str, scope: str, days: float, for_ever: bool
) -> Result:
    """Make a further token of an account; it is shown once."""
    from flycam.answers.access import of_token
    from flycam.pipeline.people.tokens import make_token

    with opened(data_dir) as (workspace, settings):
        who = who_asks(settings)
        made, secret = make_token(workspace, name, label, Scope(scope), None if for_ever else days, who)
        return of_token(made, secret, language())


@account.command("tokens")
@click.argument("name", required=False)
@command
def account_tokens(*, data_dir: str | None, name: str | None) -> Result:
    """The tokens that hold, of one account or of all, and what would end with each."""
    from flycam.answers.access import of_tokens
    from flycam.pipeline.people.tokens import find_descendants, held_tokens

    with opened(data_dir) as (workspace, _):
        return of_tokens(held_tokens(workspace, name), find_descendants(workspace), language())


@account.command("revoke")
@click.argument("token_id", metavar="TOKEN_ID")
@command
def account_revoke(*, data_dir: str | None, token_id: str) -> Result:
    """Let one token (its id, as `account tokens` lists it) open nothing more, nor what was made with it."""
    from flycam.answers.access import of_revoked
    from flycam.pipeline.people.tokens import revoke_token

    with opened(data_dir) as (workspace, settings):
        return of_revoked(*revoke_token(workspace, token_id, who_asks(settings)), language())


for _command in (user_add, user_list, user_remove):
    account.add_command(_command)
    user.add_command(_command)
