"""Field marks for other programs: `marks`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.house import FILE, Result, opened
from flycam.console import command, language


@click.group()
def marks() -> None:
    """Field marks and search sectors; they are made on the map."""


@marks.command("list")
@click.option("--event", help="Only those of this event (name or id).")
@command
def marks_list(*, data_dir: str | None, event: str | None) -> Result:
    """Marks as they stand, the newest first."""
    from flycam.answers.marks import of_marks
    from flycam.pipeline.mark_export import marks_of

    with opened(data_dir) as (workspace, _):
        return of_marks(marks_of(workspace, event), language())


@marks.command("export")
@click.argument("out", type=FILE)
@click.option("--event", help="Only those of this event (name or id).")
@click.option("--history", is_flag=True, help="Every line of every mark, removed ones too.")
@command
def marks_export(*, data_dir: str | None, out: Path, event: str | None, history: bool) -> Result:
    """Write marks to OUT.geojson: WGS 84, with VN-2000 beside it."""
    from flycam.answers.marks import of_exported_marks
    from flycam.pipeline.mark_export import export_marks
    from flycam.pipeline.upkeep.audit import on_record

    with opened(data_dir, hands_out=True) as (workspace, _):
        count = export_marks(workspace, out, event, history=history)
        on_record(workspace, "export marks", event or "all", f"{out.name}, {count}")
        return of_exported_marks(out, count, language())
