"""The catalogue's tables, the same on SQLite and PostgreSQL, and records as rows.

Times are UTC nanoseconds in 64-bit integers. Polygons are WKB with their bounding box beside them, so that
a search by rectangle gives the same answer everywhere; PostgreSQL also derives a PostGIS geometry with a
spatial index from each, which is what GIS clients read.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    event,
    select,
    tuple_,
    update,
)

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource
from flycam.messages import Message, decode_message, encode_message
from flycam.model.flight import Event, Flight
from flycam.model.frame import FrameHeader, Provenance, TileRecord
from flycam.model.records import BoundsLonLat, FrameRecord, FrameStatus, MosaicInfo, Withdrawal
from flycam.model.text import to_canonical_name, to_visible

# -- Bounding boxes as four columns, and the test whether two boxes touch --------------------------


def intersect_boxes(one: BoundsLonLat | None, other: BoundsLonLat | None) -> BoundsLonLat | None:
    """Return bounds that match the boxes that touch both of these (None: all boxes).

    If these share nothing, west exceeds east or south north, and only boxes that span both touch.
    """
    if one is None or other is None:
        return other if one is None else one
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def union_boxes(boxes: Iterable[BoundsLonLat]) -> BoundsLonLat | None:
    """Return the smallest box that holds all of these; None without any."""
    sides = list(zip(*boxes, strict=True))
    return (min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])) if sides else None


def is_touching(one: BoundsLonLat, other: BoundsLonLat) -> bool:
    """Return True if two boxes share at least a point."""
    return one[0] <= other[2] and one[2] >= other[0] and one[1] <= other[3] and one[3] >= other[1]


def match_touching_boxes(table: Table, bounds: BoundsLonLat) -> ColumnElement[bool]:
    """Return the condition for rows whose box shares a point with `bounds`."""
    west, south, east, north = bounds
    c = table.c
    return and_(c.west <= east, c.east >= west, c.south <= north, c.north >= south)


# -- Building blocks of tables: keys, bounding boxes, PostGIS geometries beside WKB ----------------


metadata = MetaData()
_Big = BigInteger().with_variant(Integer, "sqlite")


def make_key_column(name: str) -> Column[str]:
    """Make a text column that is the primary key, or a part of it."""
    return Column(name, Text, primary_key=True)


def make_bigint_key_column(name: str) -> Column[int]:
    """Make a 64-bit column that is the primary key, or a part of it."""
    return Column(name, _Big, primary_key=True, autoincrement=False)


def make_box_columns() -> list[Column[float]]:
    """Make the columns of a bounding box, degrees."""
    return [Column(side, Float(53)) for side in ("west", "south", "east", "north")]


def derive_postgis_geometry(table: Table, wkb_column: str) -> None:
    """Add the column `geom` with a spatial index to a table on PostgreSQL.

    It is derived from its WKB (WGS 84).
    """
    statements = (
        f"ALTER TABLE {table.name} ADD COLUMN geom geometry(Geometry, 4326) "
        f"GENERATED ALWAYS AS (ST_GeomFromWKB({wkb_column}, 4326)) STORED",
        f"CREATE INDEX {table.name}_geom ON {table.name} USING gist (geom)",
    )
    for statement in statements:
        ddl = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", ddl.execute_if(dialect="postgresql"))


# -- Tables of flights, frames, mosaics, communes, accounts and the audit log ----------------------


events = Table(
    "events",
    metadata,
    make_key_column("event_id"),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("is_drill", Boolean, nullable=False),
    Column("risk_level", Integer),
    Column("starts_ns", BigInteger),
    Column("ends_ns", BigInteger),
)

flights = Table(
    "flights",
    metadata,
    make_key_column("flight_id"),
    Column("name", Text, nullable=False, unique=True),
    Column("event_id", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("work_crs", Text, nullable=False),
    Column("vertical_datum", Text, nullable=False),
    Column("dem_id", Text, nullable=False),
    Column("gsd_m", Float(53), nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    *make_box_columns(),
    Column("operator", Text),
    Column("warnings", Text, nullable=False),
)

frames = Table(
    "frames",
    metadata,
    make_key_column("frame_id"),
    Column("flight_id", Text, nullable=False),
    Column("captured_ns", BigInteger, nullable=False),
    Column("layer", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("interior", Text, nullable=False),
    Column("exterior_prior", Text, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("exterior", Text),
    Column("dem_id", Text),
    Column("footprint_wkb", LargeBinary),
    Column("gsd_m", Float(53)),
    Column("tile_z", Integer),
    Column("x_start", Integer),
    Column("y_start", Integer),
    Column("x_stop", Integer),
    Column("y_stop", Integer),
    Index("frames_of_flight", "flight_id", "captured_ns", "frame_id"),
)

film_pictures = Table(
    "film_pictures",
    metadata,
    make_key_column("source_sha256"),
    make_key_column("frame_id"),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    make_key_column("frame_id"),
    Column("flight_id", Text, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("withdrawn_ns", BigInteger, nullable=False),
)

mosaics = Table(
    "mosaics",
    metadata,
    make_key_column("mosaic_id"),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("flight_id", Text, nullable=False, index=True),
    Column("layer", Text, nullable=False),
    Column("base_zoom", Integer, nullable=False),
    Column("min_zoom", Integer, nullable=False),
    Column("published", Boolean, nullable=False),
)

tile_logs = Table(
    "tile_logs",
    metadata,
    make_key_column("mosaic_id"),
    Column("last_seq", BigInteger, nullable=False),
)

_TILE_COLUMNS = ("origin", "epoch", "key", "content_hash")

tile_log = Table(
    "tile_log",
    metadata,
    make_key_column("mosaic_id"),
    make_bigint_key_column("seq"),
    Column("revision", Integer, nullable=False),
    Column("z", Integer, nullable=False),
    Column("x", Integer, nullable=False),
    Column("y", Integer, nullable=False),
    *(Column(name, Text, nullable=False) for name in _TILE_COLUMNS),
    Column("written_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

tile_heads = Table(
    "tile_heads",
    metadata,
    make_key_column("mosaic_id"),
    *(Column(name, Integer, primary_key=True, autoincrement=False) for name in ("revision", "z", "x", "y")),
    Column("seq", BigInteger, nullable=False),
    *(Column(name, Text, nullable=False) for name in _TILE_COLUMNS),
    Column("written_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

dems = Table(
    "dems",
    metadata,
    make_key_column("dem_id"),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("key", Text),
    Column("sha256", Text, nullable=False),
    Column("crs", Text, nullable=False),
    Column("vertical_datum", Text, nullable=False),
    *make_box_columns(),
    Column("spacing_east_m", Float(53), nullable=False),
    Column("spacing_north_m", Float(53), nullable=False),
    Column("unit_m", Float(53), nullable=False),
    Column("added_ns", BigInteger, nullable=False),
)

communes = Table(
    "communes",
    metadata,
    make_key_column("code"),
    Column("valid_from", Date, primary_key=True),
    Column("valid_to", Date),
    Column("name", Text, nullable=False),
    Column("search_name", Text, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    Column("area_m2", Float(53), nullable=False),
    *make_box_columns(),
)

coverage = Table(
    "coverage",
    metadata,
    make_key_column("flight_id"),
    make_key_column("commune_code"),
    Column("covered_m2", Float(53), nullable=False),
    Column("covered_pct", Float(53), nullable=False),
    Column("gsd_m", Float(53), nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("clip_key", Text),
)

accounts = Table(
    "accounts",
    metadata,
    make_key_column("name"),
    Column("role", Text, nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("communes", Text, nullable=False, server_default=""),
)

audit_log = Table(
    "audit_log",
    metadata,
    make_bigint_key_column("seq"),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

derive_postgis_geometry(frames, "footprint_wkb")
derive_postgis_geometry(communes, "wkb")


revisions = Table(
    "revisions",
    metadata,
    make_key_column("mosaic_id"),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("inputs_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("stats", Text, nullable=False),
    Column("reports", Text, nullable=False),
    Column("dem_id", Text),
    Column("support_key", Text),
    Column("why", Text, nullable=False),
)

revision_frames = Table(
    "revision_frames",
    metadata,
    make_key_column("mosaic_id"),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    make_key_column("frame_id"),
    Column("exterior", Text, nullable=False),
    Column("interior", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ties", Integer, nullable=False),
    Column("rms_px", Float(53)),
    Column("cells_pct", Float(53), nullable=False),
    Index("revisions_of_frame", "frame_id"),
)


placements = Table(
    "placements",
    metadata,
    make_key_column("frame_id"),
    make_key_column("placement_id"),
    Column("flight_id", Text, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("interior", Text),
    Column("exterior", Text),
    Column("dem_id", Text),
    Column("footprint_wkb", LargeBinary),
    Column("gsd_m", Float(53)),
    *(Column(name, Integer) for name in ("tile_z", "x_start", "y_start", "x_stop", "y_stop")),
    Column("reason", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("placed_ns", BigInteger, nullable=False),
    Column("layer", Text, nullable=False),
)


dem_sigmas = Table(
    "dem_sigmas",
    metadata,
    make_key_column("dem_id"),
    Column("vertical_m", Float(53), nullable=False),
    Column("horizontal_m", Float(53)),
)


airborne = Table(
    "airborne",
    metadata,
    make_key_column("flight_id"),
    Column("event_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("told_ns", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
)


recordings = Table(
    "recordings",
    metadata,
    make_key_column("sha256"),
    Column("flight_id", Text, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("pictures", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("codec", Text, nullable=False),
    Column("let_go_ns", BigInteger),
    Index("recordings_of_flight", "flight_id", "began_ns"),
)


audit_signatures = Table(
    "audit_signatures",
    metadata,
    make_key_column("signature"),
    Column("seq", BigInteger, nullable=False, index=True),
    Column("signed_by", Text, nullable=False),
)
"""Signatures of lines of the audit log. No key: a line that replaces a signed one has that signature too."""


# -- Tables of tokens and one-time codes -----------------------------------------------------------


tokens = Table(
    "tokens",
    metadata,
    make_key_column("token_id"),
    Column("account", Text, nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("secret_hash", Text, nullable=False, unique=True),
    Column("made_by", Text, nullable=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),
    Column("used_ns", BigInteger),
    Column("revoked_ns", BigInteger),
    Column("made_with", Text),
)

one_time_codes = Table(
    "one_time_codes",
    metadata,
    make_key_column("code_hash"),
    Column("account", Text, nullable=False, index=True),
    Column("token_id", Text, nullable=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("is_used", Boolean, nullable=False),
)


# -- Tables of what people and other services put on the map ---------------------------------------
#
# Layers, marks, changes under review and their comparisons, briefings, briefing packs.


layers = Table(
    "layers",
    metadata,
    make_key_column("layer_id"),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("valid_ns", BigInteger),
    Column("added_ns", BigInteger, nullable=False),
    Column("refreshed_ns", BigInteger, nullable=False),
    Column("features", Integer, nullable=False),
    Column("troubles", Integer, nullable=False),
    Column("has_status", Boolean, nullable=False),
    *make_box_columns(),
)

layer_features = Table(
    "layer_features",
    metadata,
    make_key_column("layer_id"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("condition", Text, nullable=False),
    Column("is_trouble", Boolean, nullable=False),
    Column("valid_ns", BigInteger),
    Column("wkb", LargeBinary, nullable=False),
    *make_box_columns(),
    # a covering index for searches by rectangle: outlines are read only for the rows found
    Index("layer_features_box", "layer_id", "is_trouble", "number", "west", "south", "east", "north"),
)

marks = Table(
    "marks",
    metadata,
    make_key_column("mark_id"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("photo_sha256", Text),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    *make_box_columns(),
)

derive_postgis_geometry(layer_features, "wkb")
derive_postgis_geometry(marks, "wkb")


changes = Table(
    "changes",
    metadata,
    make_key_column("change_id"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("step_id", Text, nullable=False, index=True),
    Column("event_id", Text, nullable=False, index=True),
    *(Column(name, Text, nullable=False) for name in ("action", "status", "kind")),
    Column("score", Float(53)),
    Column("area_m2", Float(53), nullable=False),
    Column("length_m", Float(53), nullable=False),
    Column("slope_deg", Float(53)),
    Column("commune", Text, nullable=False),
    Column("tie_m", Float(53)),
    Column("rmse_m", Float(53)),
    *(
        Column(name, Text, nullable=False)
        for name in ("before_shown", "after_shown", "origins", "note", "undoes")
    ),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    Column("error_m", Float(53)),
    Column("scored_as", Text, nullable=False),
    *make_box_columns(),
)

derive_postgis_geometry(changes, "wkb")


briefings = Table(
    "briefings",
    metadata,
    make_key_column("event_id"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("places", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)


settlements = Table(
    "settlements",
    metadata,
    make_key_column("event_id"),
    make_key_column("settlement_id"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    *(Column(name, Text, nullable=False) for name in ("name", "access", "roads_said", "note", "author")),
    Column("at_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    *make_box_columns(),
)

derive_postgis_geometry(settlements, "wkb")


comparisons = Table(
    "comparisons",
    metadata,
    make_key_column("comparison_id"),
    Column("event_id", Text, nullable=False, index=True),
    *(Column(name, Text, nullable=False) for name in ("before_shown", "after_shown", "author")),
    Column("rmse_m", Float(53), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("windows", LargeBinary, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("doubts", "warnings")),
    *make_box_columns(),
)

derive_postgis_geometry(comparisons, "wkb")


packs = Table(
    "packs",
    metadata,
    make_bigint_key_column("number"),
    Column("pack_id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("flights", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("paper", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("draft_id", Text, nullable=False),
    Column("maker", Text, nullable=False),
    Column("asked_ns", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended_ns", BigInteger),
    Column("why", Text),
    Column("manifest_sha256", Text, nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("classification", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("let_go_ns", BigInteger, index=True),
    Column("flights_beside", Text, nullable=False),
    Column("withheld", Text, nullable=False),
)


# -- Tables of retention: terms, holds, purged originals, uploaded files ---------------------------


retention_terms = Table(
    "retention_terms",
    metadata,
    make_key_column("subject"),
    make_key_column("kind"),
    Column("days", Integer),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

retention_holds = Table(
    "retention_holds",
    metadata,
    make_key_column("line_id"),
    make_key_column("subject"),
    Column("hold_id", Text, nullable=False, index=True),
    Column("step", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

purges = Table(
    "let_go",
    metadata,
    make_key_column("line_id"),
    make_key_column("flight_id"),
    Column("act_id", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("list_digest", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("box", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Index("let_go_of_flight", "flight_id"),
)

upload_files = Table(
    "upload_files",
    metadata,
    make_key_column("sha256"),
    Column("name", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("came_ns", BigInteger, nullable=False),
)


kept_originals = Table("kept_originals", metadata, make_key_column("sha256"))


# -- Tables of access rules: areas, classifications, guest links, identities, redactions -----------


restricted_areas = Table(
    "restricted_areas",
    metadata,
    make_key_column("area_id"),
    Column("name", Text, nullable=False, unique=True),
    Column("roles", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("added_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    *make_box_columns(),
)

classifications = Table(
    "classifications",
    metadata,
    make_key_column("subject"),
    Column("level", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

guests = Table(
    "guests",
    metadata,
    make_key_column("guest_id"),
    Column("secret_hash", Text, nullable=False, unique=True),
    Column("event_id", Text, nullable=False),
    Column("communes", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("revoked_ns", BigInteger),
    Column("made_with", Text),
)


identities = Table(
    "identities",
    metadata,
    make_key_column("issuer"),
    make_key_column("subject"),
    Column("name", Text, nullable=False, unique=True),
    Column("first_ns", BigInteger, nullable=False),
    Column("barred_ns", BigInteger),
)


redactions = Table(
    "redactions",
    metadata,
    make_key_column("line_id"),
    Column("mask_id", Text, nullable=False, index=True),
    Column("step", Text, nullable=False),
    Column("frame_id", Text, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
)

redaction_grounds = Table(
    "redaction_grounds",
    metadata,
    make_key_column("line_id"),
    make_key_column("lay"),
    Column("wkb", LargeBinary, nullable=False),
)


peer_grants = Table(
    "peer_grants",
    metadata,
    make_key_column("flight_id"),
    make_key_column("node"),
    Column("permission", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)

peer_claims = Table(
    "peer_claims",
    metadata,
    make_key_column("node"),
    make_key_column("kind"),
    make_key_column("item"),
    Column("flight_id", Text, nullable=False, index=True),
    Column("account", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("undone_ns", BigInteger),
)

peer_requests = Table(
    "peer_requests",
    metadata,
    make_key_column("node"),
    make_key_column("flight_id"),
    Column("name", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("claims", Text, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("settled_ns", BigInteger),
)

unverified_footprints = Table(
    "unverified_footprints",
    metadata,
    make_key_column("frame_id"),
    make_key_column("placement_id"),
    Column("flight_id", Text, nullable=False, index=True),
)


# -- Records as rows of the catalogue: one codec for all tables ------------------------------------
#
# A column holds the field of its name: numbers as they are (NULL for NaN), of enumerations the value, of
# lists of text one item a line, and of other values their JSON text.
#
# Orientations and provenance are stored exactly: every float comes back as the same float. Python writes the
# shortest decimal that reads back as the same double, so nothing is rounded. NaN and infinities are written
# as Python's json reads them; the text is for this catalogue, not for browsers.


# -- Orientations and provenance as JSON text ------------------------------------------------------


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _floats(values: Any) -> list[float]:
    return [float(v) for v in values]


@lru_cache(maxsize=256)
def interior_to_json(interior: InteriorOrientation) -> str:
    """Return the JSON text of an interior orientation.

    A flight has one camera, so the last few are cached.
    """
    return _text(
        {
            "model": interior.model.value,
            "size": [int(v) for v in interior.image_size_px],
            "focal": _floats(interior.focal_length_px),
            "centre": _floats(interior.principal_point_px),
            "distortion": _floats(interior.distortion),
            "readout_s": None if interior.readout_s is None else float(interior.readout_s),
            "calibration_id": interior.calibration_id,
            "sigma_focal_rel": float(interior.sigma_focal_rel),
        }
    )


@lru_cache(maxsize=256)
def interior_from_json(text: str) -> InteriorOrientation:
    """Parse an interior orientation; inverse of `interior_to_json`.

    Frames of one camera share one value.
    """
    value = json.loads(text)
    return InteriorOrientation(
        model=LensModel(value["model"]),
        image_size_px=tuple(value["size"]),
        focal_length_px=tuple(value["focal"]),
        principal_point_px=tuple(value["centre"]),
        distortion=tuple(value["distortion"]),
        readout_s=value["readout_s"],
        calibration_id=value["calibration_id"],
        sigma_focal_rel=value["sigma_focal_rel"],
    )


def exterior_to_json(exterior: ExteriorOrientation) -> str:
    """Return the JSON text of an exterior orientation.

    "height_on_terrain" is there only if true, "motion" only if the pose has one.
    """
    motion = exterior.motion
    moves = motion and {"velocity": _floats(motion.velocity_mps), "turn": _floats(motion.turn_radps)}
    return _text(
        {
            "centre": _floats(exterior.projection_centre_m),
            "rotation": [_floats(row) for row in exterior.rotation],
            "work_crs": exterior.work_crs,
            "vertical_datum": exterior.vertical_datum,
            "grid_scale": float(exterior.grid_scale),
            "sigma_position_m": _floats(exterior.sigma_position_m),
            "sigma_attitude_rad": _floats(exterior.sigma_attitude_rad),
            "source": exterior.source.value,
            "version": int(exterior.version),
            **({"height_on_terrain": True} if exterior.height_on_terrain else {}),
            **({"motion": moves} if moves else {}),
        }
    )


def exterior_from_json(text: str) -> ExteriorOrientation:
    """Parse an exterior orientation; inverse of `exterior_to_json`."""
    value = json.loads(text)
    first, second, third = (tuple(row) for row in value["rotation"])
    return ExteriorOrientation(
        projection_centre_m=tuple(value["centre"]),
        rotation=(first, second, third),
        work_crs=value["work_crs"],
        vertical_datum=value["vertical_datum"],
        grid_scale=value["grid_scale"],
        sigma_position_m=tuple(value["sigma_position_m"]),
        sigma_attitude_rad=tuple(value["sigma_attitude_rad"]),
        source=PoseSource(value["source"]),
        version=value["version"],
        height_on_terrain=value.get("height_on_terrain", False),
        motion=_motion_of(value["motion"]) if "motion" in value else None,
    )


def _motion_of(value: dict[str, Any]) -> CameraMotion:
    return CameraMotion(velocity_mps=tuple(value["velocity"]), turn_radps=tuple(value["turn"]))


def provenance_to_json(provenance: Provenance) -> str:
    """Return the JSON text of a frame's provenance."""
    value: dict[str, Any] = {
        "source_name": provenance.source_name,
        "source_sha256": provenance.source_sha256,
        "camera": provenance.camera,
        "settled": list(provenance.settled),
    }
    if provenance.film is not None:
        value["film"] = provenance.film
    return _text(value)


