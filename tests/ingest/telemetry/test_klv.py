"""MISB ST 0601: packets written here and real ones, with every count stated."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geodata.geoid import interpolate_undulation_m
from flycam.ingest.preflight.flight_table import build_flight_table
from flycam.ingest.preflight.log_match import fill_from_log
from flycam.ingest.telemetry.klv import (
    UNIVERSAL_KEY,
    PacketSplitter,
    compute_checksum,
    decode_fields,
    parse_local_set,
)
from flycam.ingest.telemetry.log_files import read_flight_log
from tests.ingest.photos.made_flights import LAT, LON, photo

T0_US = 1_758_333_600_000_000


def packet(t_us: int = T0_US, *, spoil: bool = False, **tags: bytes) -> bytes:
    """A local set with a time, tags named t13=…, and its checksum."""
    body = b"\x02\x08" + struct.pack(">Q", t_us)
    for name, value in tags.items():
        body += bytes([int(name[1:]), len(value)]) + value
    body += b"\x01\x02"
    length = len(body) + 2
    head = UNIVERSAL_KEY + (bytes([length]) if length < 128 else b"\x81" + bytes([length]))
    return head + body + struct.pack(">H", compute_checksum(head + body) ^ (0x0101 if spoil else 0))


def angle(degrees: float, span: float) -> bytes:
    return struct.pack(">i", round(degrees / span * (2**31 - 1)))


def here(k: int = 0, **more: bytes) -> dict[str, bytes]:
    return {"t13": angle(21.9, 90), "t14": angle(104.8 + k * 1e-5, 180), "t15": b"\x20\x00", **more}


def split(data: bytes) -> tuple[list[dict[int, bytes]], Counter[str]]:
    splitter = PacketSplitter()
    packets = splitter.feed(data)
    splitter.finish()
    return packets, +splitter.counts


def test_the_standards_own_example_to_the_last_digit(shared_data):
    """Values as MISB ST 0601 prints them beside the same bytes."""
    data = (shared_data / "klv" / "DynamicOnlyMISMMSPacketData.bin").read_bytes()
    packets, counts = split(data)
    assert counts == {"packets": 1}
    fields = decode_fields(packets)
    assert fields.t_ns[0] == 1_231_798_102_000_000_000  # 2009-01-12 22:08:22
    assert fields.version[0] == 6
    np.testing.assert_allclose(fields.lonlat[0], [128.426759042045, 60.1768229669783], rtol=0, atol=1e-12)
    np.testing.assert_allclose(fields.body[0], [159.974365, -0.431531724, 3.40586566], rtol=0, atol=1e-6)
    assert fields.height_msl_m[0] == pytest.approx(14190.7195, abs=1e-4)
    np.testing.assert_allclose(fields.fov[0], [144.571298, 152.643626], rtol=0, atol=1e-6)
    np.testing.assert_allclose(fields.sensor[0, :2], [160.719211474396, -168.792324833941], rtol=0, atol=2e-7)
    assert fields.slant_range_m[0] == pytest.approx(68590.9832987, abs=1e-6)
    assert fields.target_width_m[0] == pytest.approx(722.819867, abs=1e-6)
    np.testing.assert_allclose(
        fields.centre_lonlat[0], [29.157890122923, -10.5423886331461], rtol=0, atol=1e-12
    )
    assert fields.centre_msl_m[0] == pytest.approx(3216.03723, abs=1e-5)


@pytest.mark.real
def test_the_composed_gimbal_looks_where_the_real_packets_say_the_picture_lies(shared_data):
    """Frame centre and slant range are the maker's own: the sensor turned in the platform must meet them."""
    packets, _ = split((shared_data / "klv" / "Cheyenne.bin").read_bytes())
    fields = decode_fields(packets)
    north, east = (np.radians(fields.centre_lonlat - fields.lonlat) * 6_371_008.8).T[::-1]
    east = east * np.cos(np.radians(fields.lonlat[:, 1]))
    down = fields.height_msl_m - fields.centre_msl_m
    azimuth = np.degrees(np.arctan2(east, north))
    elevation = -np.degrees(np.arctan2(down, np.hypot(east, north)))
    off_azimuth = (fields.gimbal[:, 0] - azimuth + 180.0) % 360.0 - 180.0
    assert abs(np.median(off_azimuth)) < 0.1
    assert np.percentile(np.abs(off_azimuth), 95) < 0.5
    assert abs(np.median(fields.gimbal[:, 1] - elevation)) < 0.05
    assert np.percentile(np.abs(fields.gimbal[:, 1] - elevation), 90) < 0.5
    # adding the angles, as is often done, is wrong by degrees here
    assert np.median(np.abs(fields.sensor[:, 1] - elevation)) > 5.0
    distance = np.sqrt(north**2 + east**2 + down**2)
    # within what a round Earth leaves out (a three-hundredth)
    assert (np.abs(distance / fields.slant_range_m - 1.0) < 1 / 300).all()


