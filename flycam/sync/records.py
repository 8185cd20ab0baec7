"""Records of one flight as nodes exchange them, whole or as a delta, and their import.

Records are zstd(JSON of `FlightRecords`), by `flycam.sync.exchange`. What the catalogue could not hold, or
what names another flight, is refused before it gets there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely

from flycam.catalog.access import RedactionFootprint, RedactionRecord
from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import derive_placement_id, is_on_terrain, to_placement, was_orthorectified
from flycam.catalog.retention import HoldRecord, PurgeRecord
from flycam.errors import CrsMissing, NameTaken, NotFound, SourceUnreadable
from flycam.geodata.crs import describe_crs
from flycam.geometry.grid import MAX_ZOOM, TileId
from flycam.messages import Message, _
from flycam.model.access import MAX_CORNERS, HoldStep, PurgeStep, RedactionStep
from flycam.model.flight import (
    Classification,
    Event,
    Flight,
    FlightState,
    derive_live_mosaic_id,
    find_strictest,
    is_flat_datum,
)
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo, Placement, Withdrawal
from flycam.model.text import has_glyphs, is_printable, to_visible
from flycam.model.warning import NO_TERRAIN, parse_warning_code
from flycam.mosaic.orthorectify.rebuild import collect_amendments
from flycam.storage.files import decompress_bounded
from flycam.sync.exchange import (
    DECODE_ERRORS,
    compress,
    decompress_values,
    encode_json,
    from_values,
    require_hex_digits,
    require_key_segment,
    require_text,
    to_values,
)
from flycam.workspace import Workspace

_MAX_LETTERS = 500  # of a name or a reason
_MAX_WORK_CRS = 16
"""Of one flight, which has one: each is set up in PROJ, and a name a frame would take minutes."""
_MAX_LAT_DEG = 85.06
"""The map's edge: beyond it Web Mercator goes to infinity."""
_MAX_FRAME_TILES = 1 << 18
"""Base tiles around one frame, which are gone through one by one; oblique ones at a fine zoom lie on some ten
thousand."""
_MAX_WARNINGS, _MAX_WARNING_CHARS = 1000, 4 << 20  # one may name every photo
# values are bounded before JSON is parsed: 6 KB of zstd had become 1.8 GB of memory (decision 0021)
MAX_RECORDS_BYTES, MAX_RECORDS_VALUES = 1 << 27, 4_500_000
"""Of one flight's records, decompressed: 30,000 frames, each 3.5 kB and 109 values as in exercises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightRecords:
    """All records of one flight but its tiles.

    mosaics         the live ones, one a layer
    classification  how widely the sending node allows it to be shown
    redactions      every version of the redactions on its photos
    holds           every version of retention holds on it or its event
    purges          every record of its purged originals
    """

    event: Event
    flight: Flight
    mosaics: tuple[MosaicInfo, ...]
    frames: tuple[FrameRecord, ...]
    placements: tuple[Placement, ...]
    withdrawals: tuple[Withdrawal, ...]
    classification: Classification = Classification.OPEN
    redactions: tuple[RedactionRecord, ...] = ()
    holds: tuple[HoldRecord, ...] = ()
    purges: tuple[PurgeRecord, ...] = ()


def read_flight_records(catalog: Catalog, flight: Flight) -> FlightRecords:
    """Read a flight's records from the catalogue."""
    flight_id = flight.flight_id
    return FlightRecords(
        event=catalog.flights.event(flight.event_id),
        flight=flight,
        mosaics=tuple(one for one in catalog.tiles.mosaics(flight_id) if one.revision == 0),
        frames=tuple(catalog.frames.list_for_flight(flight_id)),
        placements=tuple(catalog.placements.list_for_flight(flight_id)),
        withdrawals=tuple(catalog.frames.withdrawals(flight_id)),
        classification=catalog.restrictions.level(flight_id),
        redactions=tuple(catalog.redactions.list_for_flight(flight_id)),
        holds=tuple(catalog.retention.holds([flight_id, flight.event_id])),
        purges=tuple(catalog.retention.list_for_flight(flight_id)),
    )


def encode_flight_records(records: FlightRecords) -> bytes:
    """Encode records as compressed canonical JSON: the same records, the same bytes."""
    return compress(encode_json(to_values(records)))


