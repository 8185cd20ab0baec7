"""PX4 logs, written here message by message and read back; and the real ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from flycam.errors import SourceUnreadable, TelemetryGap
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.telemetry.ulog import read_ulog
from tests.ingest.photos.made_flights import LAT, LON

T0_US = 1_758_333_600_000_000
BOOT_US = 20_000_000
SYNC = bytes.fromhex("2f731320250cbb12")
FORMATS = {
    "vehicle_global_position": "uint64_t timestamp;double lat;double lon;float alt;float alt_ellipsoid",
    "vehicle_gps_position": "uint64_t timestamp;uint64_t time_utc_usec;int32_t lat;int32_t lon;int32_t alt;"
    "int32_t alt_ellipsoid;float vel_m_s;uint8_t fix_type;uint8_t[3] _padding0",
    "sensor_gps": "uint64_t timestamp;uint64_t time_utc_usec;double latitude_deg;double longitude_deg;"
    "double altitude_msl_m;double altitude_ellipsoid_m;float vel_m_s;uint8_t fix_type",
    "vehicle_attitude": "uint64_t timestamp;float[4] q",
    "gimbal_device_attitude_status": "uint64_t timestamp;float[4] q;uint16_t device_flags",
    "mount_orientation": "uint64_t timestamp;float[3] attitude_euler_angle",
    "camera_capture": "uint64_t timestamp;uint64_t timestamp_utc;double lat;double lon;uint32_t seq;"
    "float alt;float ground_distance;float[4] q;int8_t result",
    "camera_trigger": "uint64_t timestamp;uint64_t timestamp_utc;uint32_t seq;bool feedback",
    "home_position": "uint64_t timestamp;double lat;double lon;float alt;bool valid_alt;bool valid_hpos",
    "stranger": "uint64_t timestamp;inner[2] parts",
    "inner": "float a;uint8_t b",
}
CODES = {"double": "d", "float": "f", "uint64_t": "Q", "int32_t": "i", "uint32_t": "I", "uint16_t": "H"}
CODES |= {"uint8_t": "B", "int8_t": "b", "bool": "?"}


@dataclass
class Writer:
    """A ULog made of the topics given to it."""

    data: bytearray = field(default_factory=lambda: bytearray(b"ULog\x01\x12\x35\x01" + bytes(8)))
    numbers: dict[str, int] = field(default_factory=dict)

    def message(self, kind: str, body: bytes) -> None:
        self.data += struct.pack("<HB", len(body), ord(kind)) + body

    def topic(self, name: str, instance: int = 0) -> None:
        number = len(self.numbers)
        self.numbers[f"{name}{instance or ''}"] = number
        if instance == 0:
            self.message("F", f"{name}:{FORMATS[name]};".encode())
        self.message("A", struct.pack("<BH", instance, number) + name.encode())

    def row(self, name: str, *values: object, instance: int = 0) -> None:
        if f"{name}{instance or ''}" not in self.numbers:
            self.topic(name, instance)
        kinds = [part.split()[0] for part in FORMATS[name].split(";") if "_padding" not in part]
        code = "<" + "".join(
            f"{kind.split('[')[1][:-1]}{CODES[kind.split('[')[0]]}" if "[" in kind else CODES[kind]
            for kind in kinds
        )
        flat_values = [v for value in values for v in (value if isinstance(value, tuple) else (value,))]
        self.message(
            "D", struct.pack("<H", self.numbers[f"{name}{instance or ''}"]) + struct.pack(code, *flat_values)
        )

    def save(self, path: Path) -> Path:
        path.write_bytes(bytes(self.data))
        return path


def east(seconds: float) -> float:
    return LON + 10.0 * seconds / (111_195.0 * np.cos(np.radians(LAT)))


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> tuple[float, ...]:
    """Quaternion w, x, y, z of yaw, pitch, roll in degrees."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll]) / 2) for f in (np.cos, np.sin))
    w = cr * cp * cy + sr * sp * sy
    x = sr * cp * cy - cr * sp * sy
    y = cr * sp * cy + sr * cp * sy
    z = cr * cp * sy - sr * sp * cy
    return float(w), float(x), float(y), float(z)


def flight(
    writer: Writer, seconds: int = 20, gps: bool = True, fused: bool = True, utc_us: int = T0_US
) -> None:
    writer.row("home_position", BOOT_US, LAT, LON, 300.0, True, True)
    for k in range(seconds * 10):
        us, t = BOOT_US + k * 100_000, k / 10
        if gps and k % 2 == 0:
            place = (round(LAT * 1e7), round(east(t) * 1e7), 420_000, 390_000)
            writer.row("vehicle_gps_position", us, utc_us + k * 100_000, *place, 10.0, 3)
        if fused:
            writer.row("vehicle_global_position", us, LAT, east(t), 420.0, 390.0)
        writer.row("vehicle_attitude", us, turned(yaw=179.0 + (k % 3), pitch=2.0, roll=-1.0))