@pytest.mark.real
def test_the_flight_that_breaks_a_known_parser(shared_data):
    log = read_flight_log(shared_data / "klv" / "realflight.bin")
    assert (len(log.track.samples), log.remarks) == (19, ())
    first = log.track.samples[0]
    # no height above sea in it, and "out of range" for elevation and frame centre
    assert (first.height_datum, first.height_m) == ("ELLIPSOID", pytest.approx(88.6992, abs=1e-4))
    packets, _ = split((shared_data / "klv" / "realflight.bin").read_bytes())
    assert np.isnan([first.gimbal_pitch_deg, *decode_fields(packets).centre_lonlat[0]]).all()
    # pitch and roll of full range
    assert (first.pitch_deg, first.roll_deg) == pytest.approx((1.555623, 0.826394), abs=1e-6)


@pytest.mark.parametrize("state", ["right", "absent", "wrong"])
def test_packets_of_any_checksum_state_are_read_where_all_are_alike(tmp_path, state):
    packets = [packet(T0_US + k * 100_000, spoil=state == "wrong", **here(k)) for k in range(50)]
    if state == "absent":
        packets = [one[:16] + bytes([one[16] - 4]) + one[17:-4] for one in packets]
    path = tmp_path / "a.klv"
    path.write_bytes(b"".join(packets))
    log = read_flight_log(path)
    assert len(log.track.samples) == 50
    assert any("unchecked" in str(one) for one in log.remarks) == (state != "right")


def test_bad_packets_are_counted_and_the_rest_is_kept(tmp_path):
    good = [packet(T0_US + k * 100_000, **here(k)) for k in range(5)]
    stream = [
        good[0],
        packet(T0_US + 50_000, spoil=True, **here()),
        good[1],
        b"stray bytes between packets",
        good[2],
        UNIVERSAL_KEY + b"\x84\xff\xff\xff\xff",
        good[3],
        packet(1_000_000, **here()),
        packet(T0_US + 250_000, t5=b"\x00\x00"),
        packet(T0_US + 300_000, **here()),
        good[4],
        packet(T0_US + 500_000, **here())[:-4],
    ]
    path = tmp_path / "flight.klv"
    path.write_bytes(b"".join(stream))
    log = read_flight_log(path)
    assert len(log.track.samples) == 5
    counted = {
        word: one.values["count"]
        for one in log.remarks
        for word in ("checksum", "longer", "cut off", "no time", "no position", "repeat")
        if word in str(one)
    }
    assert set(counted.values()) == {1} and len(counted) == 6
    assert all(one.plural and one.count == 1 for one in log.remarks)


@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=60), spoiled=st.sets(st.integers(0, 5)))
def test_packets_are_the_same_in_whatever_pieces_they_arrive(cuts, spoiled):
    data = b"".join(
        packet(T0_US + k, spoil=k in spoiled, **here(k, t5=bytes([k, 255]))) + b"x" * k for k in range(6)
    )
    whole, _ = split(data)
    splitter, found, at = PacketSplitter(), [], 0
    for cut in cuts:
        found += splitter.feed(data[at : at + cut])
        at += cut
    found += splitter.feed(data[at:])
    splitter.finish()
    assert found == whole
    assert len(whole) == 6 - len(spoiled)
    assert splitter.counts["checksum"] == len(spoiled)


def test_a_stream_without_packets_holds_no_memory():
    splitter = PacketSplitter()
    for _ in range(50):
        splitter.feed(bytes(100_000))
    assert splitter.counts["stray_bytes"] > 4_900_000
    assert len(splitter._held) < len(UNIVERSAL_KEY)


OVERLAPPING = (UNIVERSAL_KEY + b"\x82\xf0\x00\x00") * 5000
"""Keys each of which claims 60 KiB that follow, with the next ones in them."""


def test_packets_that_claim_one_another_are_not_begun_anew_each():
    """Bytes are looked into twice at most; each of the 5000 keys once made 60 KiB be taken apart."""
    packets, counts = split(OVERLAPPING + packet(**here()))
    assert counts["malformed"] <= 4
    assert len(packets) <= 1


def test_sentinels_and_values_of_another_size_are_unknown():
    lowest = b"\x80\x00\x00\x00"
    fields = decode_fields(
        [
            parse_local_set(packet(t13=lowest, t14=lowest, t6=b"\x80\x00", t7=b"\x80\x00", t90=lowest)[17:])
            or {},
            parse_local_set(packet(t13=b"\x01", t15=b"\x01\x02\x03", t26=b"\x80\x00")[17:]) or {},
        ]
    )
    for column in (fields.lonlat, fields.body, fields.height_msl_m, fields.corners, fields.gimbal):
        assert np.isnan(column).all()


def test_a_height_above_the_ellipsoid_becomes_one_above_the_sea(tmp_path):
    """In Vietnam's north the two lie some 28 m apart: a photo must not be placed by the wrong one."""
    place = {"t13": angle(LAT, 90), "t14": angle(LON, 180), "t75": b"\x10\x00"}
    path = tmp_path / "a.klv"
    path.write_bytes(packet(T0_US, **place) + packet(T0_US + 10**6, **place))
    table = build_flight_table([photo()], np.array([T0_US * 1000 + 10**8]))
    filled, _ = fill_from_log(table, read_flight_log(path))
    ellipsoidal = -900.0 + 0x1000 * 19_900.0 / 65_535
    undulation = interpolate_undulation_m("EGM96", np.array([[LON, LAT]]))[0]
    assert filled.absolute_m[0] == pytest.approx(ellipsoidal - undulation, abs=1e-3)
    assert abs(undulation) > 20.0
