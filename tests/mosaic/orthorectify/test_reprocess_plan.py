"""Terrain that comes after the flight: when it is laid again, and as if the terrain had been there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from flycam.board.layers import register_communes
from flycam.drill.photo_drill import DrillReport
from flycam.errors import InputUnusable
from flycam.ingest.batch import IngestReport, ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.model.flight import FlightState
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.warning import (
    FRAMES_SET_ASIDE,
    NO_TERRAIN,
    REPROCESSED,
    TERRAIN_HOLES,
    TERRAIN_WAITS,
    parse_warning_code,
)
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from flycam.mosaic.tiles.codec import read_tile
from tests.clips import cut_all
from tests.houses import House

MakeHouse = Callable[..., House]
WriteDem = Callable[..., Path]


@pytest.fixture
def cut_dem(drill: DrillReport, tmp_path: Path) -> WriteDem:
    """The drill's terrain, the part of its columns that `keep` names, with a hole of 2 × 2 `hole` posts."""

    def write(name: str, keep: float = 1.0, hole: int = 0, step: int = 1) -> Path:
        with rasterio.open(drill.dem) as source:
            profile, tags, heights = source.profile, source.tags(), source.read(1)
        row, col = (n // 2 for n in heights.shape)
        heights[row - hole : row + hole, col - hole : col + hole] = -9999.0
        heights = heights[::step, : int(heights.shape[1] * keep) : step]
        profile["transform"] = profile["transform"] @ rasterio.Affine.scale(step)
        profile["height"], profile["width"] = heights.shape
        with rasterio.open(tmp_path / name, "w", **profile) as target:
            target.write(heights.astype(np.float32), 1)
            target.update_tags(**tags)
        return tmp_path / name

    return write


def codes(notes: tuple[str, ...]) -> list[str | None]:
    return [parse_warning_code(note) for note in notes]


def pictures(house: House, flight_id: str) -> dict[str, bytes]:
    """Pixels and provenance of every tile that holds something, whatever its epoch."""
    store, heads = house.workspace.store, house.workspace.catalog.tiles.heads(f"{flight_id}-colour", 0)
    tiles = [read_tile(store, head) for head in heads]
    return {
        str(t.tile_id): t.rgb.tobytes()
        + t.quality.tobytes()
        + t.source.tobytes()
        + "".join(t.frames).encode()
        for t in tiles
        if t.frames
    }


def records(house: House, flight_id: str) -> list[FrameRecord]:
    return house.workspace.catalog.frames.list_for_flight(flight_id)


def again(house: House, photos: Path, *, relay: bool = False, gsd_m: float | None = None) -> IngestReport:
    return ingest(
        house.workspace, PreflightRequest(paths=(photos,)), FlightLabels(gsd_m=gsd_m), reprocess=relay
    )


def test_from_a_plane_onto_terrain_as_if_it_had_been_there_from_the_start(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    late, early = make_house(name="late"), make_house(drill, "early")
    register_communes(late.workspace, drill.communes)
    flat = late.ingest(drill.photos)
    assert codes(flat.flight.warnings) == [NO_TERRAIN]
    before = {r.frame_id: r for r in records(late, flat.flight.flight_id)}
    register_dem(late.workspace, drill.dem)
    laid = late.ingest(drill.photos)
    assert (laid.reprocessed, laid.new, laid.used) == (drill.frames, 0, drill.frames)
    assert codes(laid.notes) == [REPROCESSED]
    ideal = early.ingest(drill.photos)
    flight_id = ideal.flight.flight_id
    assert laid.flight.flight_id == flight_id
    for name in ("warnings", "vertical_datum", "dem_id", "bounds_lonlat_deg", "state"):
        assert getattr(laid.flight, name) == getattr(ideal.flight, name), name
    assert laid.flight.gsd_m == pytest.approx(ideal.flight.gsd_m)
    mosaics = [h.workspace.catalog.tiles.mosaics(flight_id)[0] for h in (late, early)]
    if mosaics[0].base_zoom == mosaics[1].base_zoom:
        assert pictures(late, flight_id) == pictures(early, flight_id)
    for mine, ours in zip(records(late, flight_id), records(early, flight_id), strict=True):
        assert (mine.footprint_wkb, mine.gsd_m, mine.dem_id) == (ours.footprint_wkb, ours.gsd_m, ours.dem_id)
        assert mine.exterior is not None and ours.exterior is not None
        assert mine.exterior.projection_centre_m == ours.exterior.projection_centre_m
        assert mine.exterior.version == 1
    covered = [(c.commune_code, round(c.covered_m2)) for c in laid.communes]
    assert covered == [(c.commune_code, round(c.covered_m2)) for c in ideal.communes]
    placed = late.workspace.catalog.placements.list_for_flight(flight_id)
    assert len(placed) == 2 * drill.frames
    assert {p.exterior for p in placed if p.version == 0} == {r.exterior for r in before.values()}
    assert [line.what for line in late.workspace.catalog.audit.lines()].count("relay") == 1


@pytest.mark.parametrize(
    "moment",
    [
        "flycam.catalog.flights.Placements.supersede",
        "flycam.mosaic.tiles.writer.MosaicWriter.rebuild",
    ],
)
def test_cut_half_way_the_same_command_completes_it(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    cut, calm = make_house(name="cut"), make_house(name="calm")
    for house in (cut, calm):
        register_communes(house.workspace, drill.communes)
        flight_id = house.ingest(drill.photos).flight.flight_id
        register_dem(house.workspace, drill.dem)
    calm.ingest(drill.photos)

    def power_cut(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moment, power_cut)
        with pytest.raises(KeyboardInterrupt):
            cut.ingest(drill.photos)
    assert cut.ingest(drill.photos).flight.state is FlightState.READY
    assert cut.tiles(f"{flight_id}-colour") == calm.tiles(f"{flight_id}-colour")
    flights = [house.workspace.catalog.flights.flight(flight_id) for house in (cut, calm)]
    assert (flights[0].warnings, flights[0].dem_id) == (flights[1].warnings, flights[1].dem_id)
    assert cut_all(cut.workspace, flight_id) == cut_all(calm.workspace, flight_id)


def test_fuller_cover_is_taken_and_a_merely_finer_model_waits_for_the_word(
    drill: DrillReport, make_house: MakeHouse, cut_dem: WriteDem
) -> None:
    house = make_house()
    register_dem(house.workspace, cut_dem("nửa.tif", keep=0.5, step=3))
    first = house.ingest(drill.photos)
    assert codes(first.flight.warnings) == [TERRAIN_HOLES]
    register_dem(house.workspace, cut_dem("thô.tif", step=3))
    full = house.ingest(drill.photos)
    assert full.used == drill.frames and full.reprocessed == first.used
    assert full.flight.warnings == () and codes(full.notes) == [REPROCESSED]
    register_dem(house.workspace, drill.dem)
    finer = house.ingest(drill.photos)
    assert (finer.reprocessed, finer.notes) == (0, ())
    assert finer.flight.dem_id == full.flight.dem_id
    relaid = again(house, drill.photos, relay=True)
    assert (relaid.reprocessed, codes(relaid.notes)) == (drill.frames, [REPROCESSED])
    assert relaid.flight.dem_id != full.flight.dem_id
    assert again(house, drill.photos, relay=True).reprocessed == 0


def test_partial_terrain_under_a_flight_on_a_plane_waits_for_the_word(
    drill: DrillReport, make_house: MakeHouse, cut_dem: WriteDem
) -> None:
    house = make_house()
    flight_id = house.ingest(drill.photos).flight.flight_id
    before = pictures(house, flight_id)
    register_dem(house.workspace, cut_dem("phần.tif", hole=15))
    stays = house.ingest(drill.photos)
    assert (stays.reprocessed, codes(stays.notes)) == (0, [TERRAIN_WAITS])
    assert codes(stays.flight.warnings) == [NO_TERRAIN]
    assert (stays.used, stays.rejected) == (drill.frames, {}), "who stays on the map is not left out"
    assert pictures(house, flight_id) == before
    relaid = again(house, drill.photos, relay=True)
    aside = [r for r in records(house, flight_id) if r.status is FrameStatus.REJECTED]
    assert aside, "the hole is too small for this test"
    assert codes(relaid.notes) == [REPROCESSED, FRAMES_SET_ASIDE]
    assert relaid.used == drill.frames - len(aside) == relaid.reprocessed
    assert codes(relaid.flight.warnings) == [TERRAIN_HOLES]
    heads = house.workspace.catalog.tiles.heads(f"{flight_id}-colour", 0)
    on_map = {frame_id for head in heads for frame_id in read_tile(house.workspace.store, head).frames}
    assert on_map.isdisjoint(r.frame_id for r in aside)
    assert house.ingest(drill.photos).new == 0
    register_dem(house.workspace, drill.dem)
    whole = house.ingest(drill.photos)
    assert (whole.used, whole.flight.warnings) == (drill.frames, ())


def test_a_flight_does_not_leave_its_terrain_for_a_plane(drill: DrillReport, make_house: MakeHouse) -> None:
    house = make_house(drill)
    flight = house.ingest(drill.photos).flight
    house.workspace.catalog.terrain.remove_dem(house.workspace.catalog.terrain.dems()[0].dem_id)
    stays = house.ingest(drill.photos)
    assert (stays.reprocessed, stays.new, stays.flight.dem_id, stays.flight.warnings) == (
        0,
        0,
        flight.dem_id,
        (),
    )
    with pytest.raises(InputUnusable, match="dem add"):
        again(house, drill.photos, relay=True)


def test_frames_withdrawn_before_or_after_stay_out(drill: DrillReport, make_house: MakeHouse) -> None:
    one, other = make_house(name="one"), make_house(name="other")
    for house in (one, other):
        flight_id = house.ingest(drill.photos).flight.flight_id
    frames = [record.frame_id for record in records(one, flight_id)][1:3]
    withdraw_by_reference(one.workspace, frames[0], "nhà dân", "UBND")
    for house in (one, other):
        register_dem(house.workspace, drill.dem)
        house.ingest(drill.photos)
    withdraw_by_reference(one.workspace, frames[1], "nhà dân", "UBND")
    withdraw_by_reference(other.workspace, frames[1], "nhà dân", "UBND")
    withdraw_by_reference(other.workspace, frames[0], "nhà dân", "UBND")
    assert pictures(one, flight_id) == pictures(other, flight_id)
    for house in (one, other):
        heads = house.workspace.catalog.tiles.heads(f"{flight_id}-colour", 0)
        on_map = {frame_id for head in heads for frame_id in read_tile(house.workspace.store, head).frames}
        assert on_map and on_map.isdisjoint(frames)
        assert house.ingest(drill.photos).new == 0
