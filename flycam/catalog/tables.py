"""The catalogue's tables, the same on SQLite and PostgreSQL.

Times are UTC nanoseconds in 64-bit integers. Polygons are WKB with their bounding box beside them, so that
a search by rectangle gives the same answer everywhere; PostgreSQL also derives a PostGIS geometry with a
spatial index from each, which is what GIS clients read.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Float, Index, Integer, LargeBinary, Table, Text

from flycam.catalog.columns import (
    derive_postgis_geometry,
    make_bigint_key_column,
    make_box_columns,
    make_key_column,
    metadata,
)

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
    Column("frame_id", Text, nullable=False),
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