def provenance_from_json(text: str) -> Provenance:
    """Parse a provenance; inverse of `provenance_to_json`."""
    value = json.loads(text)
    value["settled"] = tuple(value["settled"])
    value.pop("operator", None)  # in rows of before, always null: the flight knows who flew it
    return Provenance(**value)


# -- Conversion of any record to and from a row ----------------------------------------------------


_Record = TypeVar("_Record")

BOX_COLUMNS = ("west", "south", "east", "north")

_PARTS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    **{side: ("bounds_lonlat_deg", itemgetter(number)) for number, side in enumerate(BOX_COLUMNS)},
    **{name: ("tile_id", attrgetter(name)) for name in ("z", "x", "y")},
    "tile_z": ("tiles", attrgetter("z")),
    **{name: ("tiles", attrgetter(name)) for name in ("x_start", "y_start", "x_stop", "y_stop")},
}
"""Fields that take several columns: by column the field, and which part of it."""


def parse_box(row: Row[Any]) -> BoundsLonLat | None:
    """Return (west, south, east, north) of a row; None without a box."""
    return None if row.west is None else (row.west, row.south, row.east, row.north)


def _parse_tile_range(row: Row[Any]) -> TileRange | None:
    if row.tile_z is None:
        return None
    return TileRange(
        z=row.tile_z, x_start=row.x_start, y_start=row.y_start, x_stop=row.x_stop, y_stop=row.y_stop
    )


