"""MAVLink and DataFlash logs, written here packet by packet and read back; and the real ones."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from pymavlink.dialects.v20 import ardupilotmega as mav

from flycam.errors import SourceUnreadable, UnexpectedSource
from flycam.ingest.telemetry import log_files
from flycam.ingest.telemetry.dataflash import read_dataflash
from flycam.ingest.telemetry.flight_log import GPS_EPOCH_S, WEEK_S, to_utc_s
from flycam.ingest.telemetry.log_files import read_flight_log
from tests.ingest.photos.made_flights import LAT, LON

T0 = 1_758_333_600.0
SPEED_MPS = 10.0


def east(seconds):
    return LON + SPEED_MPS * seconds / (111_195.0 * np.cos(np.radians(LAT)))


def position(mavlink, boot_s):
    return mavlink.global_position_int_encode(
        int(boot_s * 1000),
        int(LAT * 1e7),
        round(east(boot_s - 100.0) * 1e7),
        420_000,
        120_000,
        1000,
        0,
        0,
        9000,
    )


def attitude(mavlink, boot_s, yaw_deg):
    return mavlink.attitude_encode(int(boot_s * 1000), 0.01, 0.02, np.radians(yaw_deg), 0, 0, 0)


def write_tlog(path, rows):
    """rows: (arrival UTC s, message, source system)."""
    mavlink = {s: mav.MAVLink(None, srcSystem=s, srcComponent=1) for s in {r[2] for r in rows}}
    with path.open("wb") as file:
        for arrival, message, system in rows:
            file.write(struct.pack(">Q", int(arrival * 1e6)) + message.pack(mavlink[system]))
    return path


def flight(mavlink, seconds=60, delay=lambda k: 0.05):
    rows = []
    for k in range(seconds * 4):
        boot = 100.0 + k / 4
        arrival = T0 + k / 4 + delay(k)
        rows += [(arrival, attitude(mavlink, boot, 179.0 + k % 4), 1), (arrival, position(mavlink, boot), 1)]
    return rows


@pytest.fixture
def mavlink():
    return mav.MAVLink(None, srcSystem=1, srcComponent=1)


def test_a_track_with_heights_angles_and_home(tmp_path, mavlink):
    home = mavlink.home_position_encode(
        int(LAT * 1e7), int(LON * 1e7), 300_000, 0, 0, 0, [1, 0, 0, 0], 0, 0, 0
    )
    rows = [*flight(mavlink), (T0 + 70, home, 1)]
    log = read_flight_log(write_tlog(tmp_path / "a.tlog", rows))
    sample = log.track.pose_at(round((T0 + 30.05) * 1e9))
    assert sample.lon_deg == pytest.approx(east(30.0), abs=2e-7)
    assert (sample.height_m, sample.relative_height_m, sample.height_datum) == (420.0, 120.0, "EGM96")
    assert abs(sample.yaw_deg) > 178.0
    assert log.home is not None
    assert log.home.height_m == 300.0


def test_a_jittering_link_does_not_move_positions(tmp_path, mavlink):
    generator = np.random.default_rng(1)
    late = generator.exponential(0.3, 240)
    log = read_flight_log(write_tlog(tmp_path / "a.tlog", flight(mavlink, delay=lambda k: 0.05 + late[k])))
    error = [
        (log.track.pose_at(round((T0 + t) * 1e9)).lon_deg - east(t - 0.05)) * 111_195.0 for t in range(5, 55)
    ]
    assert np.abs(error).max() < 2.5  # the jitter alone would give up to 15 m


def test_damage_between_packets_costs_no_packet_and_no_word(tmp_path, capfd, mavlink):
    """Noise with marks in it, a packet of flags that nobody knows, a cut one: what lies around is read."""
    rows = flight(mavlink)
    whole = read_flight_log(write_tlog(tmp_path / "whole.tlog", rows))
    packet = bytearray(position(mavlink, 110.0).pack(mavlink))
    packet[2] |= 0x80
    noise = [b"\xfd\xfe\xff" * 50, b"\xfd\x1c", bytes(8) + packet, packet[:20], b"\x1b[2J" * 9, b""]
    path = tmp_path / "a.tlog"
    parts = [write_tlog(tmp_path / "part", rows[k * 80 : (k + 1) * 80]).read_bytes() for k in range(6)]
    path.write_bytes(b"".join(part + noise[k] for k, part in enumerate(parts)))
    damaged = read_flight_log(path)
    assert [s.lon_deg for s in damaged.track.samples] == [s.lon_deg for s in whole.track.samples]
    assert capfd.readouterr() == ("", "")


def test_a_message_is_held_in_no_more_than_what_is_used_of_it(tmp_path, mavlink):
    """The library holds its bytes and all its fields: 31 bytes for each of the file's."""
    rows = [(T0 + k / 50, attitude(mavlink, 100.0 + k / 50, 90.0), 1) for k in range(4_000)]
    path = write_tlog(tmp_path / "a.tlog", rows)
    tracemalloc.start()
    with pytest.raises(SourceUnreadable):
        read_flight_log(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * path.stat().st_size


def test_camera_feedback_is_one_event_per_image(tmp_path, mavlink):
    rows = flight(mavlink)
    for k in (1, 2, 2, 3):
        feedback = mavlink.camera_feedback_encode(
            int((T0 + 10 * k) * 1e6),
            1,
            0,
            k,
            int(LAT * 1e7),
            int(east(10 * k) * 1e7),
            420.0,
            120.0,
            1,
            2,
            90,
            0,
            0,
        )
        rows.append((T0 + 10 * k, feedback, 1))
    log = read_flight_log(write_tlog(tmp_path / "a.tlog", rows))
    assert [e.t_utc_ns for e in log.camera_events] == [round((T0 + 10 * k) * 1e9) for k in (1, 2, 3)]
    assert log.camera_events[0].yaw_deg == 90.0


def dataflash(path, seconds=30):
    """A text DataFlash log: GPS, POS, ATT, CAM, ORGN."""
    formats = {
        "GPS": (50, "QBIHBcLLeffffB", "TimeUS,Status,GMS,GWk,NSats,HDop,Lat,Lng,Alt,Spd,GCrs,VZ,Yaw,U"),
        "POS": (51, "QLLfff", "TimeUS,Lat,Lng,Alt,RelHomeAlt,RelOriginAlt"),
        "ATT": (52, "QccccCCCC", "TimeUS,DesRoll,Roll,DesPitch,Pitch,DesYaw,Yaw,ErrRP,ErrYaw"),
        "CAM": (53, "QIHLLeeeccC", "TimeUS,GPSTime,GPSWeek,Lat,Lng,Alt,RelAlt,GPSAlt,Roll,Pitch,Yaw"),
        "ORGN": (54, "QBLLe", "TimeUS,Type,Lat,Lng,Alt"),
    }
    week, start = divmod(T0 + 18.0 - GPS_EPOCH_S, WEEK_S)
    lines = ["FMT, 128, 89, FMT, BBnNZ, Type,Length,Name,Format,Columns"]
    lines += [f"FMT, {n}, 40, {name}, {fmt}, {cols}" for name, (n, fmt, cols) in formats.items()]
    lines.append(f"ORGN, 1000, 0, {LAT}, {LON + 0.1}, 1.0")
    lines.append(f"ORGN, 1000, 1, {LAT}, {LON}, 300.0")
    for k in range(seconds * 10):
        t, us = k / 10, 50_000_000 + k * 100_000
        if k % 2 == 0:
            ms = round((start + t) * 1000)
            fix = f"3, {ms}, {int(week)}, 12, 0.8, {LAT}, {east(t):.7f}"
            lines.append(f"GPS, {us}, {fix}, 420.0, 10.0, 90.0, 0.0, 0.0, 1")
        lines.append(f"POS, {us}, {LAT}, {east(t):.7f}, 420.0, 120.0, 120.0")
        lines.append(f"ATT, {us}, 0.0, 1.0, 0.0, 2.0, 0.0, 90.0, 0.0, 0.0")
        if k % 50 == 25:
            ms = round((start + t) * 1000)
            lines.append(
                f"CAM, {us}, {ms}, {int(week)}, {LAT}, {east(t):.7f}, 420.0, 120.0, 421.0, 1.0, 2.0, 90.0"
            )
    path.write_text("\n".join(lines) + "\n")
    return path


def described(number: int, length: int, name: bytes, letters: bytes, columns: bytes) -> bytes:
    """One FMT message of a binary DataFlash log."""
    return b"\xa3\x95\x80" + struct.pack("<BB4s16s64s", number, length, name, letters, columns)


FMT = described(0x80, 89, b"FMT", b"BBnNZ", b"Type,Length,Name,Format,Columns")


def binary_dataflash(seconds: int = 30) -> bytes:
    """The flight of `dataflash` in the binary form."""
    kinds = {
        "GPS": (50, b"QBIHLLe", "<QBIHiii", b"TimeUS,Status,GMS,GWk,Lat,Lng,Alt"),
        "POS": (51, b"QLLff", "<Qiiff", b"TimeUS,Lat,Lng,Alt,RelHomeAlt"),
        "ATT": (52, b"QccC", "<QhhH", b"TimeUS,Roll,Pitch,Yaw"),
        "CAM": (53, b"QIHLLeeccC", "<QIHiiiihhH", b"TimeUS,GPSTime,GPSWeek,Lat,Lng,Alt,RelAlt,R,P,Y"),
        "ORGN": (54, b"QBLLe", "<QBiii", b"TimeUS,Type,Lat,Lng,Alt"),
        "TXT": (55, b"QZ", "<Q64s", b"TimeUS,Message"),
    }
    made = bytearray(FMT)
    for name, (number, letters, code, columns) in kinds.items():
        made += described(number, 3 + struct.calcsize(code), name.encode(), letters, columns)

    def say(name, *values):
        number, _, code, _ = kinds[name]
        made.extend(b"\xa3\x95" + bytes([number]) + struct.pack(code, *values))

    week, start = divmod(T0 + 18.0 - GPS_EPOCH_S, WEEK_S)
    lat = round(LAT * 1e7)
    say("ORGN", 1000, 0, lat, round((LON + 0.1) * 1e7), 100)
    say("ORGN", 1000, 1, lat, round(LON * 1e7), 30_000)
    for k in range(seconds * 10):
        us, lng, ms = 50_000_000 + k * 100_000, round(east(k / 10) * 1e7), round((start + k / 10) * 1000)
        if k % 2 == 0:
            say("GPS", us, 3, ms, int(week), lat, lng, 42_000)
        say("POS", us, lat, lng, 420.0, 120.0)
        say("ATT", us, 100, 200, 9000)
        if k % 50 == 25:
            say("CAM", us, ms, int(week), lat, lng, 42_000, 12_000, 100, 200, 9000)
            say("TXT", us, b"\x1b[2J")
    return bytes(made)


@pytest.mark.parametrize(
    ("week", "leap"), [(1304, 14), (1513, 15), (1700, 16), (1905, 17), (1930, 17), (1931, 18), (2400, 18)]
)
def test_gps_time_runs_ahead_by_the_leap_seconds_of_its_day(week, leap):
    (found,) = to_utc_s(np.array([week]), np.array([0.0]))
    assert found == GPS_EPOCH_S + week * WEEK_S - leap


# what hung the reader, or spoke past the console, once
ODD_DATAFLASH = {
    "a type of length 0": FMT + described(0x81, 0, b"XYZ", b"", b"") + b"\xa3\x95\x81" + bytes(2000),
    "a type that describes itself": described(0x80, 0, b"FMT", b"", b"") + FMT,
    "a name that clears the screen": FMT
    + described(0x81, 4, b"\x1b[2J", b"Q", b"a")
    + b"\xa3\x95\x81\x00" * 400
    + bytes(2000),
    "letters that do not fit the length": FMT
    + described(0x81, 4, b"GPS\x1b", b"B", b"a\x1b[31m")
    + b"\xa3\x95\x81\x01" * 300,
    "a type that nobody described": FMT + b"\xa3\x95\x81" * 700,
}


def test_the_binary_form_says_the_same_as_the_text(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(binary_dataflash())
    text, binary = read_flight_log(dataflash(tmp_path / "a.log")), read_flight_log(path)
    for mine, other in (
        (binary.track.samples, text.track.samples),
        (binary.camera_events, text.camera_events),
    ):
        assert [s.t_utc_ns for s in mine] == [s.t_utc_ns for s in other]
        for name in (
            "lon_deg",
            "lat_deg",
            "height_m",
            "relative_height_m",
            "yaw_deg",
            "pitch_deg",
            "roll_deg",
        ):
            of_mine, of_other = ([getattr(s, name) for s in samples] for samples in (mine, other))
            np.testing.assert_allclose(of_mine, of_other, rtol=0, atol=2e-7)
    assert binary.home is not None and text.home is not None
    assert binary.home.height_m == text.home.height_m == 300.0


@pytest.mark.parametrize("body", ODD_DATAFLASH.values(), ids=ODD_DATAFLASH.keys())
def test_odd_descriptions_end_in_one_sentence_and_nothing_else_is_said(tmp_path, capfd, body):
    path = tmp_path / "odd.bin"
    path.write_bytes(body)
    with pytest.raises(SourceUnreadable, match=r"odd\.bin"):
        read_dataflash(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.real
def test_the_awkward_tlog_agrees_with_the_photos_that_know_their_place(shared_data):
    log = read_flight_log(shared_data / "flights" / "canberra_tlog" / "flight.tlog")
    said = " ".join(str(one) for one in log.remarks)
    assert "-66.9" in said
    assert "replayed" in said
    # every one of its 32078 packets follows the one before with a checksum that holds, and all were stamped
    # within 132 s: the one "impossible time" that was told of was where pymavlink lost its place for a moment
    assert "impossible time" not in said
    truth = [
        (1478994408.76, 149.16527170571393, -35.36233013),
        (1478994413.37, 149.16496808821856, -35.36221722),
    ]
    for t, lon, lat in truth:
        sample = log.track.pose_at(round(t * 1e9))
        off = np.hypot((sample.lon_deg - lon) * np.cos(np.radians(lat)), sample.lat_deg - lat) * 111_195.0
        assert off < 2.0


@pytest.mark.real
def test_the_other_real_logs_are_read(shared_data):
    tlog = read_flight_log(shared_data / "logs" / "ardupilot_vtol_sim.tlog")
    assert len(tlog.track.samples) > 700
    assert tlog.home is not None
    flash = read_flight_log(shared_data / "logs" / "ardupilot_1s.BIN")
    assert len(flash.track.samples) == 23
    assert flash.track.samples[0].t_utc_ns == pytest.approx(1509241629.95e9, abs=0.1e9)
    old = read_flight_log(shared_data / "logs" / "arducopter_2016.bin").track.samples
    assert len(old) == 1305
    assert (old[0].lat_deg, old[0].lon_deg, old[0].height_m) == (-19.8609234, -43.9601982, 803.26)
    assert old[100].t_utc_ns / 1e9 == pytest.approx(1905 * WEEK_S + 334_018.2 + GPS_EPOCH_S - 17, abs=0.1)
    assert np.isfinite([s.yaw_deg for s in old]).mean() > 0.99
    assert max(s.relative_height_m for s in old) > 10


def test_what_nobody_foresaw_in_a_log_is_said_of_the_log(tmp_path, monkeypatch):
    """One odd file ends no ingest with an internal error; that the disk fails is not said of the file."""
    path = dataflash(tmp_path / "a.log")
    for raised, said in (
        (KeyError("x"), UnexpectedSource),
        (OSError(5, "I/O"), OSError),
        (MemoryError(), MemoryError),
    ):

        def fails(_path, raised=raised):
            raise raised

        monkeypatch.setattr(log_files, "read_dataflash", fails)
        with pytest.raises(said) as caught:
            read_flight_log(path)
        if said is UnexpectedSource:
            assert str(path) in str(caught.value) and str(path) in caught.value.message.in_language("vi")
            assert isinstance(caught.value.__cause__, KeyError)
