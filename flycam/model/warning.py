"""Warnings shown with a flight's map, as codes and as sentences for people.

The catalogue keeps a warning as `code` or `code?name=value&…`, and it is formatted when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from string import Formatter
from urllib.parse import parse_qsl, urlencode

from flycam.messages import Message, _, ngettext, verbatim

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

    A translation of {name} may take {name_vi}, the same value in Vietnamese, of a value that was a message.
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
        brief=_("{film}: frames were placed before the clocks of video and log were known, ± {sigma} s"),
        sentence=_(
            "{film}: frames were placed while the offset between the clocks of video and "
            "log was unknown (± {sigma} s): they may be displaced by {metres} m along the "
            "course; run 'flycam finish' on this flight."
        ),
    ),
    LOG_DOUBTFUL: WarningText(
        brief=_("{film}: {log} may be of another video"),
        sentence=_(
            "{film}: {log} may not be of this video: {why}. Check it; if it is not, give the "
            "video to 'flycam live' again with its own log: it is reprocessed with that."
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
            "What masks cover (homes, victims) is left empty in this file for everyone; that "
            "ground was imaged."
        ),
    ),
    NO_TERRAIN: WarningText(
        brief=_("no terrain model, placed on a flat plane: slopes are misplaced"),
        sentence=_(
            "No terrain is registered here: the ground was taken as level, so slopes are misplaced by their "
            "height; add a DEM with 'flycam dem add' and give flycam the same photos or video again: they "
            "are reprocessed on it (frames of a live stream are not)."
        ),
        finished=_("no terrain model: beside the surface measured from the flight, placed on a flat plane"),
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
        brief=ngettext(
            "{frames} photo moved to the {after} layer",
            "{frames} photos moved to the {after} layer",
            1,
        ),
        sentence=ngettext(
            "{frames} photo moved from the {before} to the {after} layer: both maps were "
            "rebuilt from the photos; the former places are kept on record.",
            "{frames} photos moved from the {before} to the {after} layer: both maps were "
            "rebuilt from the photos; the former places are kept on record.",
            1,
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
            "{files}: has no height under {percent} % of the ground photographed, which "
            "stays empty on the map; add terrain of that place with 'flycam dem add' and "
            "ingest the photos again, or give the video to 'flycam live' again."
        ),
    ),
    SPACE_FREED: WarningText(
        brief=_("the disk is nearly full, {mb} MB were freed"),
        sentence=_(
            "The disk is nearly full: {tiles} old states of tiles, {clips} and {copies} were deleted, {mb} "
            "MB; all of it can be made again, originals and the map on show were not touched. See to a "
            "larger disk, or run 'flycam collect'."
        ),
    ),
    REPROCESSED: WarningText(
        brief=ngettext(
            "{frames} frame reprocessed on {files}",
            "{frames} frames reprocessed on {files}",
            1,
        ),
        sentence=ngettext(
            "{frames} frame reprocessed on {files}: heights and positions were determined "
            "again and the map was rebuilt from the photos; the old placements are kept on "
            "record.",
            "{frames} frames reprocessed on {files}: heights and positions were determined "
            "again and the map was rebuilt from the photos; the old placements are kept on "
            "record.",
            1,
        ),
    ),
    REPROCESSED_FLAT: WarningText(
        brief=ngettext(
            "{frames} frame reprocessed on a plane",
            "{frames} frames reprocessed on a plane",
            1,
        ),
        sentence=ngettext(
            "{frames} frame reprocessed on a plane at take-off height: positions were "
            "determined again and the map was rebuilt from the photos; the old placements "
            "are kept on record.",
            "{frames} frames reprocessed on a plane at take-off height: positions were "
            "determined again and the map was rebuilt from the photos; the old placements "
            "are kept on record.",
            1,
        ),
    ),
    FRAMES_SET_ASIDE: WarningText(
        brief=ngettext(
            "{frames} frame cannot be placed on the new terrain",
            "{frames} frames cannot be placed on the new terrain",
            1,
        ),
        sentence=ngettext(
            "{names}: cannot be placed on the terrain that is known, so {frames} frame is "
            "off the map; add terrain of that place with 'flycam dem add' and ingest again.",
            "{names}: cannot be placed on the terrain that is known, so {frames} frames "
            "are off the map; add terrain of that place with 'flycam dem add' and ingest "
            "again.",
            1,
        ),
    ),
    TERRAIN_WAITS: WarningText(
        brief=_("there is newer terrain, not used yet"),
        sentence=ngettext(
            "{files}: knows {percent} % of the ground photographed and {lost} frame would leave the map, "
            "so the flight stays as it is; add terrain of the rest, or run again with --relay to "
            "reprocess it all the same.",
            "{files}: knows {percent} % of the ground photographed and {lost} frames would leave the "
            "map, so the flight stays as it is; add terrain of the rest, or run again with --relay to "
            "reprocess it all the same.",
            1,
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
        brief=ngettext(
            "rolling-shutter readout of {frames} photo unknown, not taken into account",
            "rolling-shutter readout of {frames} photos unknown, not taken into account",
            1,
        ),
        sentence=ngettext(
            "The rolling-shutter readout of {frames} photo is not known and was not taken "
            "into account: in fast flight their first and last rows may be displaced along "
            "the course; if you know it, write readout_s into a camera file (0 for a "
            "mechanical shutter), ingest again with --camera FILE --relay and run 'flycam "
            "finish' again.",
            "The rolling-shutter readout of {frames} photos is not known and was not taken "
            "into account: in fast flight their first and last rows may be displaced along "
            "the course; if you know it, write readout_s into a camera file (0 for a "
            "mechanical shutter), ingest again with --camera FILE --relay and run 'flycam "
            "finish' again.",
            1,
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
        brief=ngettext(
            "{frames} photo stays in place",
            "{frames} photos stay in place",
            1,
        ),
        sentence=ngettext(
            "{options}: {frames} photo is on the map already and stays as it was placed; "
            "run the same command with --relay to reprocess it with it.",
            "{options}: {frames} photos are on the map already and stay as they were "
            "placed; run the same command with --relay to reprocess them with it.",
            1,
        ),
    ),
    WITHDRAWN: WarningText(
        brief=ngettext(
            "{frames} photo is withdrawn",
            "{frames} photos are withdrawn",
            1,
        ),
        sentence=ngettext(
            "{frames} photo was withdrawn and will not be processed again: {reason} "
            "({authority}, {at}); a withdrawal is never undone.",
            "{frames} photos were withdrawn and will not be processed again: {reason} "
            "({authority}, {at}); a withdrawal is never undone.",
            1,
        ),
    ),
    ORIGINALS_PURGED: WarningText(
        brief=ngettext(
            "{frames} original was deleted under the retention term",
            "{frames} originals were deleted under the retention term",
            1,
        ),
        sentence=ngettext(
            "{frames} photo was deleted under the retention term on {day} by {authority} "
            "({box}): the map stays, and it is not stored again; to keep it, ask an "
            "administrator: 'flycam retention lift', then 'flycam verify --from CARD'.",
            "{frames} photos were deleted under the retention term on {day} by {authority} "
            "({box}): the map stays, and they are not stored again; to keep them, ask an "
            "administrator: 'flycam retention lift', then 'flycam verify --from CARD'.",
            1,
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
        brief=ngettext(
            "{tiles} lost or damaged tile made again",
            "{tiles} lost or damaged tiles made again",
            1,
        ),
        sentence=ngettext(
            "{tiles} tile that was lost or damaged in the store was made again from the photos.",
            "{tiles} tiles that were lost or damaged in the store were made again from the photos.",
            1,
        ),
    ),
    ORIGINALS_ADDED: WarningText(
        brief=ngettext(
            "{photos} photo that was not in the store is kept now",
            "{photos} photos that were not in the store are kept now",
            1,
        ),
        sentence=ngettext(
            "{photos} photo is on the map, but this data folder did not have it (lost, or "
            "on another node alone): it is kept here now.",
            "{photos} photos are on the map, but this data folder did not have them (lost, "
            "or on another node alone): they are kept here now.",
            1,
        ),
    ),
    COMPLETED: WarningText(
        brief=_("an interrupted ingest was completed"),
        sentence=ngettext(
            "An earlier ingest was interrupted when {frames} photo was recorded; the flight is complete now.",
            "An earlier ingest was interrupted when {frames} photos were recorded; the flight is complete "
            "now.",
            1,
        ),
    ),
}

_COUNTS = ("frames", "photos", "tiles", "lost")
"""Values by which a warning with a plural is counted; it has one of them."""

_COUNTED_NOUNS: Mapping[str, Message] = {
    "clips": ngettext("{count} old clip", "{count} old clips", 1),
    "copies": ngettext("{count} local copy", "{count} local copies", 1),
}
"""Values that are written with their noun."""


def encode_warning(code: str, **values: object) -> str:
    """Encode a warning for the catalogue.

    A value that is a message is kept in both languages.

    Raises KeyError for a code without words, or a missing value.
    """
    kept: dict[str, str] = {}
    for name, value in values.items():
        kept |= value.to_fields(name) if isinstance(value, Message) else {name: str(value)}
    _WORDS[code].sentence.text.format_map(kept)
    return f"{code}?{urlencode(kept)}" if kept else code


def describe_warning(encoded: str) -> Message:
    """Return the full sentence.

    Text of no known code is returned unchanged; a value that a node of another version did not give becomes
    an ellipsis.
    """
    words, values = _read(encoded)
    return verbatim(encoded) if words is None else _fill(words.sentence, values)


def describe_warning_briefly(encoded: str, *, finished: bool = False) -> Message:
    """Return a few words for the map itself, live or finished.

    Text that is no known code is returned unchanged.
    """
    words, values = _read(encoded)
    if words is None:
        return verbatim(encoded)
    return _fill((finished and words.finished) or words.brief, values)


def parse_warning_code(encoded: str) -> str | None:
    """Return the stable code; None for text that is no known code."""
    code = encoded.partition("?")[0]
    return code if code in _WORDS else None


def _read(encoded: str) -> tuple[WarningText | None, dict[str, str]]:
    code, __, query = encoded.partition("?")
    return _WORDS.get(code), dict(parse_qsl(query, keep_blank_values=True))


def _fill(message: Message, values: Mapping[str, str]) -> Message:
    """Return the message with its values, counted by the one of `_COUNTS` that it has."""
    templates = message.text, message.template("vi")
    names = {field[1] for one in templates for field in Formatter().parse(one) if field[1] is not None}
    count = next((_to_count(values[name]) for name in _COUNTS if name in values), 0)
    named_values = {name: _name_count(name, values.get(name, "…")) for name in names}
    return replace(message, values=named_values, count=count)


def _name_count(name: str, value: str) -> str | Message:
    noun = _COUNTED_NOUNS.get(name)
    return value if noun is None else replace(noun, values={"count": value}, count=_to_count(value))


def _to_count(text: str) -> int:
    return int(text) if text.isdecimal() else 0


# -- Warnings that a video may be misplaced: by its clock, or by the log of another ----------------


_ID_DIGITS = 16


def is_clock_warning(encoded: str, film_id: str) -> bool:
    """Return True if a warning states that the clock of this video is unknown."""
    return _is_of_film(encoded, (CLOCK_UNKNOWN, CLOCK_UNKNOWN_LIVE), film_id)


def is_video_warning(encoded: str, film_id: str) -> bool:
    """Return True for a clock warning, or one that the log may be of another video.

    Such a video may be placed better one day.
    """
    codes = (CLOCK_UNKNOWN, CLOCK_UNKNOWN_LIVE, LOG_DOUBTFUL, LOG_DOUBTFUL_LIVE)
    return _is_of_film(encoded, codes, film_id)


def _is_of_film(encoded: str, codes: tuple[str, ...], film_id: str) -> bool:
    code, __, query = encoded.partition("?")
    return code in codes and dict(parse_qsl(query)).get("of") == film_id[:_ID_DIGITS]


def format_clock_warning(
    film: str, film_id: str, sigma_s: float, metres: int, *, is_stream: bool = False
) -> str:
    """Encode the warning that a video's clock is, or was for some frames, not known.

    film, film_id    the video's name and its hash
    sigma_s, metres  1-sigma of the clock offset, and what it is on the ground
    is_stream        it is a live stream: it does not come again, and has its flight's name
    """
    code = CLOCK_UNKNOWN_LIVE if is_stream else CLOCK_UNKNOWN
    return encode_warning(code, film=film, of=film_id[:_ID_DIGITS], sigma=f"{sigma_s:.1f}", metres=metres)


def format_log_warning(film: str, film_id: str, log: str, why: Message, *, is_stream: bool = False) -> str:
    """Encode the warning that a log may be of another video, with the reason.

    film, film_id  the video's name and its hash
    is_stream      it is a live stream: it does not come again
    """
    code = LOG_DOUBTFUL_LIVE if is_stream else LOG_DOUBTFUL
    return encode_warning(code, film=film, of=film_id[:_ID_DIGITS], log=log, why=why)