_WHOLE: Mapping[str, Callable[[Row[Any]], Any]] = {
    "bounds_lonlat_deg": parse_box,
    "tile_id": lambda row: TileId(z=row.z, x=row.x, y=row.y),
    "tiles": _parse_tile_range,
}
"""Readers of the fields that take several columns."""

_TEXTS: Mapping[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    InteriorOrientation: (interior_to_json, interior_from_json),
    ExteriorOrientation: (exterior_to_json, exterior_from_json),
    Provenance: (provenance_to_json, provenance_from_json),
    Message: (
        lambda message: json.dumps(encode_message(message), ensure_ascii=False),
        lambda text: decode_message(json.loads(text)),
    ),
    tuple: ("\n".join, lambda text: tuple(text.splitlines())),
    # NaN is not valid JSON: callers must pass None for what is not known
    Mapping: (
        lambda value: json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        json.loads,
    ),
}
"""Writers and readers of values that are text in the catalogue."""

_ABSENT = object()


def to_row(table: Table, *records: Any, **columns: Any) -> dict[str, Any]:
    """Convert a record to a row of a table; inverse of `parse_row`.

    records  several: each column comes from the first that has it
    columns  given instead
    """
    row = dict(columns)
    for name, field, part, kind in _list_columns(table):
        if name not in columns:
            value = _get_field(records, field)
            row[name] = to_column(value if value is None or part is None else part(value), kind)
    return row


