"""Formats read and written here, beside the libraries of their fields: same bytes, same figures."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import exifread
import numpy as np
import pytest
from pmtiles.reader import MmapSource, Reader, all_tiles
from pygeomag import GeoMag
from pyulog import ULog
from stanag4609.klv.stream import iter_klv
from stanag4609.st0601 import FieldDecodingMode, decode_uas_local_set

from flycam.geodata.geoid import compute_declination_deg
from flycam.geodata.pmtiles import sort_by_archive_id, write_pmtiles
from flycam.geometry.grid import TileId
from flycam.ingest.photos.photo_reader import read_metadata
from flycam.ingest.telemetry.klv import read_klv
from flycam.ingest.telemetry.ulog import read_topics

TOPICS = ("vehicle_gps_position", "vehicle_global_position", "vehicle_attitude", "home_position")


def test_pmtiles_reads_every_tile_that_was_written(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    tiles = {
        TileId(z=z, x=x, y=y) for z in range(8, 20) for x, y in generator.integers(0, 2**z, (60, 2)).tolist()
    }
    written = {tile: generator.bytes(int(generator.integers(1, 400))) for tile in tiles}
    path = tmp_path / "map.pmtiles"
    ordered = sort_by_archive_id(list(tiles))
    write_pmtiles(
        path,
        ((tile, written[tile]) for tile in ordered),
        bounds_lonlat_deg=(103.9, 22.2, 104.1, 22.4),
        metadata={"name": "Bản Lầu"},
    )
    with path.open("rb") as file:
        source = MmapSource(file)
        reader = Reader(source)
        assert {TileId(z=z, x=x, y=y): data for (z, x, y), data in all_tiles(source)} == written
        assert (reader.header()["min_zoom"], reader.header()["max_zoom"]) == (8, 19)
        assert reader.metadata() == {"name": "Bản Lầu"}
        assert all(reader.get(tile.z, tile.x, tile.y) == written[tile] for tile in ordered[::50])


@pytest.mark.real
@pytest.mark.parametrize("name", ["sample_log_small.ulg", "sample_px4_events.ulg"])
def test_pyulog_finds_the_same_records(shared_data: Path, name: str) -> None:
    path = shared_data / "logs" / name
    ours = read_topics(path, TOPICS).records
    theirs = {one.name: one.data for one in ULog(str(path), list(TOPICS)).data_list if one.multi_id == 0}
    assert set(ours) == set(theirs) and len(theirs) > 1
    for topic, columns in theirs.items():
        for field in ours[topic].dtype.names or ():
            column = ours[topic][field]
            if column.ndim == 1 and field in columns:
                np.testing.assert_array_equal(column, columns[field], f"{topic}.{field}")


@pytest.mark.real
def test_exifread_finds_the_same_places_and_times(shared_data: Path) -> None:
    paths = [
        *sorted((shared_data / "flights").rglob("*.JPG"))[:40],
        *(shared_data / "makers").rglob("*.jp*g"),
    ]
    compared = 0
    for path in paths:
        with path.open("rb") as file:
            tags = exifread.process_file(file, details=False)
        ours = read_metadata(path)
        if "GPS GPSLatitude" in tags:
            place = exifread.utils.get_gps_coords(tags)
            assert (ours.lat_deg, ours.lon_deg) == pytest.approx(place, abs=2e-7), path.name
            compared += 1
        if "EXIF DateTimeOriginal" in tags:
            digits = str(tags["EXIF DateTimeOriginal"])[:19]
            assert re.sub(r"\D", "", ours.taken_text[:19]) == re.sub(r"\D", "", digits), path.name
        if "EXIF FocalLength" in tags:
            assert ours.focal_mm == pytest.approx(float(tags["EXIF FocalLength"].values[0])), path.name
    assert compared > 20


@pytest.mark.real
@pytest.mark.parametrize("name", ["Cheyenne.bin", "realflight.bin"])
def test_stanag4609_decodes_the_same_positions(shared_data: Path, name: str) -> None:
    path = shared_data / "klv" / name
    with path.open("rb") as file:
        packets = [
            decode_uas_local_set(one, field_decoding=FieldDecodingMode.PRESERVE) for one in iter_klv(file)
        ]
    theirs = {one.misp_timestamp_microseconds: one for one in packets}
    samples = read_klv(path).track.samples
    assert len(samples) > 0.9 * len(theirs)
    for sample in samples:
        packet = theirs[sample.t_utc_ns // 1000]
        found = (sample.lat_deg, sample.lon_deg, sample.yaw_deg, sample.hfov_deg)
        assert found == pytest.approx([packet.value(tag) for tag in (13, 14, 5, 16)], abs=1e-6)


@pytest.mark.parametrize("year", [2016, 2021, 2026, 2029])
def test_pygeomag_finds_the_same_declination(year: int) -> None:
    epoch = {2015: "2015v2"}.get(year // 5 * 5, year // 5 * 5)
    model = GeoMag(coefficients_file=f"wmm/WMM_{epoch}.COF")
    moment = datetime(year, 1, 1, tzinfo=UTC)
    lon, lat = (
        one.ravel() for one in np.meshgrid(np.arange(-180.0, 180.0, 45.0), np.arange(-60.0, 61.0, 20.0))
    )
    ours = compute_declination_deg(np.stack([lon, lat], axis=1), int(moment.timestamp()) * 10**9)
    theirs = [
        model.calculate(glat=y, glon=x, alt=0.0, time=float(year), allow_date_outside_lifespan=True).d
        for x, y in zip(lon, lat, strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, atol=0.02)
