"""EXIF as cameras write it, in both byte orders, and as cards corrupt it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flycam.ingest.photos.photo_reader import ExifMetadata, format_exif_time, read_exif
from flycam.media.photo import TiffReader
from tests.ingest.photos.handmade import dji_note, exif_block, gps_of

ORDERS = pytest.mark.parametrize("order", ["<", ">"])


def facts(block: bytes) -> ExifMetadata:
    reader = TiffReader.from_bytes(block)
    assert reader is not None
    return read_exif(reader)


@ORDERS
@given(lon=st.floats(-180, 180), lat=st.floats(-90, 90), altitude=st.floats(-400, 9000))
def test_position_survives(order: str, lon: float, lat: float, altitude: float) -> None:
    found = facts(exif_block(gps=gps_of(lon, lat, altitude), order=order))
    assert found.lon_deg == pytest.approx(lon, abs=1e-9)
    assert found.lat_deg == pytest.approx(lat, abs=1e-9)
    assert found.altitude_m == pytest.approx(altitude, abs=1e-4)


@pytest.mark.parametrize(("written", "read"), [(4.5, 4.5), (0.0, None), (2e6, None)])
def test_the_error_of_a_position_is_read_where_it_can_be_meant(written: float, read: float | None) -> None:
    gps = gps_of(104.5, 21.5, 900) | {0x1F: (Fraction(written),)}
    assert facts(exif_block(gps=gps)).horizontal_error_m == read


def test_position_out_of_range_is_ignored_and_said() -> None:
    gps = gps_of(104.5, 21.5, 900) | {2: (Fraction(191), Fraction(0), Fraction(0))}
    found = facts(exif_block(gps=gps))
    assert found.lat_deg is None
    assert found.lon_deg is None
    assert any("out of range" in str(remark) for remark in found.remarks)


def test_gps_time_keeps_its_fraction_and_never_rounds_to_sixty() -> None:
    clock = {7: (Fraction(23), Fraction(59), Fraction(59_999_999, 1_000_000)), 0x1D: "2026:09:08"}
    assert facts(exif_block(gps=clock)).gps_time_text == "2026-09-08T23:59:59.999999"


@pytest.mark.parametrize(
    "stamp",
    ["0000:00:00 00:00:00", "2026:02:30 10:00:00", "2026:13:01 10:00:00", "    :  :     :  :  ", "now", ""],
)
def test_times_that_are_none(stamp: str) -> None:
    assert format_exif_time(stamp) is None


@pytest.mark.parametrize("written", "<>")
@ORDERS
def test_dji_note_in_its_own_byte_order(order: str, written: str) -> None:
    """A program that saves the photo again turns the bytes around the note, not those in it."""
    note = dji_note({3: 1.5, 4: -2.5, 5: 0.0, 6: 1.0, 7: 46.0, 8: -3.0, 9: -89.9, 10: 45.0, 11: 0.0}, written)
    found = facts(exif_block({0x010F: "DJI"}, {0x927C: note}, order=order)).dji_note
    assert found["camera_pitch"] == pytest.approx(-89.9)
    assert (found["speed_x"], found["speed_y"], found["yaw"], found["roll"]) == (1.5, -2.5, 46.0, -3.0)


def test_pillow_reads_the_same(tmp_path) -> None:
    """Pillow's writer is the independent hand: what it wrote is what is read."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Parrot", "Anafi"
    exif.get_ifd(0x8769)[0x9003] = "2026:09:08 07:05:03"
    exif.get_ifd(0x8769)[0x920A] = 4.0
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4], gps[6] = "N", (21.0, 30.0, 36.5), "E", (104.0, 45.0, 1.25), 812.25
    found = facts(exif.tobytes().removeprefix(b"Exif\x00\x00"))
    assert (found.maker, found.model, found.focal_mm) == ("Parrot", "Anafi", 4.0)
    assert found.lat_deg == pytest.approx(21 + 30 / 60 + 36.5 / 3600)
    assert found.lon_deg == pytest.approx(104 + 45 / 60 + 1.25 / 3600)
    assert found.altitude_m == 812.25