def decode_flight_records(data: bytes, place: str) -> FlightRecords:
    """Decode records; SourceUnreadable, naming `place` (the file), for anything else."""
    return parse_flight_records(decode_record_values(data, place), place)


def decode_record_values(data: bytes, place: str) -> Any:
    """Decompress and parse the JSON of records, not validated.

    SourceUnreadable for anything else.
    """
    with _translate_read_errors(place):
        return decompress_values(data, MAX_RECORDS_BYTES, MAX_RECORDS_VALUES)


def parse_flight_records(values: Any, place: str) -> FlightRecords:
    """Parse and validate `decode_record_values`' result; SourceUnreadable if invalid."""
    with _translate_read_errors(place):
        records = from_values(FlightRecords, values)
        _require_one_flight(records)
        _require_safe_ids(records)
        _require_on_map(records)
        _require_work_crs(records)
        _require_bounded_texts(records)
        require_valid_redactions(records.redactions)
        return replace(
            records,
            event=replace(records.event, name=_to_shown_name(records.event.name, records.event.event_id)),
            flight=replace(
                records.flight, name=_to_shown_name(records.flight.name, records.flight.flight_id)
            ),
        )


def _to_shown_name(name: str, ref: str) -> str:
    """Return a name that the map can show: of one that draws nothing its escapes, of spaces alone the id."""
    return to_visible(name) if name.strip() else ref


@contextmanager
def _translate_read_errors(place: str) -> Iterator[None]:
    """Raise SourceUnreadable, naming `place`, for any error of reading."""
    try:
        yield
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _(
                "{place}: what it says of a flight does not read ({name}: {error}); bring both "
                "nodes to the same version and write it again",
                place=place,
                name=type(error).__name__,
                error=error,
            )
        ) from error


def _require_one_flight(records: FlightRecords) -> None:
    flight_id = records.flight.flight_id
    several = {
        *(one.flight_id for one in records.mosaics),
        *(one.flight_id for one in records.frames),
        *(one.flight_id for one in records.placements),
        *(one.flight_id for one in records.purges),
    } - {flight_id}
    if several:
        raise ValueError(f"records of {flight_id} name {sorted(several)[0]}")
    if any(one.revision != 0 for one in records.mosaics):
        raise ValueError(f"records of {flight_id} name a finished revision")
    if records.event.event_id != records.flight.event_id:
        raise ValueError(f"records of {flight_id} bring another event")
    if {one.subject for one in records.holds} - {flight_id, records.event.event_id}:
        raise ValueError(f"records of {flight_id} hold another flight")
    photos = {one.frame_id for one in records.frames}
    if not photos.issuperset(one.frame_id for one in records.redactions):
        raise ValueError(f"records of {flight_id} mask a photo of another flight")


def _require_safe_ids(records: FlightRecords) -> None:
    """Raise ValueError for ids unfit for keys and folder names.

    Garbage collection deletes whatever is under a flight's id.
    """
    for one in (
        records.event.event_id,
        records.flight.flight_id,
        *(mosaic.mosaic_id for mosaic in records.mosaics),
        *(frame.frame_id for frame in records.frames),
        *(placement.frame_id for placement in records.placements),
        *(withdrawal.frame_id for withdrawal in records.withdrawals),
        *(withdrawal.flight_id for withdrawal in records.withdrawals),
        *(frame.dem_id for frame in records.frames if frame.dem_id),
        *(placement.dem_id for placement in records.placements if placement.dem_id),
    ):
        require_key_segment(one)
    for record in records.frames:
        if record.header.provenance.source_sha256:
            require_hex_digits(record.header.provenance.source_sha256, 64)
    for purge in records.purges:
        require_hex_digits(purge.sha256, 64)


