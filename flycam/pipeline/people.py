"""Accounts: who may look, upload, judge, and administer."""

from __future__ import annotations

from flycam.catalog.accounts import hash_token, new_token
from flycam.catalog.records import Account, Role
from flycam.errors import InputUnusable
from flycam.pipeline.workspace import Workspace


def add_user(workspace: Workspace, name: str, role: str) -> str:
    """Make an account, or give an existing one a new token and role; returns the token, shown only once."""
    if not name.strip():
        raise InputUnusable(
            "an account needs a name; give it as the argument of 'flycam user add'",
            vi="tài khoản phải có tên; hãy ghi tên sau 'flycam user add'",
        )
    token = new_token()
    now = workspace.clock_ns()
    workspace.catalog.accounts.put(
        Account(name=name.strip(), role=Role(role), token_hash=hash_token(token), created_ns=now)
    )
    workspace.catalog.audit.append(
        workspace.operator or workspace.box, "user add", name.strip(), role, at_ns=now
    )
    return token
