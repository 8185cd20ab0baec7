"""What MAVLink says of gimbal, camera, terrain and other aircraft: written packet by packet and read back."""

from __future__ import annotations

import numpy as np
import pytest
from pymavlink.dialects.v20 import ardupilotmega as mav

from flycam.errors import TelemetryGap
from flycam.ingest.telemetry.mavlink import AircraftRegistry, MavlinkAircraft, read_tlog, read_tlog_aircraft
from tests.ingest.photos.made_flights import LAT, LON
from tests.ingest.telemetry.test_flight_logs import T0, east, flight, position, write_tlog
from tests.ingest.telemetry.test_ulog import turned

UNKNOWN = 2**31 - 1


@pytest.fixture
def mavlink():
    return mav.MAVLink(None, srcSystem=1, srcComponent=1)


def sample(path, rows, seconds=30.05):
    return read_tlog(write_tlog(path / "a.tlog", rows)).track.pose_at(round((T0 + seconds) * 1e9))


def boot_ms(k):
    return int((100.0 + k) * 1000)


def with_messages(mavlink, make, seconds=60):
    """A flight and one more message a second, at its own second."""
    return [*flight(mavlink), *[(T0 + k + 0.05, make(k), 1) for k in range(seconds)]]


def device(mavlink, k, flags, yaw=20.0):
    q = turned(yaw=yaw, pitch=-80.0, roll=0.0)
    return mavlink.gimbal_device_attitude_status_encode(0, 0, boot_ms(k), flags, q, 0, 0, 0, 0)


def orientation(mavlink, k, yaw_absolute):
    return mavlink.mount_orientation_encode(boot_ms(k), 0.0, -80.0, 20.0, yaw_absolute)


def status(mavlink, _k, _):
    return mavlink.mount_status_encode(0, 0, -8000, 0, 2000)


@pytest.mark.parametrize(
    ("make", "value", "yaw_deg", "from_nose"),
    [
        (device, 32, 20.0, True),
        (device, 64, 20.0, False),
        (device, 16, 20.0, False),
        (device, 0, 20.0, True),
        (orientation, 0.0, 20.0, True),
        (orientation, 75.0, 75.0, False),
        (status, None, 20.0, True),
    ],
)
def test_a_gimbals_yaw_by_the_frame_of_its_message(tmp_path, mavlink, make, value, yaw_deg, from_nose):
    found = sample(tmp_path, with_messages(mavlink, lambda k: make(mavlink, k, value)))
    assert found.gimbal_pitch_deg == pytest.approx(-80.0, abs=1e-3)
    expected = yaw_deg + (found.yaw_deg if from_nose else 0.0)
    assert (found.gimbal_yaw_deg - expected + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=1e-2)


def test_triggers_alone_are_events_with_the_tracks_place(tmp_path, mavlink):
    rows = [*flight(mavlink)]
    rows += [(T0 + k, mavlink.camera_trigger_encode(int((100 + k) * 1e6), k), 1) for k in (10, 20, 500)]
    events = read_tlog(write_tlog(tmp_path / "a.tlog", rows)).camera_events
    assert len(events) == 2
    assert events[0].lon_deg == pytest.approx(east(10.0), abs=2e-7)


def test_a_lens_and_its_sensor_give_the_field_of_view(tmp_path, mavlink):
    names = b"Maker".ljust(32, b"\0"), b"Model".ljust(32, b"\0")
    lens = mavlink.camera_information_encode(1000, *names, 1, 8.0, 16.0, 9.0, 4000, 2250, 0, 0, 0, b"")
    found = sample(tmp_path, [*flight(mavlink), (T0 + 1, lens, 1)])
    assert found.hfov_deg == pytest.approx(90.0)


MIDDLE = (round(LAT * 1e7), round(LON * 1e7), 300_000)