def _require_on_map(records: FlightRecords) -> None:
    """Raise ValueError for zooms, places and tiles of no map, and for a frame on more tiles than it shows."""
    for mosaic in records.mosaics:
        if not 0 <= mosaic.min_zoom <= mosaic.base_zoom <= MAX_ZOOM:
            raise ValueError(f"{mosaic.mosaic_id} has zooms {mosaic.min_zoom} to {mosaic.base_zoom}")
    west, south, east, north = records.flight.bounds_lonlat_deg or (0.0, 0.0, 0.0, 0.0)
    placed: list[FrameRecord | Placement] = [*records.frames, *records.placements]
    footprints = shapely.from_wkb([one.footprint_wkb for one in placed if one.footprint_wkb is not None])
    places = np.array([(west, south), (east, north), *shapely.get_coordinates(footprints)])
    if west > east or south > north or not (np.abs(places) <= (180.0, _MAX_LAT_DEG)).all():
        raise ValueError(f"{records.flight.flight_id} lies beyond the map's edge")
    for one in placed:
        if one.tiles is None:
            continue
        tiles = one.tiles
        spans = (tiles.x_start, tiles.x_stop), (tiles.y_start, tiles.y_stop)
        is_on_map = 0 <= tiles.z <= MAX_ZOOM and all(
            0 <= start <= stop <= 1 << tiles.z for start, stop in spans
        )
        if not is_on_map or len(tiles) > _MAX_FRAME_TILES:
            raise ValueError(f"{one.frame_id} lies on {tiles}")


def _require_work_crs(records: FlightRecords) -> None:
    """Raise ValueError for a work CRS that is none, or not in metres."""
    names = {records.flight.work_crs, *(one.header.exterior_prior.work_crs for one in records.frames)}
    names.update(one.exterior.work_crs for one in records.placements if one.exterior is not None)
    if len(names) > _MAX_WORK_CRS:
        raise ValueError(f"{records.flight.flight_id} has {len(names)} work CRS")
    for name in names:
        try:
            unit_m = describe_crs(name).unit_m
        except CrsMissing as error:
            raise ValueError(str(error)) from error
        if unit_m != 1.0:
            raise ValueError(f"{name:.80} is not in metres")


def _require_bounded_texts(records: FlightRecords) -> None:
    """Raise ValueError for more warnings than a flight has, and for texts without an end."""
    warnings = records.flight.warnings
    if len(warnings) > _MAX_WARNINGS or sum(map(len, warnings)) >= _MAX_WARNING_CHARS:
        raise ValueError(f"{len(warnings)} warnings")
    lines = [text for one in records.holds for text in (one.hold_id, one.reason, one.author)]
    lines += [text for one in records.purges for text in (one.act_id, one.author, one.box)]
    if not all(map(_is_single_line, lines)):
        raise ValueError("a hold, or a purge, that nobody made")
    if any(max(len(one.name), len(one.reason)) > _MAX_LETTERS for one in records.purges):
        raise ValueError("a purge has a name or a reason without an end")


def _is_single_line(words: str) -> bool:
    """Return True for bounded text of one line that shows something."""
    return len(words) <= _MAX_LETTERS and is_printable(words) and has_glyphs(words)


def require_valid_redactions(lines: Iterable[RedactionRecord]) -> None:
    """Raise ValueError for a shape that cannot have been drawn: it would fail later."""
    for line in lines:
        shape = shapely.from_wkb(line.wkb)
        if not (
            isinstance(shape, shapely.Polygon)
            and shape.is_valid
            and shape.area > 0.0
            and not shape.interiors
            and len(shape.exterior.coords) <= MAX_CORNERS + 1
            and min(shape.bounds) >= 0.0
        ):
            raise ValueError(f"{line.mask_id} is no mask")


def require_valid_redaction_grounds(
    grounds: Iterable[RedactionFootprint], lines: Collection[RedactionRecord]
) -> None:
    """Raise ValueError for invalid ground, or ground of none of these redactions."""
    known = {one.line_id for one in lines}
    for one in grounds:
        shape = shapely.from_wkb(one.wkb)
        if shape.geom_type not in ("Polygon", "MultiPolygon") or not shape.is_valid:
            raise ValueError(f"{one.line_id} has ground that is none")
        if one.line_id not in known:
            raise ValueError(f"{one.line_id} has ground and is no mask")


# -- Records of a flight as a delta to earlier ones, such as its new frames ------------------------
#
#     zstd(JSON)   base    SHA-256 of the earlier records
#                  pieces  the new records in order: [first, count] of the base's pieces, or text
#
# Pieces are what is between `,"` in the records' canonical JSON: one value each. The receiver compresses the
# records as `encode_flight_records` does, and compares them with the SHA-256 that names them.


_BETWEEN = ',"'


