"""Export of field marks to other programs: `marks`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.workspace import FILE_PATH, CommandOutput, open_workspace
from flycam.console import wrap_command


@click.group()
def marks_group() -> None:
    """Field marks and search sectors; they are made on the map."""


@marks_group.command("list")
@click.option("--event", help="Only those of this event (name or id).")
@wrap_command
def list_marks_command(*, data_dir: str | None, event: str | None) -> CommandOutput:
    """Marks as they stand, the newest first."""
    from flycam.answers.marks import format_marks
    from flycam.pipeline.mark_export import list_event_marks

    with open_workspace(data_dir) as (workspace, _):
        return format_marks(list_event_marks(workspace, event))


@marks_group.command("export")
@click.argument("out", type=FILE_PATH)
@click.option("--event", help="Only those of this event (name or id).")
@click.option("--history", is_flag=True, help="Every line of every mark, removed ones too.")
@wrap_command
def export_marks_command(
    *, data_dir: str | None, out: Path, event: str | None, history: bool
) -> CommandOutput:
    """Write marks to OUT.geojson: WGS 84, with VN-2000 beside it."""
    from flycam.answers.marks import format_exported_marks
    from flycam.pipeline.mark_export import export_marks
    from flycam.pipeline.operations.audit_check import record_audit_entry

    with open_workspace(data_dir, serves_originals=True) as (workspace, _):
        count = export_marks(workspace, out, event, history=history)
        record_audit_entry(workspace, "export marks", event or "all", f"{out.name}, {count}")
        return format_exported_marks(out, count)
