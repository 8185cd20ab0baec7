"""Registered terrain files."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, select

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.rows import parse_row, to_row
from flycam.errors import NotFound
from flycam.messages import _
from flycam.model.records import DemRecord

_WITH_SIGMAS = select(
    tables.dems, tables.dem_sigmas.c.vertical_m, tables.dem_sigmas.c.horizontal_m
).outerjoin_from(tables.dems, tables.dem_sigmas, tables.dems.c.dem_id == tables.dem_sigmas.c.dem_id)


class Terrain:
    """DEMs by their content-derived id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_dem(self, dem: DemRecord) -> None:
        """Register a DEM.

        Registering the same file again overwrites its path, and its sigmas if they are stated, nothing else.
        """
        east_m, north_m = map(float, dem.post_spacing_m)
        row = to_row(tables.dems, dem, spacing_east_m=east_m, spacing_north_m=north_m)
        statement = self._database.insert(tables.dems)
        moved = {name: statement.excluded[name] for name in ("name", "path", "key", "vertical_datum")}
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["dem_id"], set_=moved), row)
            if dem.sigma_m is not None:
                vertical_m, horizontal_m = dem.sigma_m
                sigmas = {"dem_id": dem.dem_id, "vertical_m": vertical_m, "horizontal_m": horizontal_m}
                connection.execute(self._database.upsert(tables.dem_sigmas), sigmas)

    def remove_dem(self, dem_id: str) -> DemRecord:
        """Remove a DEM; return its record, or raise NotFound.

        Its bytes, and the mosaics orthorectified on it, stay.
        """
        dem = self.dem(dem_id)
        with self._database.write() as connection:
            connection.execute(delete(tables.dems).where(tables.dems.c.dem_id == dem_id))
            connection.execute(delete(tables.dem_sigmas).where(tables.dem_sigmas.c.dem_id == dem_id))
        return dem

    def dems(self) -> list[DemRecord]:
        """Return all registered DEMs, the latest first."""
        c = tables.dems.c
        query = _WITH_SIGMAS.order_by(c.added_ns.desc(), c.dem_id)
        return self._database.fetch(_dem, query)

    def dem(self, dem_id: str) -> DemRecord:
        """Return one DEM, or raise NotFound."""
        with self._database.read() as connection:
            found = connection.execute(_WITH_SIGMAS.where(tables.dems.c.dem_id == dem_id)).first()
        if found is None:
            raise NotFound(
                _("{dem_id}: no such terrain; register it with: flycam dem add FILE", dem_id=dem_id)
            )
        return _dem(found)


def _dem(row: Row[Any]) -> DemRecord:
    sigma_m = None if row.vertical_m is None else (row.vertical_m, row.horizontal_m)
    post_spacing_m = (row.spacing_east_m, row.spacing_north_m)
    return parse_row(DemRecord, row, post_spacing_m=post_spacing_m, sigma_m=sigma_m)