def compute_record_delta(records: bytes, base: bytes) -> bytes:
    """Return the delta from `base` to `records`, both from `encode_flight_records`."""
    pieces = list(_find_runs(_split_pieces(records), _split_pieces(base)))
    return compress(encode_json({"base": hashlib.sha256(base).hexdigest(), "pieces": pieces}))


def apply_record_delta(delta: bytes, base_of: Callable[[str], bytes], place: str) -> bytes:
    """Return the records that a delta expands to, compressed.

    base_of  returns the earlier ones by SHA-256; what it raises is raised
    place    the file named in errors

    Raises SourceUnreadable for what is not a delta, or expands to more than records may be.
    """
    try:
        values = decompress_values(delta, MAX_RECORDS_BYTES, MAX_RECORDS_VALUES)
        old = _split_pieces(base_of(require_hex_digits(values["base"], 64)))
        return compress(_join_pieces(values["pieces"], old).encode())
    except DECODE_ERRORS as error:
        raise SourceUnreadable(
            _(
                "{place}: what it says is new of a flight does not read ({name}: {error}); "
                "bring both nodes to the same version",
                place=place,
                name=type(error).__name__,
                error=error,
            )
        ) from error


def _split_pieces(records: bytes) -> list[str]:
    return decompress_bounded(records, MAX_RECORDS_BYTES).decode().split(_BETWEEN)


def _find_runs(new: list[str], old: list[str]) -> Iterator[list[int] | str]:
    """Yield the new pieces as runs of old ones, from their first occurrence, or text."""
    at = {piece: number for number, piece in reversed(list(enumerate(old)))}
    first = count = 0
    for piece in new:
        if count and first + count < len(old) and old[first + count] == piece:
            count += 1
            continue
        if count:
            yield [first, count]
        first, count = at.get(piece, 0), int(piece in at)
        if not count:
            yield piece
    if count:
        yield [first, count]


def _join_pieces(pieces: Any, old: list[str]) -> str:
    """Join the pieces; ValueError if too large, TypeError for other pieces."""
    made: list[str] = []
    size = 0
    for piece in pieces:
        if isinstance(piece, str):
            some = [piece]
        else:
            first, count = piece
            if not 0 <= first < first + count <= len(old):
                raise ValueError(f"pieces {first} to {first + count} of {len(old)}")
            some = old[first : first + count]
        size += sum(map(len, some)) + len(_BETWEEN) * len(some)
        if size > MAX_RECORDS_BYTES:
            raise ValueError(f"{size} letters")
        made += some
    return _BETWEEN.join(made)


# -- Import of another node's flight records into the catalogue here -------------------------------


# -- Matching of another node's flight with one here -----------------------------------------------
#
# On each node a photo is in one flight. Two nodes that read one memory card at different times (half of it,
# all of it) made two flights of it; here they become one, as when a card is ingested again: the flight that
# holds one of the photos already. Where that is impossible, the flight is in conflict: only its withdrawals
# are imported.


_MAX_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightMatch:
    """A flight that is new here, or is merged into one here.

    records  under the flight's id here
    mosaics  id here of each of its live mosaics, by the peer's id
    """

    records: FlightRecords
    mosaics: Mapping[str, str]

    @property
    def flight_id(self) -> str:
        """The flight's id here."""
        return self.records.flight.flight_id


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightConflict:
    """A flight that cannot be merged with what is here, or does not read, and why.

    mosaics  the peer's ids of its mosaics, of which nothing is imported
    records  as received, but withdrawals under the flight here, so that they travel on with it; None if they
             do not read
    barred   flights here that hold its photos and for which the peer may not speak: nothing of it is imported
    """

    flight_id: str
    name: str
    sentence: Message
    mosaics: frozenset[str]
    records: FlightRecords | None = None
    barred: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, str]:
        """The report of it for answers and commands."""
        return {"flight_id": self.flight_id, "name": self.name, **self.sentence.to_fields()}