def _get_field(records: Sequence[Any], field: str) -> Any:
    for one in records:
        value = getattr(one, field, _ABSENT)
        if value is not _ABSENT:
            return value
    raise AttributeError(field)


def parse_row(kind: type[_Record], row: Any, **given: Any) -> _Record:
    """Convert a row to a record; inverse of `to_row`.

    given  fields that are not taken from the row; those without a column keep their default

    Raises ValueError for a value that an enumeration does not have.
    """
    fields = dict(given)
    for name, decode in _list_fields(kind):  # type: ignore[arg-type]
        if name in given:
            continue
        if name in _WHOLE:
            fields[name] = _WHOLE[name](row)
            continue
        value = getattr(row, name, _ABSENT)
        if value is not _ABSENT:
            fields[name] = decode(value)
    return kind(**fields)


@lru_cache(maxsize=64)
def _list_columns(table: Table) -> list[tuple[str, str, Callable[[Any], Any] | None, type]]:
    """List the name of each column, its field, which part of that, and its type."""
    return [
        (column.name, *_PARTS.get(column.name, (column.name, None)), column.type.python_type)
        for column in table.columns
    ]


@lru_cache(maxsize=64)
def _list_fields(kind: type) -> list[tuple[str, Callable[[Any], Any]]]:
    """List the fields of a record, and what reads their columns."""
    hints = get_type_hints(kind)
    return [(one.name, _choose_decoder(hints[one.name])) for one in dataclasses.fields(kind)]