def fov(mavlink, k, place=MIDDLE, angles=(60.0, 40.0)):
    q = turned(yaw=33.0, pitch=-70.0)
    return mavlink.camera_fov_status_encode(boot_ms(k), UNKNOWN, UNKNOWN, UNKNOWN, *place, q, *angles)


def test_field_of_view_and_the_middle_of_the_picture(tmp_path, mavlink):
    found = sample(tmp_path, with_messages(mavlink, lambda k: fov(mavlink, k)))
    assert found.hfov_deg == pytest.approx(60.0)
    assert found.centre_height_m == 300.0
    assert (found.gimbal_yaw_deg, found.gimbal_pitch_deg) == pytest.approx((33.0, -70.0), abs=1e-3)
    blind = with_messages(mavlink, lambda k: fov(mavlink, k, (UNKNOWN,) * 3, (float("nan"), 0.0)))
    nothing = sample(tmp_path, blind)
    assert np.isnan([nothing.hfov_deg, nothing.centre_height_m]).all()


def test_fix_and_the_attitude_as_a_quaternion(tmp_path, mavlink):
    rows = [row for row in flight(mavlink) if row[1].get_type() != "ATTITUDE"]
    for k in range(240):
        boot = 100.0 + k / 4
        q = turned(yaw=-60.0, pitch=3.0, roll=-2.0)
        rows.append((T0 + k / 4, mavlink.attitude_quaternion_encode(int(boot * 1000), *q, 0, 0, 0), 1))
    for k in range(60):
        gps = mavlink.gps_raw_int_encode(0, 3 if k < 20 else 1, 0, 0, 0, 0, 0, 0, 0, 9)
        rows.append((T0 + k + 0.05, gps, 1))
    log = read_tlog(write_tlog(tmp_path / "a.tlog", rows))
    early, late = (log.track.pose_at(round((T0 + t + 0.05) * 1e9)) for t in (10.0, 50.0))
    assert (early.yaw_deg, early.pitch_deg, early.roll_deg) == pytest.approx((-60.0, 3.0, -2.0), abs=1e-3)
    assert (early.fix, late.fix) == ("3d", "none")


def test_captured_images_take_the_tracks_angles(tmp_path, mavlink):
    def captured(k, result=1):
        place = (round(LAT * 1e7), round(east(k) * 1e7), 420_000, 120_000)
        q = [1.0, 0.0, 0.0, 0.0]
        return mavlink.camera_image_captured_encode(boot_ms(k), 0, 0, *place, q, k, result, b"")

    rows = with_messages(mavlink, lambda k: device(mavlink, k, 64))
    rows += [(T0 + k + 0.3, captured(k, result), 1) for k, result in ((5, 1), (10, 0), (15, 1), (15, 1))]
    events = read_tlog(write_tlog(tmp_path / "a.tlog", rows)).camera_events
    assert [round(e.t_utc_ns / 1e9 - T0, 2) for e in events] == [5.05, 15.05]
    assert events[0].gimbal_pitch_deg == pytest.approx(-80.0, abs=1e-3)
    assert abs(events[0].yaw_deg) > 178.0


def test_several_aircraft_on_one_link_are_kept_apart_and_named(tmp_path, mavlink):
    other = mav.MAVLink(None, srcSystem=7, srcComponent=1)
    rows = [*flight(mavlink), *[(T0 + k, position(other, 500.0 + k), 7) for k in range(30)]]
    path = write_tlog(tmp_path / "a.tlog", sorted(rows, key=lambda r: r[0]))
    logs = read_tlog_aircraft(path)
    assert list(logs) == [1, 7]
    assert [len(log.track.samples) for log in logs.values()] == [240, 30]
    assert logs[7].track.samples[0].lon_deg == pytest.approx(east(400.0), abs=2e-7)
    (remark,) = read_tlog(path).remarks
    assert (remark.values["count"], remark.values["system"]) == (2, 1) and "(30" in str(remark)