def match_flight(catalog: Catalog, received: FlightRecords, giver: str) -> FlightMatch | FlightConflict:
    """Return the flight here that a received one belongs to, or the conflict.

    giver  the peer that sends it, which may speak for some flights only
    """
    placed = [record.frame_id for record in received.frames if was_orthorectified(record)]
    holders = catalog.flights.find_by_frames(placed) | {received.flight.flight_id}
    here = [one for one in (find_flight_by_id(catalog, each) for each in sorted(holders)) if one is not None]
    target = here[0] if here else received.flight
    permissions = catalog.peers.find_permissions(giver, [one.flight_id for one in here])
    barred = tuple(one.flight_id for one in here if one.flight_id not in permissions)
    sentence = (
        _explain_barred(catalog, received, barred[0], giver)
        if barred
        else _explain_conflict(catalog, received, here)
    )
    if sentence is not None:
        withdrawals = tuple(replace(one, flight_id=target.flight_id) for one in received.withdrawals)
        return FlightConflict(
            flight_id=received.flight.flight_id,
            name=received.flight.name,
            sentence=sentence,
            mosaics=frozenset(one.mosaic_id for one in received.mosaics),
            records=replace(received, withdrawals=withdrawals),
            barred=barred,
        )
    mosaics = {one.mosaic_id: derive_live_mosaic_id(target.flight_id, one.layer) for one in received.mosaics}
    return FlightMatch(records=_relabel_records(received, target, mosaics), mosaics=mosaics)


def find_flight_by_id(catalog: Catalog, flight_id: str) -> Flight | None:
    """Return the flight with exactly this id, or None.

    `catalog.flights.flight` also finds by name, and a name may look like an id.
    """
    try:
        found = catalog.flights.flight(flight_id)
    except NotFound:
        return None
    return found if found.flight_id == flight_id else None


def _relabel_records(received: FlightRecords, target: Flight, mosaics: Mapping[str, str]) -> FlightRecords:
    """Return the records under the target flight's id.

    Withdrawals too, so that they travel on with it.
    """
    flight_id = target.flight_id
    return replace(
        received,
        flight=replace(received.flight, flight_id=flight_id),
        mosaics=tuple(
            replace(one, flight_id=flight_id, mosaic_id=mosaics[one.mosaic_id]) for one in received.mosaics
        ),
        frames=tuple(replace(one, flight_id=flight_id) for one in received.frames),
        placements=tuple(replace(one, flight_id=flight_id) for one in received.placements),
        withdrawals=tuple(replace(one, flight_id=flight_id) for one in received.withdrawals),
        purges=tuple(replace(one, flight_id=flight_id) for one in received.purges),
    )


def _explain_barred(catalog: Catalog, received: FlightRecords, flight_id: str, giver: str) -> Message:
    """Return why a peer may not speak for a flight, and who decides."""
    maker = catalog.peers.list_brought().get(flight_id)
    name = received.flight.name
    if maker is None:
        return _(
            "{name}: its photos were read in here, and not brought by {box}: nothing that {box} says of them "
            "is imported until somebody here allows it: flycam box allow {box} {flight_id}",
            name=name,
            box=giver,
            flight_id=flight_id,
        )
    return _(
        "{name}: {maker} brought its photos first: nothing that {box} says of them is imported until "
        "somebody here allows it: flycam box allow {box} {flight_id}",
        name=name,
        maker=maker,
        box=giver,
        flight_id=flight_id,
    )


def _explain_conflict(catalog: Catalog, received: FlightRecords, here: Sequence[Flight]) -> Message | None:
    """Return why a received flight cannot become one with those here; None if it can."""
    name = received.flight.name
    if len(here) > 1:
        return _(
            "{name}: its photos lie in {count} flights here ({names}), which cannot become one; it is "
            "not imported, except for what it withdraws: with an empty data folder (--data), read this "
            "node first and the others after it",
            name=name,
            count=len(here),
            names=", ".join(one.name for one in here[:_MAX_NAMES_SHOWN]),
        )
    for flight in here:
        if flight.work_crs != received.flight.work_crs:
            return _(
                "{name}: in {crs}, here in {crs_here}: they cannot be merged; it is not imported, except "
                "for what it withdraws: ingest its photos into an empty data folder (--data) with the "
                "same options as here, and share that",
                name=name,
                crs=received.flight.work_crs,
                crs_here=flight.work_crs,
            )
        live = {one.layer: one for one in catalog.tiles.mosaics(flight.flight_id) if one.revision == 0}
        for mosaic in received.mosaics:
            known = live.get(mosaic.layer, mosaic)
            if known.base_zoom != mosaic.base_zoom:
                return _(
                    "{name}: its map there has zoom {zoom}, here {zoom_here}: pixels of two sizes cannot "
                    "be merged; it is not imported, except for what it withdraws: on one of the nodes "
                    "ingest its photos into an empty data folder (--data) with the other's --gsd, and "
                    "share that",
                    name=name,
                    zoom=mosaic.base_zoom,
                    zoom_here=known.base_zoom,
                )
    return None