def test_a_track_in_utc_with_angles_heights_and_home(tmp_path):
    writer = Writer()
    flight(writer)
    log = read_flight_log(writer.save(tmp_path / "a.ulg"))
    sample = log.track.pose_at((T0_US + 12_350_000) * 1000)
    assert sample.lon_deg == pytest.approx(east(12.35), abs=1e-9)
    assert (sample.height_m, sample.height_datum, sample.relative_height_m) == (420.0, "EGM96", 120.0)
    assert (sample.speed_mps, sample.fix) == (10.0, "3d")
    assert abs(sample.yaw_deg) > 178.0
    assert (sample.pitch_deg, sample.roll_deg) == pytest.approx((2.0, -1.0), abs=1e-3)
    assert log.home is not None
    assert (log.home.lon_deg, log.home.height_m) == (LON, 300.0)
    with pytest.raises(TelemetryGap):
        log.track.pose_at((T0_US - 1) * 1000)


def test_without_estimates_the_receivers_fixes_are_used_in_both_dialects(tmp_path):
    old, new = Writer(), Writer()
    flight(old, fused=False)
    flight(new, fused=False, gps=False)
    for k in range(50):
        us = BOOT_US + k * 200_000
        place = (LAT, east(k / 5), 420.0, 390.0)
        new.row("sensor_gps", us, T0_US + k * 200_000, *place, 10.0, 2 if k < 5 else 6)
    for writer, count, fix in ((old, 100, "3d"), (new, 45, "rtk_fixed")):
        log = read_ulog(writer.save(tmp_path / "a.ulg"))
        assert len(log.track.samples) == count
        assert any("receiver's own fixes" in str(one) for one in log.remarks)
        sample = log.track.pose_at((T0_US + 5_100_000) * 1000)
        assert sample.lon_deg == pytest.approx(east(5.1), abs=1e-7)
        assert (sample.height_m, sample.fix) == (420.0, fix)


NOSE_ANGLES = tuple(np.radians([0.0, -60.0, 20.0]))  # roll, pitch, yaw


@pytest.mark.parametrize(
    ("topic", "values", "from_nose"),
    [
        *(("gimbal_device_attitude_status", (turned(20.0, -60.0), n), n in (0, 32)) for n in (32, 64, 16, 0)),
        ("mount_orientation", (NOSE_ANGLES,), True),
    ],
)
def test_a_gimbals_yaw_counts_from_where_its_topic_says(tmp_path, topic, values, from_nose):
    writer = Writer()
    flight(writer)
    for k in range(100):
        writer.row(topic, BOOT_US + k * 100_000, *values)
    sample = read_ulog(writer.save(tmp_path / "a.ulg")).track.pose_at((T0_US + 5_000_000) * 1000)
    assert sample.gimbal_pitch_deg == pytest.approx(-60.0, abs=1e-3)
    expected = 20.0 + (sample.yaw_deg if from_nose else 0.0)
    assert (sample.gimbal_yaw_deg - expected + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=1e-3)


def test_triggers_take_their_place_from_the_track_and_the_shutter_beats_the_command(tmp_path):
    writer = Writer()
    flight(writer)
    for seq in range(6):
        us = BOOT_US + seq * 4_000_000
        writer.row("camera_trigger", us, 0, seq, False)
        writer.row("camera_trigger", us + 80_000, 0, seq, True)
    events = read_ulog(writer.save(tmp_path / "a.ulg")).camera_events
    assert len(events) == 5 and events[1].lon_deg == pytest.approx(east(4.08), abs=1e-9)


