"""What a province holds in common with its boxes: an area, a layer, communes, changes, terrain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from flycam.catalog.access import RestrictedArea
from flycam.catalog.changes import ChangeVersion
from flycam.model.access import Role
from flycam.model.board import ChangeAction, ChangeStatus, Condition, LayerKind
from flycam.model.records import CommuneRecord, LayerFeatureRecord, LayerRecord
from flycam.mosaic.terrain import register_dem
from flycam.storage import keys
from flycam.sync.client import Sender, SyncReport, TransferLimits
from flycam.sync.exchange_import import SyncApplyHooks
from flycam.sync.reference_client import FetchReport, ReferenceFetcher, measure_free_bytes
from tests.suites.board_suite import LAYER
from tests.suites.change_suite import FOUND
from tests.suites.comparison_suite import COMPARED
from tests.sync.boxes import EVENT, Box
from tests.sync.lines import Wire

SQUARE = shapely.box(104.70, 21.80, 104.71, 21.81)
AREA = RestrictedArea(
    area_id="area-1",
    name="Doanh trại",
    roles=frozenset({Role.ADMIN}),
    sha256="0" * 64,
    added_ns=10,
    wkb=shapely.to_wkb(SQUARE),
    bounds_lonlat_deg=SQUARE.bounds,
)
MASTS = replace(LAYER, kind=LayerKind.MAST, name="Trạm BTS", features=2, refreshed_ns=20)


def mast(number: int, lon: float) -> LayerFeatureRecord:
    """A mast of the layer."""
    return LayerFeatureRecord(
        number=number,
        name=f"BTS {number}",
        owner="",
        status="mất điện" if number else "",
        condition=Condition.NO_POWER if number else Condition.UNKNOWN,
        valid_ns=None,
        wkb=shapely.to_wkb(shapely.Point(lon, 21.9)),
        bounds_lonlat_deg=(lon, 21.9, lon, 21.9),
    )


def commune(code: str, name: str, west: float = 104.8) -> CommuneRecord:
    """A square commune."""
    box = shapely.box(west, 21.8, west + 0.1, 21.9)
    return CommuneRecord(
        code=code, name=name, valid_from=date(2025, 7, 1), wkb=shapely.to_wkb(box), area_m2=1.25e8
    )


def decision(
    before: ChangeVersion, step: str, at_ns: int, status: ChangeStatus = ChangeStatus.ACCEPTED
) -> ChangeVersion:
    """The line of somebody's decision after another."""
    action = ChangeAction.ACCEPT if status is ChangeStatus.ACCEPTED else ChangeAction.REJECT
    return replace(
        before,
        version=before.version + 1,
        event_id=EVENT.event_id,
        step_id=step,
        at_ns=at_ns,
        status=status,
        action=action,
        author=step,
    )


TA_PHIN = commune("02647", "Tả Phìn")
STORM_FOUND = replace(FOUND, event_id=EVENT.event_id)
STORM_COMPARED = replace(COMPARED, event_id=EVENT.event_id)
"""The ground around it, by the same two pictures."""


def put_layer(box: Box, layer: LayerRecord = MASTS, lons: tuple[float, ...] = (104.81, 104.85)) -> None:
    """A layer of so many masts."""
    features = [mast(number, lon) for number, lon in enumerate(lons)]
    counted = replace(layer, features=len(lons), troubles=sum(one.condition.is_trouble for one in features))
    box.catalog.layers.put(counted, features)


def put_dem(box: Box, folder: Path) -> str:
    """A small DEM, added as an operator adds one; its id."""
    path = folder / f"{box.workspace.box}-dem.tif"
    heights = np.linspace(100, 900, 40 * 40, dtype=np.float32).reshape(40, 40)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=40,
        height=40,
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=from_origin(104.80, 21.92, 0.001, 0.001),
    ) as out:
        out.write(heights, 1)
    return register_dem(box.workspace, path, "EGM96", (3.0, None))[0].dem_id


def furnish(province: Box, folder: Path) -> None:
    """All of it."""
    province.catalog.flights.put_event(EVENT)
    province.catalog.restrictions.put(AREA)
    put_layer(province)
    province.catalog.boundaries.put_communes(
        [commune("02647", "Tả Phìn"), commune("02650", "Mường Hoa", 104.9)]
    )
    province.catalog.changes.append([STORM_FOUND])
    province.catalog.changes.append([decision(STORM_FOUND, "step-1", 30)])
    put_dem(province, folder)


def exchange(
    box: Box, wire: Wire, folder: Path, free: Callable[[Path], int] = measure_free_bytes, **limits: object
) -> tuple[FetchReport, SyncReport]:
    """One round, both ways. free: bytes left in a folder."""
    limited = TransferLimits(**limits)  # type: ignore[arg-type]
    back = ReferenceFetcher(
        box.workspace,
        wire,
        SyncApplyHooks(box.workspace),
        folder / "way",
        limited,
        sleep=lambda _s: None,
        free=free,
    )
    sender = Sender(box.workspace, wire, limited, back=back, sleep=lambda _s: None)
    sender.run_round()
    return back.got, sender.sent


def standing(box: Box) -> dict[str, object]:
    """What a box holds in common, but for whose evidence it was read from."""
    catalog = box.catalog
    changes = [(one.change_id, one.status, one.step_id) for one in catalog.changes.current(EVENT.event_id)]
    return {
        "areas": [replace(one, sha256="") for one in catalog.restrictions.areas()],
        "layers": [(one.name, one.features, one.troubles) for one in catalog.layers.all()],
        "levels": dict(catalog.restrictions.levels()),
        "communes": catalog.boundaries.editions(),
        "changes": changes,
        "dems": [(one.dem_id, one.vertical_datum, one.sigma_m) for one in catalog.terrain.dems()],
    }


def evidence_is_whole(box: Box) -> bool:
    """Whether all that the records here were read from is kept here."""
    catalog = box.catalog
    named = [
        *(one.sha256 for one in catalog.layers.all()),
        *(one.sha256 for one in catalog.restrictions.areas()),
        *(one.sha256 for one in catalog.terrain.dems()),
    ]
    return all(box.workspace.store.exists(keys.format_original_key(one)) for one in named)