# -- Merge of a flight's records with those here ---------------------------------------------------


_ID_DIGITS = 6


def import_flight_records(node: Workspace, records: FlightRecords, giver: str, account: str = "") -> Flight:
    """Merge records of a flight with those here.

    Returns the flight as it is until its tiles come.

    account  that sent them over a connection; "" for a bundle. The audit log names it as the actor.

    Frames and placements come before the withdrawals, so that these find the ground they touched; all of
    it before a tile. Where two nodes placed one frame in two ways, both are placements and the greater is
    effective. A flight whose tiles are still to come is in state INGESTING, so that a kill leaves none
    that seems complete and is not; `update_flight_state` sets its state afterwards.
    """
    catalog = node.catalog
    # restrictions first, so that no frame is visible before they hold
    _record_classification(node, records, giver, account)
    record_redactions(node, records, giver, account)
    _record_retention(node, records, giver, account)
    record_event(node, records.event, giver)
    before = find_flight_by_id(catalog, records.flight.flight_id)
    flight = _record_flight(node, before, _keep_state_until_placed(node, before, records), giver)
    catalog.frames.put(records.frames)
    if records.placements:
        catalog.placements.learn(records.placements)
    flight = _merge_terrain_label(node, flight, records.flight)
    # after frames and placements, so that withdrawals find the ground they touched
    record_withdrawals(node, records.withdrawals, giver, account)
    known = {one.mosaic_id for one in catalog.tiles.mosaics(flight.flight_id) if one.revision == 0}
    for mosaic in records.mosaics:
        if mosaic.mosaic_id not in known:
            catalog.tiles.put_mosaic(mosaic)
    return flight


def update_flight_state(node: Workspace, flight: Flight, records: FlightRecords) -> Flight:
    """Set and return a flight's state once the tiles of these records are there."""
    state = _compute_flight_state(node, flight, records)
    if state is not flight.state:
        flight = replace(flight, state=state)
        node.catalog.flights.put_flight(flight)
    return flight


def record_withdrawals(
    node: Workspace, withdrawals: Sequence[Withdrawal], giver: str, account: str = ""
) -> None:
    """Record withdrawals, audit new ones, retire finished revisions that hold any.

    account  as in `import_flight_records`: the authority is the sender's claim, the account is verified

    All of them are checked against the revisions, not only new ones: an earlier attempt may have ended
    between the two.
    """
    new = set(node.catalog.frames.withdraw(withdrawals))
    by_reason: dict[tuple[str, str], list[Withdrawal]] = {}
    for one in withdrawals:
        by_reason.setdefault((one.reason, one.authority), []).append(one)
    for (reason, authority), some in sorted(by_reason.items()):
        node.catalog.revisions.retire_holding([one.frame_id for one in some], f"{reason} ({authority})")
        added = [one for one in some if one.frame_id in new]
        if added:
            subject = added[0].frame_id if len(added) == 1 else added[0].flight_id
            text = f"told by {giver}: {len(added)} frames: {reason}"
            text += f" ({authority})" if account else ""
            node.catalog.audit.append(account or authority, "withdraw", subject, text, at_ns=node.clock_ns())


def merge_flight(here: Flight, received: Flight) -> Flight:
    """Return the flight here, extended by another node's record of it.

    Name and terrain stay as here (`_merge_terrain_label`).
    """
    boxes = [one for one in (here.bounds_lonlat_deg, received.bounds_lonlat_deg) if one is not None]
    bounds = None
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        bounds = (min(west), min(south), max(east), max(north))
    return replace(
        here,
        gsd_m=min(here.gsd_m, received.gsd_m),
        first_ns=min(here.first_ns, received.first_ns),
        last_ns=max(here.last_ns, received.last_ns),
        bounds_lonlat_deg=bounds,
        warnings=tuple(dict.fromkeys((*here.warnings, *received.warnings))),
    )


