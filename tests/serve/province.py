"""A province with an account of each role, and its server: what boxes talk to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flycam.catalog.access import hash_token
from flycam.http.guards import Services
from flycam.model.access import Account, Role
from tests.serve.running import running
from tests.sync.boxes import Box, new_box

TOKENS = {role: f"token-{role}" for role in Role}


def new_province(tmp_path: Path) -> Box:
    """A house with an account of each role."""
    made = new_box(tmp_path, "province")
    for role, token in TOKENS.items():
        made.catalog.accounts.put(
            Account(name=f"{role}", role=role, token_hash=hash_token(token), created_ns=0)
        )
    return made


@contextmanager
def serving(province: Box, tmp_path: Path) -> Iterator[str]:
    """Its address, while it is served."""
    with running(Services(workspace=province.workspace, sync_dir=tmp_path / "arriving")) as url:
        yield url
