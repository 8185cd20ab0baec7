"""Columns for people in a table of confirmed changes.

They come first, in the reader's language, with names instead of ids and times of Vietnam. Columns for
programs follow and are never translated.
"""

from __future__ import annotations

from collections.abc import Mapping

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.image_reference import parse_image_reference
from flycam.frame.timestamp import format_minute
from flycam.messages import _
from flycam.pipeline.change.change_outlines import estimate_area_error
from flycam.pipeline.workspace import Workspace
from flycam.report.change_names import CHANGE_KIND_NAMES, NO_SCORE_REASONS
from flycam.report.number_format import format_area_with_sigma, format_percent, replace_no_break_spaces

COLUMN_NAMES = (
    _("Kind of change"),
    _("Size"),
    _("Commune or ward"),
    _("Probability"),
    _("Picture before"),
    _("Taken before (UTC+7)"),
    _("Picture after"),
    _("Taken after (UTC+7)"),
    _("Confirmed by"),
    _("Confirmed (UTC+7)"),
)
"""None equals that of a program's column, whatever the case of its letters."""
BEYOND_BOUNDARIES = _("outside of known boundaries")
_GONE = _("a flight that is not here")


def format_cells(
    line: ChangeVersion,
    decided: tuple[str, int],
    dates_ns: tuple[int | None, int | None],
    commune: str,
    flights: Mapping[str, str],
    language: str,
) -> list[str]:
    """Return a change's cells under `COLUMN_NAMES`; empty where not known.

    decided   who confirmed it and when, UTC nanoseconds
    dates_ns  when its two images were taken
    commune   its name, "" outside of all boundaries
    flights   their names, by the ids of their mosaics
    """
    before, after = (_pictures(shown, flights, language) for shown in (line.before_shown, line.after_shown))
    area = format_area_with_sigma(line.area_m2, estimate_area_error(line))
    taken_before, taken_after = ("" if at_ns is None else format_minute(at_ns) for at_ns in dates_ns)
    return [
        CHANGE_KIND_NAMES[line.kind].in_language(language),
        replace_no_break_spaces(area.in_language(language)),
        commune or BEYOND_BOUNDARIES.in_language(language),
        _probability(line, language),
        *(before, taken_before, after, taken_after),
        *(decided[0], format_minute(decided[1])),
    ]


def list_flight_names(workspace: Workspace) -> dict[str, str]:
    """Return the names of flights, by the ids of their mosaics."""
    names = {one.flight_id: one.name for one in workspace.catalog.flights.flights()}
    mosaics = workspace.catalog.tiles.mosaics()
    return {one.mosaic_id: names[one.flight_id] for one in mosaics if one.flight_id in names}


def _probability(line: ChangeVersion, language: str) -> str:
    if line.probability is not None:
        return replace_no_break_spaces(format_percent(100.0 * line.probability).in_language(language))
    return NO_SCORE_REASONS[line.no_score].in_language(language) if line.no_score else ""


def _pictures(shown: str, flights: Mapping[str, str], language: str) -> str:
    one = parse_image_reference(shown)
    return one.shown if one.revision is None else flights.get(one.source, _GONE.in_language(language))