def _record_classification(node: Workspace, records: FlightRecords, giver: str, account: str) -> None:
    """Apply the stricter classification of both nodes, before a record is here.

    Lifting a classification on one node lifts it on no other.
    """
    flight_id, restrictions = records.flight.flight_id, node.catalog.restrictions
    here = restrictions.level(flight_id)
    level = find_strictest((here, records.classification))
    if level is not here:
        now_ns = node.clock_ns()
        restrictions.classify(flight_id, level, now_ns)
        detail = f"told by {giver}: {records.flight.name}: {level}"
        node.catalog.audit.append(account or giver, "classify", flight_id, detail, at_ns=now_ns)


def record_redactions(node: Workspace, records: FlightRecords, giver: str, account: str = "") -> None:
    """Record redactions before a frame that they cover is here.

    They are only ever added, in whatever order nodes send them. One that another node revoked becomes a
    request here (`Redactions.learn`). The ground that they cover is computed here.
    """
    redactions = node.catalog.redactions
    for line in redactions.learn(records.redactions):
        detail = f"told by {giver}: {line.frame_id}: {line.reason}" + (f" ({line.author})" if account else "")
        what = "mask made" if line.step is RedactionStep.MADE else "mask taking back asked"
        who = account or line.author
        node.catalog.audit.append(who, what, line.mask_id, detail, at_ns=node.clock_ns())


def _record_retention(node: Workspace, records: FlightRecords, giver: str, account: str) -> None:
    """Apply holds and purges of another node.

    Originals purged elsewhere are not purged here by that: they are due, and wait to be confirmed; and
    their bytes are not imported any more.
    """
    retention, now_ns = node.catalog.retention, node.clock_ns()
    flight_id = records.flight.flight_id
    new = retention.add_holds(records.holds)
    for line in new:
        what = "retention hold" if line.step is HoldStep.HELD else "retention release"
        detail = f"told by {giver}: {line.hold_id}: {line.reason}" + (f" ({line.author})" if account else "")
        node.catalog.audit.append(account or line.author, what, line.subject, detail, at_ns=now_ns)
    new_purges = retention.learn(records.purges)
    for step, what in ((PurgeStep.PURGED, "let go elsewhere"), (PurgeStep.LIFTED, "retention lift")):
        matching = [one for one in new_purges if one.step is step]
        if matching:
            detail = f"told by {giver}: {len(matching)} originals ({matching[0].author}, {matching[0].box})"
            node.catalog.audit.append(account or giver, what, flight_id, detail, at_ns=now_ns)


def record_event(node: Workspace, event: Event, giver: str) -> None:
    """Record an event that is new here; its name gets the sender's appended if taken."""
    if any(one.event_id == event.event_id for one in node.catalog.flights.events()):
        return
    for name in _iterate_labels(event.name, giver, event.event_id):
        with suppress(NameTaken):
            node.catalog.flights.put_event(replace(event, name=name))
            return
    node.catalog.flights.put_event(event)


def _record_flight(node: Workspace, here: Flight | None, received: Flight, giver: str) -> Flight:
    flights = node.catalog.flights
    if here is not None:
        flight = replace(merge_flight(here, received), state=received.state)
        if flight != here:
            flights.put_flight(flight)
        return flight
    for name in _iterate_labels(received.name, giver, received.flight_id):
        with suppress(NameTaken):
            named = replace(received, name=name)
            flights.put_flight(named)
            return named
    flights.put_flight(received)
    return received


def _merge_terrain_label(node: Workspace, flight: Flight, received: Flight) -> Flight:
    """Set the terrain of a flight that was placed on a plane by one node only.

    It is the other node's terrain, on which the frames of both are now; the warning about the plane stays
    only where a frame is left on it.
    """
    if is_flat_datum(flight.vertical_datum) == is_flat_datum(received.vertical_datum):
        return flight
    used = node.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    grounds = {is_on_terrain(one.exterior) for one in used if one.exterior is not None}
    grounded = flight
    if True in grounds and is_flat_datum(flight.vertical_datum):
        grounded = replace(flight, vertical_datum=received.vertical_datum, dem_id=received.dem_id)
    if False not in grounds:
        kept = tuple(one for one in grounded.warnings if parse_warning_code(one) != NO_TERRAIN)
        grounded = replace(grounded, warnings=kept)
    if grounded != flight:
        node.catalog.flights.put_flight(grounded)
    return grounded


