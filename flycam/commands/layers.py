"""Specialist layers of other services: `layers`."""

from __future__ import annotations

import click

from flycam.commands.house import ADDRESS, LEVEL, Result, opened, who_asks
from flycam.console import command, language
from flycam.errors import OptionUnusable
from flycam.frame.classification import Classification
from flycam.frame.moment import parse_moment
from flycam.frame.specialist import LayerKind
from flycam.messages import _

_KINDS = click.Choice([kind.value for kind in LayerKind])


@click.group()
def layers() -> None:
    """Power lines, masts, roads, schools, houses, waters of other services."""


@layers.command("add")
@click.argument("source", metavar="FILE|ADDRESS", type=ADDRESS)
@click.option("--kind", type=_KINDS, required=True, help="What it holds.")
@click.option("--owner", help="Who answers for it.")
@click.option(
    "--valid-time", help="When it stood so (UTC+7 unless it says): 2024-09-10T10:15, 10/09/2024 10:15."
)
@click.option("--name", help="What the map calls it; the same name again replaces it. Default: the file's.")
@command
def layers_add(
    *,
    data_dir: str | None,
    source: str,
    kind: str,
    owner: str | None,
    valid_time: str | None,
    name: str | None,
) -> Result:
    """Add a layer: GeoJSON, GeoPackage, Shapefile or KML, in any CRS; a file, or an allowed address."""
    from flycam.answers.layers import of_layer
    from flycam.pipeline.layers import LayerAsked, add_layer

    valid_ns = _moment(valid_time)
    with opened(data_dir, begins=True) as (workspace, settings):
        asked = LayerAsked(source=source, kind=LayerKind(kind), name=name, owner=owner, valid_ns=valid_ns)
        who = who_asks(settings)
        layer, found = add_layer(workspace, asked, who, settings.layer_hosts)
        return of_layer(layer, found, workspace.clock_ns(), language())


@layers.command("list")
@command
def layers_list(*, data_dir: str | None) -> Result:
    """What layers there are, whose, of when, and which are old."""
    from flycam.answers.layers import of_layers

    with opened(data_dir) as (workspace, _):
        return of_layers(workspace.catalog.layers.all(), workspace.clock_ns(), language())


@layers.command("refresh")
@click.argument("ref", metavar="LAYER")
@click.option("--from", "source", type=ADDRESS, metavar="FILE|ADDRESS", help="Default: where it came from.")
@click.option("--valid-time", help="When it stood so.")
@command
def layers_refresh(*, data_dir: str | None, ref: str, source: str | None, valid_time: str | None) -> Result:
    """Read a layer (id or name) again; what cannot be read leaves it as it was."""
    from flycam.answers.layers import of_layer
    from flycam.pipeline.layers import refresh_layer

    valid_ns = _moment(valid_time)
    with opened(data_dir) as (workspace, settings):
        layer, found = refresh_layer(
            workspace,
            ref,
            who_asks(settings),
            source=source,
            valid_ns=valid_ns,
            allowed_hosts=settings.layer_hosts,
        )
        return of_layer(layer, found, workspace.clock_ns(), language())


@layers.command("remove")
@click.argument("ref", metavar="LAYER")
@command
def layers_remove(*, data_dir: str | None, ref: str) -> Result:
    """Take a layer (id or name) off the map; its file stays as evidence."""
    from flycam.answers.layers import of_removed_layer
    from flycam.pipeline.layers import remove_layer

    with opened(data_dir) as (workspace, settings):
        return of_removed_layer(remove_layer(workspace, ref, who_asks(settings)), language())


@layers.command("classify")
@click.argument("ref", metavar="LAYER")
@click.argument("level", type=LEVEL)
@command
def layers_classify(*, data_dir: str | None, ref: str, level: str) -> Result:
    """Say how widely a layer may be shown: open, internal (no guests), restricted (analysts, admins)."""
    from flycam.answers.sharing import of_classified
    from flycam.pipeline.restricting import classify_layer

    with opened(data_dir) as (workspace, settings):
        who = who_asks(settings)
        layer = classify_layer(workspace, ref, Classification(level), who)
        return of_classified(layer.layer_id, layer.name, Classification(level), language())


def _moment(text: str | None) -> int | None:
    """UTC nanoseconds of --valid-time. Raises OptionUnusable."""
    if text is None:
        return None
    found = parse_moment(text)
    if found is None:
        raise OptionUnusable(
            _("--valid-time {text}: is no time: write 2024-09-10T10:15 or 10/09/2024 10:15", text=text)
        )
    return found
