"""Options of `inspect` and `ingest` that say how a flight is to be read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from flycam.commands.workspace import DATUM_CHOICE, FILE_PATH
from flycam.errors import OptionUnusable
from flycam.frame.frame import Layer
from flycam.messages import _

if TYPE_CHECKING:
    from flycam.pipeline.orthorectification.preflight import PreflightRequest

LAYER_CHOICE = click.Choice([layer.value for layer in Layer])
_MAX_OFFSET_S = 10 * 365.25 * 86_400


def add_ingest_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `inspect` and `ingest` share."""
    for option in reversed(
        [
            click.argument("paths", nargs=-1, required=True, type=FILE_PATH),
            click.option(
                "--telemetry",
                type=FILE_PATH,
                help="Flight log; or what places photos: poses (CSV, OpenSfM, ODM), control points, a map.",
            ),
            click.option(
                "--layer",
                type=LAYER_CHOICE,
                help="What the pixels show, where tags are silent or wrong.",
            ),
            click.option(
                "--camera", type=FILE_PATH, help="Camera file (JSON or YAML) that beats the photos."
            ),
            click.option(
                "--height",
                "height_mode",
                type=click.Choice(["auto", "relative", "absolute", "exif"]),
                default="auto",
                show_default=True,
                help="Which altitude to believe.",
            ),
            click.option("--takeoff", metavar="LON,LAT|H", help="Take-off point, or its height in metres."),
            click.option(
                "--clock-offset", "clock_offset_s", type=float, help="Log time minus photo time, s."
            ),
            click.option("--dem", type=FILE_PATH, help="Terrain to register first."),
            click.option("--datum", type=DATUM_CHOICE, help="Height datum of --dem."),
        ]
    ):
        function = option(function)
    return function


def _parse_takeoff(text: str | None) -> float | tuple[float, float] | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if all(map(math.isfinite, numbers)):
        if len(numbers) == 1:
            return numbers[0]
        if len(numbers) == 2 and abs(numbers[0]) <= 180.0 and abs(numbers[1]) <= 90.0:
            return numbers[0], numbers[1]
        if len(numbers) == 2 and abs(numbers[1]) <= 180.0 and abs(numbers[0]) <= 90.0:
            raise OptionUnusable(
                _(
                    "--takeoff {text}: no latitude is {second:g}°; longitude comes first: "
                    "--takeoff {second:g},{first:g}",
                    text=text,
                    second=numbers[1],
                    first=numbers[0],
                )
            )
    raise OptionUnusable(_("--takeoff {text}: give LON,LAT in degrees or a height in metres", text=text))


def parse_ingest_options(options: dict[str, Any]) -> PreflightRequest:
    """Return the preflight request of these options.

    Raises OptionUnusable for an impossible value.
    """
    from flycam.pipeline.orthorectification.preflight import PreflightRequest

    offset_s = options["clock_offset_s"]
    if offset_s is not None and not abs(offset_s) < _MAX_OFFSET_S:
        raise OptionUnusable(
            _("--clock-offset {offset_s:g}: give seconds, at most ten years of them", offset_s=offset_s)
        )
    return PreflightRequest(
        paths=tuple(options["paths"]),
        telemetry=options["telemetry"],
        camera=options["camera"],
        height_mode=options["height_mode"],
        takeoff=_parse_takeoff(options["takeoff"]),
        clock_offset_s=options["clock_offset_s"],
        layer=options["layer"],
    )