def _iterate_labels(name: str, giver: str, own_id: str) -> Iterator[str]:
    """Yield a name and its replacements if it is taken; the last one is unique."""
    yield name
    yield f"{name} ({giver})"
    yield f"{name} ({giver}, {own_id[:_ID_DIGITS]})"
    yield f"{name} ({giver}, {own_id})"


def _keep_state_until_placed(node: Workspace, here: Flight | None, received: FlightRecords) -> Flight:
    """Return the received flight in the state that it has here until its tiles come.

    INGESTING if it is new, or if frames come after which `_compute_flight_state` can decide the state. A
    complete one, to which a node that knows only part of it adds frames, stays complete: its state could
    not be decided again.
    """
    if here is None:
        return replace(received.flight, state=FlightState.INGESTING)
    placed = _list_placed_frames(node.catalog.frames.list_for_flight(here.flight_id))
    placed_by_sender = _list_placed_frames(received.frames)
    is_sent_again = received.flight.state is FlightState.INGESTING or placed <= placed_by_sender
    if is_sent_again and not placed_by_sender <= placed:
        return replace(received.flight, state=FlightState.INGESTING)
    return replace(received.flight, state=here.state)


def _compute_flight_state(node: Workspace, flight: Flight, received: FlightRecords) -> FlightState:
    """Return the state of a flight by its frames.

    Withdrawn when all are; ready when a node that placed all of them states so; INGESTING while frames come
    from a node that is placing them (`_keep_state_until_placed`).
    """
    frames = node.catalog.frames.list_for_flight(flight.flight_id)
    statuses = {record.status for record in frames}
    if FrameStatus.USED not in statuses and FrameStatus.WITHDRAWN in statuses:
        return FlightState.WITHDRAWN
    placed = _list_placed_frames(frames)
    is_whole = received.flight.state is not FlightState.INGESTING and placed <= _list_placed_frames(
        received.frames
    )
    if flight.state is FlightState.WITHDRAWN or is_whole:
        return FlightState.READY
    return flight.state


def _list_placed_frames(frames: Sequence[FrameRecord]) -> set[str]:
    return {record.frame_id for record in frames if was_orthorectified(record)}


# -- Exterior orientations that a node's frames had when it sent tiles of them ---------------------
#
# A tile's state names its frames, not their exterior orientations. Where two nodes orthorectified a frame on
# different ones, only the node that used the effective one has the right pixels; this shows which it is.


def map_frame_placements(
    records: FlightRecords, mosaic: MosaicInfo, epochs: Mapping[TileId, str]
) -> dict[str, str]:
    """Return the placement id of each frame in the tiles that come with the records.

    epochs  of the received base tiles. Where one differs from what the records give, the sender had
            reprocessed frames and not rebuilt the tile yet: then reprocessed frames are left out.
    """
    amendments = collect_amendments(
        mosaic.layer, records.frames, records.placements, (one.frame_id for one in records.withdrawals)
    )
    is_behind = any(epoch != amendments.epoch(tile_id) for tile_id, epoch in epochs.items())
    return {
        record.frame_id: derive_placement_id(to_placement(record))
        for record in records.frames
        if record.exterior is not None
        and record.header.layer == mosaic.layer
        and not (is_behind and record.frame_id in amendments.replaced)
    }


# -- Flights whose records cannot be imported: reported, and delaying no other ---------------------


_MAX_SHOWN_LETTERS = 80


def describe_unreadable_records(box: str, values: Any, error: SourceUnreadable) -> FlightConflict:
    """Return the flight that unreadable records name; raise the error if none.

    Without a name nobody could tell what is missing.
    """
    try:
        flight_id = require_key_segment(values["flight"]["flight_id"])
        name = _to_shown_name(require_text(values["flight"]["name"]), flight_id)[:_MAX_SHOWN_LETTERS]
        mosaics = frozenset(require_key_segment(one["mosaic_id"]) for one in values["mosaics"])
    except DECODE_ERRORS:
        raise error from error.__cause__
    return FlightConflict(
        flight_id=flight_id,
        name=name,
        mosaics=mosaics,
        sentence=_(
            "{name}: what {box} says of this flight does not read ({why}); it stays out: "
            "bring both nodes to one version",
            name=name,
            box=box,
            why=str(error.__cause__ or error),
        ),
    )