def test_two_aircraft_with_one_system_id_do_not_mix(tmp_path, mavlink):
    """The second was switched on later and is elsewhere; only its time since boot tells."""
    rows = flight(mavlink)
    for k in range(100):
        boot = 20.0 + k / 2
        rows.append((T0 + k / 2 + 0.05, position(mavlink, boot), 1))
        rows.append((T0 + k / 2 + 0.05, mavlink.attitude_encode(int(boot * 1000), 0, 0, 1.0, 0, 0, 0), 1))
    log = read_tlog(write_tlog(tmp_path / "a.tlog", sorted(rows, key=lambda r: r[0])))
    assert len(log.track.samples) == 240
    assert abs(log.track.pose_at(round((T0 + 30.05) * 1e9)).yaw_deg) > 170.0
    (remark,) = log.remarks
    assert (remark.values["system"], remark.values["count"]) == (1, 100)


def test_a_link_fed_message_by_message_gives_what_the_file_gives(tmp_path, mavlink):
    rows = with_messages(mavlink, lambda k: device(mavlink, k, 64))
    log = read_tlog(write_tlog(tmp_path / "a.tlog", rows))
    link = AircraftRegistry()
    for arrival, message, _ in rows:
        message.pack(mavlink)
        link.add(int(arrival * 1e6) / 1e6, message)
    (aircraft,) = link.active_aircraft()
    live = aircraft.flight_log("a.tlog")
    at = round((T0 + 30.1) * 1e9)
    ours, theirs = live.track.pose_at(at), log.track.pose_at(at)
    assert len(live.track.samples) == len(log.track.samples)
    assert ours.lon_deg == pytest.approx(theirs.lon_deg, abs=1e-9)
    assert ours.gimbal_pitch_deg == pytest.approx(theirs.gimbal_pitch_deg, abs=1e-3)


def test_a_live_aircraft_forgets_the_past_but_not_its_home(mavlink):
    aircraft = MavlinkAircraft(1)
    home = mavlink.home_position_encode(
        int(LAT * 1e7), int(LON * 1e7), 300_000, 0, 0, 0, [1, 0, 0, 0], 0, 0, 0
    )
    aircraft.add(T0, home)
    for arrival, message, _ in flight(mavlink):
        aircraft.add(arrival, message)
        aircraft.forget_before(arrival - 10.0)
    assert aircraft.positions == 41
    log = aircraft.flight_log("link")
    assert log.home is not None
    assert log.home.height_m == 300.0
    with pytest.raises(TelemetryGap):
        log.track.pose_at(round((T0 + 20) * 1e9))


@pytest.mark.real
def test_real_logs_tell_the_fix(shared_data):
    vtol = read_tlog(shared_data / "logs" / "ardupilot_vtol_sim.tlog")
    assert len(vtol.track.samples) == 807
    assert {s.fix for s in vtol.track.samples} == {"unknown", "rtk_fixed"}
    plane = read_tlog(shared_data / "flights" / "canberra_tlog" / "flight.tlog")
    assert len(plane.track.samples) == 211
    assert {s.fix for s in plane.track.samples} == {"3d", "dgps"}
    (remark,) = vtol.remarks
    assert remark.values["seconds"] == pytest.approx(-15.5, abs=0.05)


def test_a_gimbal_that_falls_silent_is_unknown_not_frozen(tmp_path, mavlink):
    rows = [
        row
        for row in with_messages(mavlink, lambda k: device(mavlink, k, 64))
        if row[1].get_type() == "GLOBAL_POSITION_INT" or not T0 + 20 < row[0] < T0 + 40
    ]
    log = read_tlog(write_tlog(tmp_path / "a.tlog", rows))
    assert np.isnan(log.track.pose_at(round((T0 + 30.05) * 1e9)).gimbal_pitch_deg)
    assert np.isnan(log.track.pose_at(round((T0 + 30.05) * 1e9)).yaw_deg)
    assert log.track.pose_at(round((T0 + 45.05) * 1e9)).gimbal_pitch_deg == pytest.approx(-80.0, abs=1e-3)