def _choose_decoder(hint: Any) -> Callable[[Any], Any]:
    if hint is float:
        return lambda value: math.nan if value is None else value
    if type(None) in get_args(hint):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
    origin = get_origin(hint) or hint
    is_enum = isinstance(origin, type) and issubclass(origin, Enum)
    if not (is_enum or origin in _TEXTS):
        return lambda value: value
    read = origin if is_enum else _TEXTS[origin][1]
    return lambda value: None if value is None else read(value)


def to_column(value: Any, kind: type = str) -> Any:
    """Convert a value to a column of a Python type, numbers of NumPy too."""
    if value is None:
        return None
    if kind is float:
        return None if math.isnan(value) else float(value)
    if type(value) is kind:
        return value
    if isinstance(value, Enum):
        return value.value
    write = next((write for one, (write, _read) in _TEXTS.items() if isinstance(value, one)), kind)
    return write(value)


# -- Flights, events, frames, withdrawals and mosaics as rows --------------------------------------


def to_event_row(event: Event) -> dict[str, Any]:
    """Convert an event to a row."""
    return to_row(events, event, name=to_canonical_name(event.name))


def parse_event_row(row: Row[Any]) -> Event:
    """Convert a row to an event; inverse of `to_event_row`."""
    return parse_row(Event, row, name=to_visible(row.name))  # from another node


