"""Warnings to be shown with a flight's map, as codes in the catalogue and as sentences for people.

A warning is kept as `code` or `code?name=value&…`, and is formatted when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from flycam.frame.pluralization import correct_singular
from flycam.messages import Message, _

NO_TERRAIN = "no_terrain"
TERRAIN_HOLES = "terrain_holes"
REPROCESSED = "relaid"
REPROCESSED_FLAT = "relaid_flat"
FRAMES_SET_ASIDE = "set_aside_frames"
TERRAIN_WAITS = "terrain_waits"
GSD_KEPT = "gsd_kept"
FINER_PHOTOS = "finer_photos"
EVENT_KEPT = "event_kept"
EVENT_CHOSEN = "event_chosen"
NAME_KEPT = "name_kept"
OPTIONS_IGNORED = "laid_as_before"
WITHDRAWN = "withdrawn"
ORIGINALS_PURGED = "let_go"
TILES_REPAIRED = "mended"
ORIGINALS_ADDED = "kept_now"
COMPLETED = "completed"
FINISHED_OLDER = "finished_older"
MAYBE_INFRARED = "maybe_infrared"
CRS_OUTSIDE = "crs_outside"
CRS_ACCURACY = "crs_accuracy"
LAYER_MOVED = "layer_moved"
READOUT_UNKNOWN = "readout_unknown"
BOUNDARIES_LATER = "boundaries_later"
SPACE_FREED = "room_made"
CLOCK_UNKNOWN = "clock_unknown"
CLOCK_UNKNOWN_LIVE = "clock_unknown_live"
LOG_DOUBTFUL = "log_doubted"
LOG_DOUBTFUL_LIVE = "log_doubted_live"
MASKS_COVERED = "masks_covered"


@dataclass(frozen=True, slots=True)
class WarningText:
    """Texts of one warning.

    brief     fits on the map
    sentence  its meaning and the remedy
    finished  `brief` for a finished revision, where that needs other words

    A translation of {name} may take {name_vi}, the same value in Vietnamese, where one is kept beside it.
    """

    brief: Message
    sentence: Message
    finished: Message | None = None


_WORDS: Mapping[str, WarningText] = {
    CLOCK_UNKNOWN: WarningText(
        brief=_("{film}: clocks of video and log differ by an unknown time, ± {sigma} s"),
        sentence=_(
            "{film}: the pictures' motion does not tell how far the clocks of video and log lie apart "
            "(± {sigma} s): frames may lie {metres} m off along the course; give the difference with "
            "--clock-offset."
        ),
    ),
    CLOCK_UNKNOWN_LIVE: WarningText(
        brief=_("{film}: frames were laid before the clocks of video and log were known, ± {sigma} s"),
        sentence=_(
            "{film}: frames were laid while it was not known how far the clocks of video and log lie "
            "apart (± {sigma} s): they may lie {metres} m off along the course; run 'flycam finish' on "
            "this flight."
        ),
    ),
    LOG_DOUBTFUL: WarningText(
        brief=_("{film}: {log} may be of another film"),
        sentence=_(
            "{film}: {log} may not be of this film: {why}. Check it; if it is not, give the film to "
            "'flycam live' again with its own log: it is laid anew by that."
        ),
    ),
    LOG_DOUBTFUL_LIVE: WarningText(
        brief=_("{film}: the telemetry {log} may be of another aircraft"),
        sentence=_(
            "{film}: the telemetry {log} may be of another aircraft: {why}. Its pictures may lie in "
            "the wrong place: check the addresses given; if they were mixed up, take the flight off "
            "the map with 'flycam withdraw'."
        ),
    ),
    MASKS_COVERED: WarningText(
        brief=_("masks are covered"),
        sentence=_(
            "What masks cover (homes, victims) is left empty in this file, whoever made it: it is not "
            "ground that was not imaged."
        ),
    ),
    NO_TERRAIN: WarningText(
        brief=_("no terrain model, laid on a flat plane: slopes are misplaced"),
        sentence=_(
            "No terrain is registered here: the ground was taken as a plane at take-off height, so "
            "slopes are misplaced by their height; add a DEM with 'flycam dem add' and ingest the "
            "photos again, or give the film to 'flycam live' again: they are laid anew on it (what "
            "came from a live stream is not)."
        ),
        finished=_("no terrain model: beside the surface measured from the flight, laid on a flat plane"),
    ),
    MAYBE_INFRARED: WarningText(
        brief=_("may be near-infrared: the colours on the map may not be real ones"),
        sentence=_(
            "The camera of this flight ({camera}) is carried with a colour or a near-infrared filter, "
            "and no tag says which: its photos are taken as colour. If plants look red or violet they "
            "are near-infrared: ingest them again with --layer infrared, which moves them to that "
            "layer."
        ),
    ),
    LAYER_MOVED: WarningText(
        brief=_("{frames} photos moved to the {after} layer"),
        sentence=_(
            "{frames} photos moved from the {before} to the {after} layer: both maps were folded anew "
            "from the photos; where they lay before is kept on record."
        ),
    ),
    CRS_OUTSIDE: WarningText(
        brief=_("{crs} is not meant for this place"),
        sentence=_(
            "--crs {crs}: this system holds for {zone}, and the flight lies at {place}; the file is "
            "written all the same, but lengths and areas measured on it may be wrong; {fitting} fits "
            "here."
        ),
    ),
    CRS_ACCURACY: WarningText(
        brief=_("{crs} is reached to about {accuracy} m only"),
        sentence=_(
            "--crs {crs}: this system is reached from WGS 84 to about {accuracy} m here, for want of a "
            "better transformation: coordinates read from the file are off by as much."
        ),
    ),
    TERRAIN_HOLES: WarningText(
        brief=_("{percent} % of the ground photographed has no height and stays empty"),
        sentence=_(
            "{files}: has no height under {percent} % of the ground photographed, which stays empty on "
            "the map; add terrain of that place with 'flycam dem add' and ingest the photos again, or "
            "give the film to 'flycam live' again."
        ),
    ),
    SPACE_FREED: WarningText(
        brief=_("the disk is nearly full, {mb} MB were freed"),
        sentence=_(
            "The disk is nearly full: {tiles} old states of tiles, {clips} old clips and {copies} "
            "local copies were deleted, {mb} MB; all of it can be made again, originals and the map on "
            "show were not touched. See to a larger disk, or run 'flycam collect'."
        ),
    ),
    REPROCESSED: WarningText(
        brief=_("{frames} frames re-laid on {files}"),
        sentence=_(
            "{frames} frames re-laid on {files}: heights and positions were settled again and the map "
            "was folded anew from the photos; the old placements are kept on record."
        ),
    ),
    REPROCESSED_FLAT: WarningText(
        brief=_("{frames} frames re-laid on a plane"),
        sentence=_(
            "{frames} frames re-laid on a plane at take-off height: positions were settled again and "
            "the map was folded anew from the photos; the old placements are kept on record."
        ),
    ),
    FRAMES_SET_ASIDE: WarningText(
        brief=_("{frames} frames cannot be laid on the new terrain"),
        sentence=_(
            "{names}: cannot be laid on the terrain that is known, so {frames} frames are off the map; "
            "add terrain of that place with 'flycam dem add' and ingest again."
        ),
    ),
    TERRAIN_WAITS: WarningText(
        brief=_("there is newer terrain, not used yet"),
        sentence=_(
            "{files}: knows {percent} % of the ground photographed and {lost} frames would leave the "
            "map, so the flight stays as it lies; add terrain of the rest, or run again with --relay "
            "to lay it there all the same."
        ),
    ),
    BOUNDARIES_LATER: WarningText(
        brief=_("commune boundaries of {since}, later than the flight"),
        sentence=_(
            "No commune boundaries are recorded for the day of the flight ({day}): those in force from "
            "{since} are used; if you have boundaries of that day, add them with 'flycam communes add "
            "FILE --valid-from DATE' and ingest the photos again."
        ),
    ),
    READOUT_UNKNOWN: WarningText(
        brief=_("rolling-shutter readout of {frames} photos unknown, not taken into account"),
        sentence=_(
            "The rolling-shutter readout of {frames} photos is not known and was not taken into "
            "account: in fast flight their first and last rows may lie off along the course; if you "
            "know it, write readout_s into a camera file (0 for a mechanical shutter), ingest again "
            "with --camera FILE --relay and run 'flycam finish' again."
        ),
    ),
    GSD_KEPT: WarningText(
        brief=_("GSD stays {kept} m"),
        sentence=_(
            "--gsd {asked}: ignored, for this flight is on the map at {kept} m already; use 'flycam "
            "export --gsd', or ingest into a new data folder (--data)."
        ),
    ),
    FINER_PHOTOS: WarningText(
        brief=_("photos finer than this map ({photos} m against {kept} m)"),
        sentence=_(
            "The photos resolve {photos} m, but the flight's live map stays at {kept} m; 'flycam "
            "finish --gsd {photos}' shows them sharper."
        ),
    ),
    EVENT_KEPT: WarningText(
        brief=_("stays in the event {kept}"),
        sentence=_(
            "--event {asked}: ignored, for this flight is on the map in the event {kept} already; to "
            "have it in another, use 'flycam flights move'."
        ),
    ),
    EVENT_CHOSEN: WarningText(
        brief=_("in the event {event}"),
        sentence=_(
            "No event was named: the flight is in {event}, the only one that is open and was flown "
            "within 3 days of it; to have it in another, use 'flycam flights move'."
        ),
    ),
    NAME_KEPT: WarningText(
        brief=_("is still called {kept}"),
        sentence=_(
            "Name {asked}: ignored, for this flight is on the map as {kept} already; to call it "
            "otherwise, use 'flycam flights rename'."
        ),
    ),
    OPTIONS_IGNORED: WarningText(
        brief=_("{frames} photos stay as they lay"),
        sentence=_(
            "{options}: {frames} photos are on the map already and stay as they were laid; run the "
            "same command with --relay to lay them again by it."
        ),
    ),
    WITHDRAWN: WarningText(
        brief=_("{frames} photos are withdrawn"),
        sentence=_(
            "{frames} photos were withdrawn and will not be laid again: {reason} ({authority}, {at}); "
            "a withdrawal is never undone."
        ),
    ),
    ORIGINALS_PURGED: WarningText(
        brief=_("{frames} originals were let go under the retention term"),
        sentence=_(
            "{frames} photos were let go under the retention term on {day} by {authority} ({box}): the "
            "map stays, and they are not kept anew; to keep them, ask an administrator: 'flycam "
            "retention lift', then 'flycam verify --from CARD'."
        ),
    ),
    FINISHED_OLDER: WarningText(
        brief=_("the finished revision has the placements before"),
        sentence=_(
            "Finished revision {revision}, which is on show, was made from the placements before; run "
            "'flycam finish' again for a new one."
        ),
    ),
    TILES_REPAIRED: WarningText(
        brief=_("{tiles} lost or damaged tiles made again"),
        sentence=_("{tiles} tiles that were lost or damaged in the store were made again from the photos."),
    ),
    ORIGINALS_ADDED: WarningText(
        brief=_("{photos} photos that were not in the store are kept now"),
        sentence=_(
            "{photos} photos are on the map, but this house did not have them (lost, or on another box "
            "alone): they are kept here now."
        ),
    ),
    COMPLETED: WarningText(
        brief=_("an interrupted ingest was completed"),
        sentence=_(
            "An earlier ingest was interrupted when {frames} photos were recorded; the flight is "
            "complete now."
        ),
    ),
}


def encode_warning(code: str, **values: object) -> str:
    """Encode a warning for the catalogue.

    Raises KeyError for a code without words, or a missing value.
    """
    kept = {name: str(value) for name, value in values.items()}
    _WORDS[code].sentence.text.format_map(kept)
    return f"{code}?{urlencode(kept)}" if kept else code


def format_warning(kept: str, language: str = "en") -> str:
    """Format the full sentence in "vi" or "en".

    Text that is no known code is returned unchanged; a value that a node of another version did not give
    becomes an ellipsis.
    """
    words, values = _read(kept)
    return kept if words is None else _in_language(words.sentence, values, language)


def format_brief_warning(kept: str, language: str = "en", *, finished: bool = False) -> str:
    """Format a few words for the map itself, live or finished.

    Text that is no known code is returned unchanged.
    """
    words, values = _read(kept)
    if words is None:
        return kept
    return _in_language((finished and words.finished) or words.brief, values, language)


def parse_warning_code(kept: str) -> str | None:
    """Return the stable code; None for text that is no known code."""
    code = kept.partition("?")[0]
    return code if code in _WORDS else None


class _WarningValues(dict[str, str]):
    """Values by name; a missing one becomes an ellipsis."""

    def __missing__(self, name: str) -> str:
        return "…"


def _read(kept: str) -> tuple[WarningText | None, _WarningValues]:
    code, __, query = kept.partition("?")
    return _WORDS.get(code), _WarningValues(parse_qsl(query, keep_blank_values=True))


def _in_language(message: Message, values: _WarningValues, language: str) -> str:
    said = message.template(language).format_map(values)
    return correct_singular(said) if language == "en" else said
