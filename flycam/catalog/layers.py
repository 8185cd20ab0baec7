"""Specialist layers: each as last read, replaced as a whole, queried by rectangle."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.rows import parse_row, to_row
from flycam.catalog.tables import audit_log, match_touching_boxes
from flycam.errors import NotFound
from flycam.messages import _
from flycam.model.records import AuditEntry, BoundsLonLat, LayerFeatureRecord, LayerRecord
from flycam.model.text import to_canonical_name

_ROWS_AT_ONCE = 5000


class SpecialistLayers:
    """Layers by id or name.

    Readers see a layer before or after a write, never between.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        layer: LayerRecord,
        features: Sequence[LayerFeatureRecord],
        audit_entry: AuditEntry | None = None,
    ) -> None:
        """Write a layer in place of the one with its id, atomically, with its audit entry."""
        with self._database.write() as connection:
            # its row first: a concurrent put of the same layer waits here, then sees what this one wrote
            connection.execute(self._database.upsert(tables.layers), _layer_row(layer))
            _drop_features(connection, layer.layer_id)
            for start in range(0, len(features), _ROWS_AT_ONCE):
                some = features[start : start + _ROWS_AT_ONCE]
                rows = [_feature_row(layer.layer_id, feature) for feature in some]
                connection.execute(tables.layer_features.insert(), rows)
            self._write_audit_entry(connection, audit_entry)

    def all(self) -> list[LayerRecord]:
        """Return every layer, by kind and name."""
        c = tables.layers.c
        with self._database.read() as connection:
            return [
                parse_row(LayerRecord, row)
                for row in connection.execute(select(tables.layers).order_by(c.kind, c.name))
            ]

    def get(self, ref: str) -> LayerRecord:
        """Return the layer of this id or name. Raises NotFound."""
        c = tables.layers.c
        query = select(tables.layers).where(or_(c.layer_id == ref, c.name == ref))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise make_layer_not_found(ref)
        return parse_row(LayerRecord, row)

    def remove(self, layer_id: str, audit_entry: AuditEntry | None = None) -> None:
        """Remove a layer, with its audit entry.

        The file that it was read from stays as an original.
        """
        with self._database.write() as connection:
            connection.execute(delete(tables.layers).where(tables.layers.c.layer_id == layer_id))
            _drop_features(connection, layer_id)
            self._write_audit_entry(connection, audit_entry)

    def _write_audit_entry(self, connection: Connection, audit_entry: AuditEntry | None) -> None:
        """Write the audit entry, last in the transaction.

        Other writers of the log wait from here on, not while features are written.
        """
        if audit_entry is not None:
            self._database.lock_table(connection, audit_log)
            write_entries(connection, [audit_entry], self._database.audit_key)

    def features(
        self, layer_id: str, bounds: BoundsLonLat | None, limit: int, offset: int = 0
    ) -> tuple[list[LayerFeatureRecord], int]:
        """Return features whose box touches `bounds`, and how many there are in all.

        At most `limit` from `offset` on, trouble first.
        """
        c = tables.layer_features.c
        wanted = c.layer_id == layer_id
        if bounds is not None:
            wanted = and_(wanted, match_touching_boxes(tables.layer_features, bounds))
        query = select(tables.layer_features).where(wanted).order_by(c.is_trouble.desc(), c.number.desc())
        with self._database.read() as connection:
            matched = connection.execute(
                select(func.count()).select_from(tables.layer_features).where(wanted)
            )
            rows = connection.execute(query.limit(limit).offset(offset))
            return [parse_row(LayerFeatureRecord, row) for row in rows], int(matched.scalar_one())

    def names(self) -> list[tuple[str, int, str, BoundsLonLat]]:
        """Return (layer, number, name, box) of every named feature."""
        c = tables.layer_features.c
        query = select(c.layer_id, c.number, c.name, c.west, c.south, c.east, c.north).where(c.name != "")
        with self._database.read() as connection:
            return [
                (row.layer_id, row.number, row.name, (row.west, row.south, row.east, row.north))
                for row in connection.execute(query)
            ]

    def get_many(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], LayerFeatureRecord]:
        """Return features by layer and number, without those that do not exist."""
        c = tables.layer_features.c
        found: dict[tuple[str, int], LayerFeatureRecord] = {}
        with self._database.read() as connection:
            for layer_id in sorted({layer_id for layer_id, _ in wanted}):
                numbers = [number for one, number in wanted if one == layer_id]
                query = select(tables.layer_features).where(c.layer_id == layer_id, c.number.in_(numbers))
                rows = connection.execute(query)
                found |= {(layer_id, row.number): parse_row(LayerFeatureRecord, row) for row in rows}
        return found

    def feature(self, layer_id: str, number: int) -> LayerFeatureRecord:
        """Return one feature of a layer. Raises NotFound."""
        c = tables.layer_features.c
        query = select(tables.layer_features).where(c.layer_id == layer_id, c.number == number)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(
                _("{number}: the layer has no such feature; it may have been read again since", number=number)
            )
        return parse_row(LayerFeatureRecord, row)

    def stamp(self) -> tuple[tuple[str, int], ...]:
        """Return a value that changes when a layer is added, removed or read again."""
        c = tables.layers.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.layer_id, c.refreshed_ns).order_by(c.layer_id))
            return tuple((row.layer_id, row.refreshed_ns) for row in rows)


def make_layer_not_found(ref: str) -> NotFound:
    """Make the error of a layer that is missing, or hidden from the account."""
    return NotFound(_("{ref}: there is no such layer; see 'flycam layers list'", ref=ref))


def _drop_features(connection: Connection, layer_id: str) -> None:
    connection.execute(delete(tables.layer_features).where(tables.layer_features.c.layer_id == layer_id))


def _layer_row(layer: LayerRecord) -> dict[str, Any]:
    names = {"name": to_canonical_name(layer.name), "owner": to_canonical_name(layer.owner)}
    return to_row(tables.layers, layer, **names)


def _feature_row(layer_id: str, feature: LayerFeatureRecord) -> dict[str, Any]:
    name = to_canonical_name(feature.name)
    return to_row(tables.layer_features, feature, feature.condition, layer_id=layer_id, name=name)