def to_flight_row(flight: Flight) -> dict[str, Any]:
    """Convert a flight to a row."""
    warnings = json.dumps(list(flight.warnings), ensure_ascii=False)
    return to_row(flights, flight, name=to_canonical_name(flight.name), warnings=warnings)


def parse_flight_row(row: Row[Any]) -> Flight:
    """Convert a row to a flight; inverse of `to_flight_row`."""
    # the name may be from another node
    return parse_row(Flight, row, name=to_visible(row.name), warnings=tuple(json.loads(row.warnings)))


def to_frame_row(record: FrameRecord) -> dict[str, Any]:
    """Convert a frame to a row."""
    return to_row(frames, record, record.header)


def parse_frame_row(row: Row[Any]) -> FrameRecord:
    """Convert a row to a frame; inverse of `to_frame_row`."""
    return parse_row(FrameRecord, row, header=parse_row(FrameHeader, row))


def to_mosaic_row(mosaic: MosaicInfo) -> dict[str, Any]:
    """Convert a mosaic to a new row.

    Only `publish` shows it, so that at most one revision is shown.
    """
    return to_row(mosaics, mosaic, published=False)


_WITHDRAWN_REASON = "withdrawn"


def rank_withdrawal(withdrawal: Withdrawal) -> tuple[int, str, str, str]:
    """Return the sort key of a frame's withdrawals; the smallest is kept."""
    return (withdrawal.withdrawn_ns, withdrawal.authority, withdrawal.reason, withdrawal.flight_id)


