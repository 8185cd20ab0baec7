"""Tables of what people and other services put on the map.

Layers, marks, changes under review and their comparisons, briefings, briefing packs. The rules of `tables`
hold here too.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, Table, Text

from flycam.catalog.columns import (
    derive_postgis_geometry,
    make_bigint_key_column,
    make_box_columns,
    make_key_column,
    metadata,
)

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
