"""The main job on a rehearsal flight: idempotent, resumable, honest about what it left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from flycam.board.layers import register_communes
from flycam.cli.flights import format_ingest
from flycam.drill.photo_drill import DrillReport, read_truth
from flycam.errors import OutsideTerrain, TerrainMissing
from flycam.geodata.crs import to_lonlat
from flycam.geodata.dem import read_dem_info
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest, check_flight
from flycam.model.flight import FlightState
from flycam.model.records import FrameStatus
from flycam.model.warning import (
    BOUNDARIES_LATER,
    COMPLETED,
    CRS_ACCURACY,
    MAYBE_INFRARED,
    NO_TERRAIN,
    describe_warning,
    parse_warning_code,
)
from flycam.mosaic.coverage import get_flight_date
from flycam.mosaic.export import export_flight
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import load_registered_dems, register_dem
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage import keys
from tests.clips import cut_all
from tests.houses import House

MakeHouse = Callable[..., House]


def test_flight_becomes_tiles_communes_and_evidence(drill: DrillReport, make_house: MakeHouse) -> None:
    house = make_house(drill)
    report = house.ingest(drill.photos)
    assert report.used == report.new == drill.frames
    assert report.rejected == {}
    assert report.flight.state is FlightState.READY
    assert report.flight.vertical_datum == "EGM96"
    assert report.flight.warnings == ()
    assert report.communes and all(0 < c.covered_pct <= 100 and c.clip_key is None for c in report.communes)
    for record in house.workspace.catalog.frames.list_for_flight(report.flight.flight_id):
        assert house.workspace.store.exists(keys.format_original_key(record.header.provenance.source_sha256))
        assert house.workspace.store.exists(keys.format_terrain_key(str(record.dem_id)))
    mosaic = house.workspace.catalog.tiles.mosaics(report.flight.flight_id)[0]
    zooms = {record.tile_id.z for record in house.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0)}
    assert zooms == set(range(mosaic.min_zoom, mosaic.base_zoom + 1))


def test_a_flight_before_the_first_boundaries_has_the_communes_of_today_and_says_their_date(
    drill: DrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house()
    register_dem(house.workspace, drill.dem)
    register_communes(house.workspace, drill.communes, date(2050, 7, 1))
    report = house.ingest(drill.photos)
    assert [parse_warning_code(note) for note in report.notes] == [BOUNDARIES_LATER]
    assert describe_warning(report.notes[0]).values["since"] == "2050-07-01"
    answer, _ = format_ingest(report, house.workspace.catalog)
    (first, *_) = answer["communes"]
    assert first["name"] and cut_all(house.workspace, report.flight.flight_id)
    exported = export_flight(house.workspace, report.flight.name, tmp_path / "a.tif", commune=first["code"])
    assert [parse_warning_code(note) for note in exported.notes] == [BOUNDARIES_LATER]
    # boundaries of an older day end the exception
    flown = get_flight_date(report.flight)
    register_communes(house.workspace, drill.communes, flown)
    assert BOUNDARIES_LATER not in {parse_warning_code(note) for note in house.ingest(drill.photos).notes}


def test_each_pixel_names_its_frame(drill: DrillReport, make_house: MakeHouse) -> None:
    house = make_house(drill)
    report = house.ingest(drill.photos)
    mosaic = house.workspace.catalog.tiles.mosaics(report.flight.flight_id)[0]
    used = {
        record.frame_id for record in house.workspace.catalog.frames.list_for_flight(report.flight.flight_id)
    }
    named: set[str] = set()
    for head in house.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom):
        tile = read_tile(house.workspace.store, head)
        assert ((tile.source > 0) == (tile.quality > 0)).all()
        assert int(tile.source.max()) <= len(tile.frames)
        named |= set(np.array(tile.frames)[np.unique(tile.source[tile.source > 0]) - 1])
    assert named == used


def test_card_completed_later_joins_its_flight(drill: DrillReport, card: Path, make_house: MakeHouse) -> None:
    house = make_house(drill)
    photos = sorted(card.iterdir())
    late = [photo.rename(photo.parent.parent / photo.name) for photo in photos[2:4]]
    half = house.ingest(card)
    assert half.preflight.diagnosis.missing_names
    for photo in late:
        photo.rename(card / photo.name)
    whole = house.ingest(card)
    assert whole.flight.flight_id == half.flight.flight_id
    assert (whole.new, whole.used) == (2, drill.frames)


def test_frames_recorded_but_not_merged_are_merged_again(
    drill: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_house(drill, "whole")
    flight_id = whole.ingest(drill.photos).flight.flight_id
    broken = make_house(drill, "broken")

    def power_cut(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(broken.workspace.catalog.tiles), "append", power_cut)
        with pytest.raises(KeyboardInterrupt):
            broken.ingest(drill.photos)
    catalog = broken.workspace.catalog
    assert catalog.flights.flight(flight_id).state is FlightState.INGESTING
    assert len(catalog.frames.list_for_flight(flight_id, FrameStatus.USED)) == drill.frames
    completed = broken.ingest(drill.photos)
    (note,) = completed.notes
    assert (parse_warning_code(note), describe_warning(note).count) == (COMPLETED, drill.frames)
    assert broken.ingest(drill.photos).notes == ()
    assert catalog.flights.flight(flight_id).state is FlightState.READY
    assert broken.tiles(f"{flight_id}-colour") == whole.tiles(f"{flight_id}-colour")


def test_a_system_that_is_reached_to_metres_only_is_said_of_an_export(
    drill: DrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(drill)
    name = house.ingest(drill.photos).flight.name
    indian = export_flight(house.workspace, name, tmp_path / "indian.tif", crs="EPSG:3148")
    assert CRS_ACCURACY in map(parse_warning_code, indian.notes)
    assert {describe_warning(one).values["accuracy"] for one in indian.notes} == {"44"}
    vn2000 = export_flight(house.workspace, name, tmp_path / "vn2000.tif", crs="EPSG:9208")
    assert CRS_ACCURACY not in map(parse_warning_code, vn2000.notes)


def test_photos_are_laid_by_a_table_of_their_positions(
    drill: DrillReport, card: Path, make_house: MakeHouse, tmp_path: Path
) -> None:
    truth = read_truth(drill.photos.parent)
    rows = []
    for path in sorted(card.iterdir()):
        pose = truth.exteriors[path.name]
        lon, lat = to_lonlat(np.array([pose.projection_centre_m[:2]]), pose.work_crs)[0]
        rows.append(f"{path.name},{lon:.8f},{lat:.8f},{pose.projection_centre_m[2]:.2f}")
    table = tmp_path / "positions.csv"
    table.write_text("name,longitude,latitude,altitude\n" + "\n".join(rows), encoding="utf-8")
    report = make_house(drill).ingest(card, telemetry=table)
    assert report.used == len(rows) and not report.rejected


def test_a_good_photo_is_kept_whose_name_a_black_one_bears_in_another_folder(
    drill: DrillReport, card: Path, make_house: MakeHouse
) -> None:
    photos = sorted(card.iterdir())
    (card / "100MEDIA").mkdir()
    (card / "101MEDIA").mkdir()
    half = len(photos) // 2
    for k, photo in enumerate(photos):
        photo.rename(card / f"{100 + k // half}MEDIA" / photos[k % half].name)
    name, black = photos[2].name, "100MEDIA"
    _changed(card / black / name, np.zeros_like)
    seen = check_flight(PreflightRequest(paths=(card,)), [], extra_dem=drill.dem).preflight.diagnosis
    house = make_house(drill)
    report = house.ingest(card)
    rejected = {f"{black}/{name}": "lens_covered"}
    assert {one.name: one.reason for one in seen.rejected} == rejected
    assert {one.name: one.reason for one in report.rejections} == rejected
    (finding,) = [problem for problem in seen.problems if problem.code == "lens_covered"]
    assert finding.frames == (f"{black}/{name}",)
    assert len(seen.headers) == report.used == len(photos) - 1
    namesakes = [header for header in seen.headers if header.provenance.source_name == name]
    assert len(namesakes) == 1 and str(finding.sentence) not in namesakes[0].provenance.settled
    assert Path(seen.paths[namesakes[0].frame_id]) == card / "101MEDIA" / name


def test_spoiled_photos_are_left_out_as_inspect_says(
    drill: DrillReport, card: Path, make_house: MakeHouse
) -> None:
    photos = sorted(card.iterdir())
    for path, change in ((photos[1], _smeared), (photos[2], np.zeros_like)):
        _changed(path, change)
    (card / "CUT.JPG").write_bytes(photos[3].read_bytes()[:-2000])
    house = make_house(drill)
    seen = check_flight(PreflightRequest(paths=(card,)), [], extra_dem=drill.dem).preflight.diagnosis
    report = house.ingest(card)
    reasons = {one.name: one.reason for one in seen.rejected}
    assert reasons == {photos[1].name: "too_blurred", photos[2].name: "lens_covered", "CUT.JPG": "unreadable"}
    assert seen.rejected == report.rejections
    assert len(seen.headers) == report.used == len(photos) - 2
    rejected = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.REJECTED)
    assert {one.header.provenance.source_name: one.reason for one in rejected} == reasons
    assert {one.message for one in rejected} == {str(one.message) for one in report.rejections}


def _changed(path: Path, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
    """Write the photo again with other pixels and the same metadata."""
    with Image.open(path) as picture:
        pixels, exif, xmp = np.asarray(picture), picture.getexif(), picture.info["xmp"]
    Image.fromarray(change(pixels)).save(path, "JPEG", quality=95, exif=exif, xmp=xmp)


def _smeared(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.blur(pixels, (31, 31)), np.uint8)


def test_terrain_that_misses_the_flight(drill: DrillReport, make_house: MakeHouse, tmp_path: Path) -> None:
    house = make_house()
    report = house.ingest(drill.photos)
    assert report.flight.vertical_datum == "LOCAL"
    assert report.flight.warnings == (NO_TERRAIN,)


def _with_hole(dem: Path, out: Path, share: float) -> Path:
    """The terrain with no height in the western `share` of it."""
    with rasterio.open(dem) as source:
        profile, heights = source.profile | {"nodata": -9999.0}, source.read(1)
        heights[:, : int(share * heights.shape[1])] = -9999.0
        with rasterio.open(out, "w", **profile) as copy:
            copy.write(heights, 1)
            copy.update_tags(**source.tags())
    return out


def test_photos_over_a_hole_of_the_terrain_are_not_called_usable(
    drill: DrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    request = PreflightRequest(paths=(drill.photos,))
    half = _with_hole(drill.dem, tmp_path / "half.tif", 0.5)
    house = make_house()
    register_dem(house.workspace, half, "EGM96")
    report = check_flight(request, load_registered_dems(house.workspace), check_pixels=False)
    used = house.ingest(drill.photos)
    assert len(report.preflight.diagnosis.headers) == used.used
    assert {one.name for one in report.preflight.diagnosis.rejected} == {one.name for one in used.rejections}
    most = [read_dem_info(_with_hole(drill.dem, tmp_path / "most.tif", 0.98), "EGM96")]
    with pytest.raises((OutsideTerrain, TerrainMissing), match=r"most\.tif"):
        check_flight(request, most, check_pixels=False)


@pytest.mark.soak
@pytest.mark.real
def test_a_doubt_about_infrared_stands_on_the_flight_until_the_operator_speaks(
    shared_data: Path, make_house: MakeHouse
) -> None:
    house, photos = make_house(), shared_data / "flights" / "seneca_fixed_wing"
    for report in (house.ingest(photos), house.ingest(photos)):
        (doubt,) = [one for one in report.flight.warnings if parse_warning_code(one) == MAYBE_INFRARED]
        assert describe_warning(doubt).values["camera"] == "Canon PowerShot ELPH 300 HS"
    settled = house.ingest(photos, layer="colour").flight.warnings
    assert [parse_warning_code(one) for one in settled] == [NO_TERRAIN]


@pytest.mark.parametrize(("stage", "at"), [("look", 1), ("rectify", 1)])
def test_photos_that_become_links_elsewhere_are_left_out_and_nothing_of_there_is_kept(
    drill: DrillReport, card: Path, make_house: MakeHouse, stage: str, at: int
) -> None:
    house = make_house(drill)
    secret = card.parent / "id_secret"
    secret.write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    swapped = sorted(card.iterdir())[-4:]

    def swap(now: str, done: int, _total: int) -> None:
        if (now, done) == (stage, at):
            for photo in swapped:
                photo.unlink()
                photo.symlink_to(secret)

    report = ingest(house.workspace, PreflightRequest(paths=(card,)), FlightLabels(), progress=swap)
    lost = report.rejected.get("unreadable", 0)
    assert lost >= (len(swapped) if stage == "look" else 1)  # some were laid before
    assert (report.used, report.rejected) == (drill.frames - lost, {"unreadable": lost})
    store = house.workspace.store
    for key in store.list("evidence/"):
        assert hashlib.sha256(store.get(key)).hexdigest() == keys.parse_hash(key)
    assert not store.exists(keys.format_original_key(hashlib.sha256(secret.read_bytes()).hexdigest()))
