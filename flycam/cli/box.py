"""Other nodes as this one knows them: `box`."""

from __future__ import annotations

import click

from flycam.cli.output import Output, open_workspace, wrap_command
from flycam.messages import _


@click.group()
def box_group() -> None:
    """Other nodes, by their names (FLYCAM_BOX), and what this one knows of them."""


@box_group.command("forget")
@click.argument("name")
@wrap_command
def forget_box_command(*, data_dir: str | None, name: str) -> Output:
    """Forget the key of a node that was installed anew or restored: its next bundle is believed."""
    from flycam.sync.node_keys import forget_node_key

    with open_workspace(data_dir) as (workspace, __):
        key = forget_node_key(workspace, name)
        # key: the forgotten one, "" if it was damaged
        return {"box": name, "key": key}, [
            _("{name}: its key is forgotten; that of its next bundle is believed", name=name)
        ]
