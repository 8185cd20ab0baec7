"""Exchanges that no honest node writes: any records and objects, over a line or on a stick."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely

from flycam.catalog.flights import to_placement
from flycam.model.records import FrameRecord, Placement
from flycam.storage.stores import MemoryStore
from flycam.sync.bundle import BundleReadReport, plan_part_sizes, read_bundle, write_parts
from flycam.sync.exchange import ExchangeManifest, ExchangeOffer, LogRange, ManifestItem
from flycam.sync.exchange_import import ApplyHooks, ApplyReport, SyncApplyHooks
from flycam.sync.node_keys import seal_bundle
from flycam.sync.records import FlightRecords, encode_flight_records, read_flight_records
from flycam.sync.server import import_step
from flycam.sync.step_planner import build_records_item
from flycam.workspace import Workspace


def read_records(node: Workspace, flight_id: str) -> FlightRecords:
    """Read what a node says of a flight."""
    return read_flight_records(node.catalog, node.catalog.flights.flight(flight_id))


def make_offer(
    box: str,
    records: Sequence[FlightRecords],
    objects: Iterable[tuple[ManifestItem, bytes]] = (),
    log_ranges: Mapping[str, LogRange] | None = None,
) -> ExchangeOffer:
    """Make an exchange in the name of a box, of whatever there is to say."""
    every = [*(build_records_item(encode_flight_records(one)) for one in records), *objects]
    manifest = ExchangeManifest(
        box=box, items=tuple(item for item, _ in every), log_ranges=dict(log_ranges or {})
    )
    inline = {item.sha256: data for item, data in every}
    return ExchangeOffer(manifest, inline, MemoryStore())


def send_by_line(
    node: Workspace, offer: ExchangeOffer, folder: Path, account: str, hooks: ApplyHooks | None = None
) -> ApplyReport:
    """Have a node import it as a step of an account's."""
    path = folder / f"{offer.head_sha256}.step"
    path.write_bytes(b"".join(offer.blocks(0)))
    return import_step(node, path, hooks or SyncApplyHooks(node), account)


def send_by_stick(
    node: Workspace, offer: ExchangeOffer, folder: Path, writer: Workspace, hooks: ApplyHooks | None = None
) -> BundleReadReport:
    """Have a node read it from a stick, signed by the key of a writer."""
    path = folder / f"{offer.head_sha256[:12]}.fcb"
    seal = seal_bundle(writer, offer.head_sha256)
    write_parts(path, seal, offer.blocks, plan_part_sizes(offer.size_bytes, 1 << 30))
    return read_bundle(node, path, hooks or SyncApplyHooks(node))


def move_frame(frame: FrameRecord, east_m: float, version: int) -> Placement:
    """Place a frame elsewhere, camera and footprint alike, by a placement of a version."""
    exterior = frame.exterior
    assert exterior is not None and frame.footprint_wkb is not None
    east, north, up = exterior.projection_centre_m
    moved = replace(exterior, projection_centre_m=(east + east_m, north, up), version=version)
    degrees = east_m / 104_000.0
    footprint = shapely.transform(
        shapely.from_wkb(frame.footprint_wkb), lambda lonlat: lonlat + np.array([degrees, 0.0])
    )
    stated = replace(frame, exterior=moved, footprint_wkb=shapely.to_wkb(footprint))
    return replace(to_placement(stated, reason="", authority="x", placed_ns=1), version=version)


def name_sha256(text: str) -> str:
    """A hash of nothing in particular."""
    return hashlib.sha256(text.encode()).hexdigest()