def to_withdrawal_columns(withdrawal: Withdrawal) -> dict[str, Any]:
    """Return the columns of a frame's row that a withdrawal sets."""
    return {
        "status": FrameStatus.WITHDRAWN.value,
        "reason": _WITHDRAWN_REASON,
        "message": _message(withdrawal),
    }


def _message(withdrawal: Withdrawal) -> str:
    return f"{withdrawal.reason} ({withdrawal.authority})"


def fetch_withdrawals(connection: Connection, frame_ids: Sequence[str]) -> dict[str, Withdrawal]:
    """Return the withdrawals of these frames, by frame."""
    query = select(withdrawals).where(withdrawals.c.frame_id.in_(frame_ids))
    return {row.frame_id: parse_row(Withdrawal, row) for row in connection.execute(query)}


def apply_withdrawal(record: FrameRecord, withdrawals: Mapping[str, Withdrawal]) -> FrameRecord:
    """Return the record, withdrawn if a withdrawal names its frame."""
    withdrawal = withdrawals.get(record.frame_id)
    if withdrawal is None:
        return record
    return replace(
        record, status=FrameStatus.WITHDRAWN, reason=_WITHDRAWN_REASON, message=_message(withdrawal)
    )


# -- Heads of tiles, and the revision that is shown ------------------------------------------------


