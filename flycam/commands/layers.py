"""Specialist layers of other services: `layers`."""

from __future__ import annotations

import click

from flycam.commands.workspace import (
    CLASSIFICATION_CHOICE,
    FILE_OR_URL,
    CommandOutput,
    get_operator_name,
    open_workspace,
)
from flycam.console import wrap_command
from flycam.errors import OptionUnusable
from flycam.frame.classification import Classification
from flycam.frame.specialist_layer import LayerKind
from flycam.frame.timestamp import parse_timestamp
from flycam.messages import _

_KINDS = click.Choice([kind.value for kind in LayerKind])


@click.group()
def layers_group() -> None:
    """Power lines, masts, roads, schools, houses, waters of other services."""


@layers_group.command("add")
@click.argument("source", metavar="FILE|ADDRESS", type=FILE_OR_URL)
@click.option("--kind", type=_KINDS, required=True, help="What it holds.")
@click.option("--owner", help="Who answers for it.")
@click.option(
    "--valid-time", help="When it stood so (UTC+7 unless it says): 2024-09-10T10:15, 10/09/2024 10:15."
)
@click.option("--name", help="What the map calls it; the same name again replaces it. Default: the file's.")
@wrap_command
def add_layer_command(
    *,
    data_dir: str | None,
    source: str,
    kind: str,
    owner: str | None,
    valid_time: str | None,
    name: str | None,
) -> CommandOutput:
    """Add a layer: GeoJSON, GeoPackage, Shapefile or KML, in any CRS; a file, or an allowed address."""
    from flycam.answers.layers import format_layer
    from flycam.pipeline.layer_registry import LayerRequest, add_layer

    valid_ns = _parse_valid_time(valid_time)
    with open_workspace(data_dir, creates=True) as (workspace, settings):
        asked = LayerRequest(source=source, kind=LayerKind(kind), name=name, owner=owner, valid_ns=valid_ns)
        who = get_operator_name(settings)
        layer, found = add_layer(workspace, asked, who, settings.layer_hosts)
        return format_layer(layer, found, workspace.clock_ns())


@layers_group.command("list")
@wrap_command
def list_layers_command(*, data_dir: str | None) -> CommandOutput:
    """What layers there are, whose, of when, and which are old."""
    from flycam.answers.layers import format_layers

    with open_workspace(data_dir) as (workspace, _):
        return format_layers(workspace.catalog.layers.all(), workspace.clock_ns())


@layers_group.command("refresh")
@click.argument("ref", metavar="LAYER")
@click.option(
    "--from", "source", type=FILE_OR_URL, metavar="FILE|ADDRESS", help="Default: where it came from."
)
@click.option("--valid-time", help="When it stood so.")
@wrap_command
def refresh_layer_command(
    *, data_dir: str | None, ref: str, source: str | None, valid_time: str | None
) -> CommandOutput:
    """Read a layer (id or name) again; what cannot be read leaves it as it was."""
    from flycam.answers.layers import format_layer
    from flycam.pipeline.layer_registry import refresh_layer

    valid_ns = _parse_valid_time(valid_time)
    with open_workspace(data_dir) as (workspace, settings):
        layer, found = refresh_layer(
            workspace,
            ref,
            get_operator_name(settings),
            source=source,
            valid_ns=valid_ns,
            allowed_hosts=settings.layer_hosts,
        )
        return format_layer(layer, found, workspace.clock_ns())


@layers_group.command("remove")
@click.argument("ref", metavar="LAYER")
@wrap_command
def remove_layer_command(*, data_dir: str | None, ref: str) -> CommandOutput:
    """Take a layer (id or name) off the map; its file stays as evidence."""
    from flycam.answers.layers import format_removed_layer
    from flycam.pipeline.layer_registry import remove_layer

    with open_workspace(data_dir) as (workspace, settings):
        return format_removed_layer(remove_layer(workspace, ref, get_operator_name(settings)))


@layers_group.command("classify")
@click.argument("ref", metavar="LAYER")
@click.argument("level", type=CLASSIFICATION_CHOICE)
@wrap_command
def classify_layer_command(*, data_dir: str | None, ref: str, level: str) -> CommandOutput:
    """Say how widely a layer may be shown: open, internal (no guests), restricted (analysts, admins)."""
    from flycam.answers.access_policy import format_classified
    from flycam.pipeline.access_restrictions import set_layer_classification

    with open_workspace(data_dir) as (workspace, settings):
        who = get_operator_name(settings)
        layer = set_layer_classification(workspace, ref, Classification(level), who)
        return format_classified(layer.layer_id, layer.name, Classification(level))


def _parse_valid_time(text: str | None) -> int | None:
    """Return --valid-time as UTC nanoseconds. Raises OptionUnusable."""
    if text is None:
        return None
    found = parse_timestamp(text)
    if found is None:
        raise OptionUnusable(
            _("--valid-time {text}: is no time: write 2024-09-10T10:15 or 10/09/2024 10:15", text=text)
        )
    return found
