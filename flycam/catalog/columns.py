"""Building blocks of the catalogue's tables: keys, bounding boxes, and PostGIS geometries beside WKB."""

from __future__ import annotations

from sqlalchemy import DDL, BigInteger, Column, Float, Integer, MetaData, Table, Text, event

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