_TILES_AT_ONCE = 5000


def fetch_heads(
    connection: Connection, mosaic_id: str, revision: int, wanted: Sequence[TileId]
) -> dict[TileId, TileRecord]:
    """Return the heads of these tiles, without tiles that have none."""
    c = tile_heads.c
    of_mosaic = and_(c.mosaic_id == mosaic_id, c.revision == revision)
    found: dict[TileId, TileRecord] = {}
    for start in range(0, len(wanted), _TILES_AT_ONCE):
        addresses = [(tile.z, tile.x, tile.y) for tile in wanted[start : start + _TILES_AT_ONCE]]
        query = select(tile_heads).where(of_mosaic, tuple_(c.z, c.x, c.y).in_(addresses))
        for row in connection.execute(query):
            record = parse_row(TileRecord, row)
            found[record.tile_id] = record
    return found


def show_revision(connection: Connection, mosaic_id: str, revision: int) -> bool:
    """Show this revision of the mosaic; return False if there is none of that number."""
    c = mosaics.c
    of_mosaic = update(mosaics).where(c.mosaic_id == mosaic_id)
    connection.execute(of_mosaic.where(c.revision != revision).values(published=False))
    return connection.execute(of_mosaic.where(c.revision == revision).values(published=True)).rowcount > 0
