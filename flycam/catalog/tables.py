"""The catalogue's tables, the same on SQLite and PostgreSQL.

Times are UTC nanoseconds in 64-bit integers. Polygons are WKB with their bounding box beside them, so that
a search by rectangle gives the same answer everywhere; PostgreSQL also derives a PostGIS geometry with a
spatial index from each, which is what GIS clients read.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
)

metadata = MetaData()
_Big = BigInteger().with_variant(Integer, "sqlite")


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _big_key(name: str) -> Column[int]:
    return Column(name, _Big, primary_key=True, autoincrement=False)


def _box() -> list[Column[float]]:
    return [Column(side, Float(53)) for side in ("west", "south", "east", "north")]


schema_info = Table("schema_info", metadata, _key("name"), Column("value", Integer, nullable=False))

events = Table(
    "events",
    metadata,
    _key("event_id"),
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
    _key("flight_id"),
    Column("name", Text, nullable=False, unique=True),
    Column("event_id", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("work_crs", Text, nullable=False),
    Column("vertical_datum", Text, nullable=False),
    Column("dem_id", Text, nullable=False),
    Column("gsd_m", Float(53), nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    *_box(),
    Column("operator", Text),
    Column("warnings", Text, nullable=False),
)

frames = Table(
    "frames",
    metadata,
    _key("frame_id"),
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

withdrawals = Table(
    "withdrawals",
    metadata,
    _key("frame_id"),
    Column("flight_id", Text, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("withdrawn_ns", BigInteger, nullable=False),
)

mosaics = Table(
    "mosaics",
    metadata,
    _key("mosaic_id"),
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
    _key("mosaic_id"),
    Column("last_seq", BigInteger, nullable=False),
)

_TILE_COLUMNS = ("origin", "epoch", "key", "content_hash")

tile_log = Table(
    "tile_log",
    metadata,
    _key("mosaic_id"),
    _big_key("seq"),
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
    _key("mosaic_id"),
    *(Column(name, Integer, primary_key=True, autoincrement=False) for name in ("revision", "z", "x", "y")),
    Column("seq", BigInteger, nullable=False),
    *(Column(name, Text, nullable=False) for name in _TILE_COLUMNS),
    Column("written_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

dems = Table(
    "dems",
    metadata,
    _key("dem_id"),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("key", Text),
    Column("sha256", Text, nullable=False),
    Column("crs", Text, nullable=False),
    Column("vertical_datum", Text, nullable=False),
    *_box(),
    Column("spacing_east_m", Float(53), nullable=False),
    Column("spacing_north_m", Float(53), nullable=False),
    Column("unit_m", Float(53), nullable=False),
    Column("added_ns", BigInteger, nullable=False),
)

communes = Table(
    "communes",
    metadata,
    _key("code"),
    Column("valid_from", Date, primary_key=True),
    Column("valid_to", Date),
    Column("name", Text, nullable=False),
    Column("search_name", Text, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    Column("area_m2", Float(53), nullable=False),
    *_box(),
)

coverage = Table(
    "coverage",
    metadata,
    _key("flight_id"),
    _key("commune_code"),
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
    _key("name"),
    Column("role", Text, nullable=False),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("created_ns", BigInteger, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    _big_key("seq"),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("digest", Text, nullable=False),
)


def _derive_postgis_geometry(table: Table, wkb_column: str) -> None:
    statements = (
        f"ALTER TABLE {table.name} ADD COLUMN geom geometry(Geometry, 4326) "
        f"GENERATED ALWAYS AS (ST_GeomFromWKB({wkb_column}, 4326)) STORED",
        f"CREATE INDEX {table.name}_geom ON {table.name} USING gist (geom)",
    )
    for statement in statements:
        ddl = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", ddl.execute_if(dialect="postgresql"))


_derive_postgis_geometry(frames, "footprint_wkb")
_derive_postgis_geometry(communes, "wkb")

# -- since schema 2 ---------------------------------------------------------------------------------

revisions = Table(
    "revisions",
    metadata,
    _key("mosaic_id"),
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
    _key("mosaic_id"),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    _key("frame_id"),
    Column("exterior", Text, nullable=False),
    Column("interior", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ties", Integer, nullable=False),
    Column("rms_px", Float(53)),
    Column("cells_pct", Float(53), nullable=False),
    Index("revisions_of_frame", "frame_id"),
)

# -- since schema 3 ---------------------------------------------------------------------------------

placements = Table(
    "placements",
    metadata,
    _key("frame_id"),
    _key("placement_id"),
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
    Column("layer", Text, nullable=False),  # since schema 4
)

# -- since schema 4 ---------------------------------------------------------------------------------

dem_sigmas = Table(
    "dem_sigmas",
    metadata,
    _key("dem_id"),
    Column("vertical_m", Float(53), nullable=False),
    Column("horizontal_m", Float(53)),
)

# -- since schema 5 ---------------------------------------------------------------------------------

airborne = Table(
    "airborne",
    metadata,
    _key("flight_id"),
    Column("event_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("told_ns", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
)

# -- since schema 6 ---------------------------------------------------------------------------------

recordings = Table(
    "recordings",
    metadata,
    _key("sha256"),
    Column("flight_id", Text, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("pictures", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("codec", Text, nullable=False),
    Column("let_go_ns", BigInteger),
    Index("recordings_of_flight", "flight_id", "began_ns"),
)

# -- since schema 7 ---------------------------------------------------------------------------------

layers = Table(
    "layers",
    metadata,
    _key("layer_id"),
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
    *_box(),
)

layer_features = Table(
    "layer_features",
    metadata,
    _key("layer_id"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("condition", Text, nullable=False),
    Column("is_trouble", Boolean, nullable=False),
    Column("valid_ns", BigInteger),
    Column("wkb", LargeBinary, nullable=False),
    *_box(),
    # what a search by rectangle asks for is all in the index: outlines are read only of what is answered
    Index("layer_features_box", "layer_id", "is_trouble", "number", "west", "south", "east", "north"),
)

marks = Table(
    "marks",
    metadata,
    _key("mark_id"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("photo_sha256", Text),
    Column("author", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("wkb", LargeBinary, nullable=False),
    *_box(),
)

_derive_postgis_geometry(layer_features, "wkb")
_derive_postgis_geometry(marks, "wkb")

# -- since schema 8 ---------------------------------------------------------------------------------

changes = Table(
    "changes",
    metadata,
    _key("change_id"),
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
    *_box(),
)

_derive_postgis_geometry(changes, "wkb")
