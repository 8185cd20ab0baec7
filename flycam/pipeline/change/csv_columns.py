"""Columns for people in a table of confirmed changes.

They come first, in the reader's language, with names instead of ids and times of Vietnam. Columns for
programs follow and are never translated.
"""

from __future__ import annotations

from collections.abc import Mapping

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.image_reference import parse_image_reference
from flycam.frame.timestamp import format_minute
from flycam.pipeline.change.change_outlines import estimate_area_error
from flycam.pipeline.workspace import Workspace
from flycam.report.change_names import CHANGE_KIND_NAMES, NO_SCORE_REASONS
from flycam.report.number_format import format_area_with_sigma, format_percent, replace_no_break_spaces

BilingualText = tuple[str, str]
"""Vietnamese, English."""

_HEAD: tuple[BilingualText, ...] = (
    ("Loại thay đổi", "Kind of change"),
    ("Diện tích", "Size"),
    ("Xã, phường", "Commune or ward"),
    ("Xác suất", "Probability"),
    ("Ảnh trước", "Picture before"),
    ("Ảnh trước chụp lúc (UTC+7)", "Taken before (UTC+7)"),
    ("Ảnh sau", "Picture after"),
    ("Ảnh sau chụp lúc (UTC+7)", "Taken after (UTC+7)"),
    ("Người xác nhận", "Confirmed by"),
    ("Xác nhận lúc (UTC+7)", "Confirmed (UTC+7)"),
)
_BEYOND: BilingualText = ("ngoài ranh giới đã biết", "outside of known boundaries")
_GONE: BilingualText = ("chuyến bay không còn ở đây", "a flight that is not here")


def list_column_names(language: str) -> list[str]:
    """Return the column names; none equals that of a program's column in any case."""
    return [said[_which(language)] for said in _HEAD]


def format_cells(
    line: ChangeVersion,
    decided: tuple[str, int],
    dates_ns: tuple[int | None, int | None],
    commune: str,
    flights: Mapping[str, str],
    language: str,
) -> list[str]:
    """Return a change's cells under `list_column_names`; empty where not known.

    decided   who confirmed it and when, UTC nanoseconds
    dates_ns  when its two images were taken
    commune   its name, "" outside of all boundaries
    flights   their names, by the ids of their mosaics
    """
    which = _which(language)
    before, after = (_pictures(shown, flights, which) for shown in (line.before_shown, line.after_shown))
    taken_before, taken_after = ("" if at_ns is None else format_minute(at_ns) for at_ns in dates_ns)
    return [
        CHANGE_KIND_NAMES[line.kind][which],
        replace_no_break_spaces(format_area_with_sigma(line.area_m2, estimate_area_error(line), language)),
        commune or _BEYOND[which],
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
        return replace_no_break_spaces(format_percent(100.0 * line.probability, language))
    return NO_SCORE_REASONS[line.no_score][_which(language)] if line.no_score else ""


def _pictures(shown: str, flights: Mapping[str, str], which: int) -> str:
    one = parse_image_reference(shown)
    return one.shown if one.revision is None else flights.get(one.source, _GONE[which])


def _which(language: str) -> int:
    return 0 if language == "vi" else 1