def test_captures_are_events_failed_and_repeated_ones_are_not(tmp_path):
    writer = Writer()
    flight(writer)
    for seq, result in ((1, 1), (2, 0), (3, 1), (3, 1)):
        us = BOOT_US + seq * 2_000_000 + 50_000
        place = (LAT, east(seq * 2 + 0.05), seq, 421.0, 100.0)
        writer.row("camera_capture", us, 0, *place, turned(yaw=77.0), result)
    log = read_ulog(writer.save(tmp_path / "a.ulg"))
    assert [e.t_utc_ns // 1000 - T0_US for e in log.camera_events] == [2_050_000, 6_050_000]
    event = log.camera_events[0]
    assert (event.height_m, event.relative_height_m) == (421.0, 121.0)
    assert abs(event.yaw_deg) > 178.0  # the aircraft's as logged, not the capture's own idea
    assert any("1 capture failed" in str(one) for one in log.remarks)


def test_what_was_appended_after_a_crash_is_read(tmp_path):
    """The message at the break is cut; the flag message says where writing went on."""
    writer = Writer()
    flags_at = len(writer.data) + 3
    writer.message("B", bytes(40))
    flight(writer, seconds=10)
    broken = len(writer.data)
    writer.row("vehicle_global_position", BOOT_US + 10_000_000, LAT, east(10.0), 420.0, 390.0)
    del writer.data[broken + 9 :]
    writer.data[flags_at + 8] = 1
    writer.data[flags_at + 16 : flags_at + 24] = struct.pack("<Q", len(writer.data))
    for k in range(101, 120):
        writer.row("vehicle_global_position", BOOT_US + k * 100_000, LAT, east(k / 10), 420.0, 390.0)
    log = read_ulog(writer.save(tmp_path / "a.ulg"))
    assert len(log.track.samples) == 119
    assert any("breaks off" in str(one) for one in log.remarks)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda w: flight(w, gps=False), "GPS fix"),
        (lambda w: flight(w, utc_us=1_000_000), "GPS fix"),
        (lambda w: None, "GPS fix"),
        (lambda w: w.row("vehicle_gps_position", 5, T0_US, 0, 0, 0, 0, 0.0, 3), "no position"),
        (lambda w: w.data.extend(bytes(5000)), "GPS fix"),
    ],
)
def test_logs_without_time_or_place_are_refused_in_one_sentence(tmp_path, spoil, words):
    writer = Writer()
    spoil(writer)
    path = writer.save(tmp_path / "bad.ulg")
    with pytest.raises(SourceUnreadable, match=rf"bad\.ulg.*{words}"):
        read_flight_log(path)


def nested(fields: int) -> list[str]:
    """Descriptions that hold one another eight deep, `fields` times each: the whole would be fields⁸."""
    within = "".join(f"l{{0}} a{i};" for i in range(fields))
    first = f"vehicle_global_position:uint64_t timestamp;{within.format(*['1'] * fields)}"
    return [first, *(f"l{k}:{within.format(*[k + 1] * fields)}" for k in range(1, 9))]


OVERGROWN = {
    "each holds a hundred of the next, eight deep": nested(100),
    "a count of 5000 digits": [f"vehicle_global_position:uint64_t timestamp;uint8_t[{'9' * 5000}] a;"],
}


def overgrown(formats: list[str], seconds: int = 2) -> Writer:
    """A flight whose estimated positions are described so, before anything else is."""
    writer = Writer()
    for described in formats:
        writer.message("F", described.encode())
    writer.message("A", struct.pack("<BH", 0, 0) + b"vehicle_global_position")
    writer.message("D", struct.pack("<HQ", 0, BOOT_US) + bytes(40))
    writer.numbers["vehicle_global_position"] = 0
    flight(writer, seconds=seconds, fused=False)
    return writer


@pytest.mark.parametrize("formats", OVERGROWN.values(), ids=OVERGROWN.keys())
def test_a_description_that_no_message_can_hold_costs_its_topic_and_nothing_else(tmp_path, formats):
    log = read_ulog(overgrown(formats).save(tmp_path / "a.ulg"))
    assert len(log.track.samples) == 10  # the receiver's own fixes
    assert any("1 record is" in str(one) for one in log.remarks)


@pytest.mark.real
def test_the_real_logs(shared_data):
    rover = read_flight_log(shared_data / "logs" / "sample_log_small.ulg")
    assert len(rover.track.samples) == 32
    first = rover.track.samples[0]
    assert first.t_utc_ns == 1_618_986_658_613_318_000  # 2021-04-21, Trondheim
    assert (first.lon_deg, first.lat_deg) == pytest.approx((10.4082151, 63.4170622), abs=1e-9)
    assert first.height_m == pytest.approx(66.814)
    assert [one.values.get("seconds") for one in rover.remarks] == [pytest.approx(0.03, abs=0.005), None]
    simulated = read_flight_log(shared_data / "logs" / "sample_px4_events.ulg")
    assert len(simulated.track.samples) == 109
    assert simulated.home is not None
    assert simulated.home.height_m == pytest.approx(487.7458, abs=1e-4)
    assert simulated.track.samples[0].t_utc_ns == 1_710_773_360_054_000_000
    assert (rover.camera_events, simulated.camera_events) == ((), ())


def test_a_gap_of_five_seconds_is_not_bridged(tmp_path):
    writer = Writer()
    flight(writer, seconds=5)
    for k in range(100, 150):
        writer.row("vehicle_global_position", BOOT_US + k * 100_000, LAT, east(k / 10), 420.0, 390.0)
    log = read_ulog(writer.save(tmp_path / "a.ulg"))
    with pytest.raises(TelemetryGap):
        log.track.pose_at((T0_US + 7_000_000) * 1000)
