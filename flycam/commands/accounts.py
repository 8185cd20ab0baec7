"""Account and token commands: `account`, and `user`, its older name."""

from __future__ import annotations

import click

from flycam.catalog.access_records import Scope
from flycam.catalog.records import ACCOUNT_ROLES
from flycam.commands.workspace import CommandOutput, get_operator_name, open_workspace
from flycam.console import wrap_command


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
def add_account_command(*, data_dir: str | None, name: str, role: str, communes: str | None) -> CommandOutput:
    """Make an account; its token is shown once."""
    from flycam.answers.node import format_account
    from flycam.pipeline.access.accounts import add_user

    with open_workspace(data_dir, creates=True) as (workspace, _):
        account, token = add_user(workspace, name, role, communes)
        return format_account(account, token, workspace.catalog.boundaries.names())


@click.command("list")
@wrap_command
def list_accounts_command(*, data_dir: str | None) -> CommandOutput:
    """The accounts, their roles and communes."""
    from flycam.answers.node import format_accounts

    with open_workspace(data_dir) as (workspace, _):
        names = workspace.catalog.boundaries.names()
        return format_accounts(workspace.catalog.accounts.all(), names)


@click.command("remove")
@click.argument("name")
@wrap_command
def remove_account_command(*, data_dir: str | None, name: str) -> CommandOutput:
    """Take an account away: its tokens, what was made with them, its sessions and guest links end; what it
    did stays in the audit log."""
    from flycam.answers.node import format_removed_account
    from flycam.pipeline.access.accounts import remove_user

    with open_workspace(data_dir) as (workspace, _):
        return format_removed_account(*remove_user(workspace, name))


@account_group.command("code")
@click.argument("name", required=False)
@wrap_command
def make_account_code_command(*, data_dir: str | None, name: str | None) -> CommandOutput:
    """A code to type into the sign-in form, good once: for NAME, or to make the first administrator."""
    from flycam.answers.tokens import format_code
    from flycam.pipeline.access.sign_in_codes import make_setup_code, make_sign_in_code

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
    help="map: tiles and standards, to look at; uploads: flights sent in; sync: what boxes exchange.",
)
@click.option("--days", type=float, default=365.0, show_default=True, help="Until it expires.")
@click.option("--for-ever", is_flag=True, help="It never expires.")
@wrap_command
def make_account_token_command(
    *, data_dir: str | None, name: str, label: str, scope: str, days: float, for_ever: bool
) -> CommandOutput:
    """Make a further token of an account; it is shown once."""
    from flycam.answers.tokens import format_token
    from flycam.pipeline.access.tokens import make_token

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        made, secret = make_token(workspace, name, label, Scope(scope), None if for_ever else days, who)
        return format_token(made, secret)


@account_group.command("tokens")
@click.argument("name", required=False)
@wrap_command
def show_account_tokens_command(*, data_dir: str | None, name: str | None) -> CommandOutput:
    """The tokens that hold, of one account or of all, and what would end with each."""
    from flycam.answers.tokens import format_tokens
    from flycam.pipeline.access.tokens import find_descendants, list_active_tokens

    with open_workspace(data_dir) as (workspace, _):
        return format_tokens(list_active_tokens(workspace, name), find_descendants(workspace))


@account_group.command("revoke")
@click.argument("token_id", metavar="TOKEN_ID")
@wrap_command
def revoke_account_token_command(*, data_dir: str | None, token_id: str) -> CommandOutput:
    """Let one token (its id, as `account tokens` lists it) open nothing more, nor what was made with it."""
    from flycam.answers.tokens import format_revoked_token
    from flycam.pipeline.access.tokens import revoke_token

    with open_workspace(data_dir) as (workspace, settings):
        return format_revoked_token(*revoke_token(workspace, token_id, get_operator_name(settings)))


for _command in (add_account_command, list_accounts_command, remove_account_command):
    account_group.add_command(_command)
    user_group.add_command(_command)
