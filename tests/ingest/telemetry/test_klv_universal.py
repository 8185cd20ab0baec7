"""MISB 0104, the universal set before ST 0601: the same flight as ST 0601 would tell it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from flycam.ingest.telemetry.klv import SET_KEY
from flycam.ingest.telemetry.log_files import read_flight_log
from tests.ingest.telemetry.test_klv import T0_US

KEYS = {
    "time": "060e2b3401010103 0702010101050000",
    "heading": "060e2b3401010107 0701100106000000",
    "pitch": "060e2b3401010107 0701100105000000",
    "roll": "060e2b3401010107 0701100104000000",
    "lat": "060e2b3401010103 0701020102040200",
    "lon": "060e2b3401010103 0701020102060200",
    "height": "060e2b3401010101 0701020102020000",
    "hfov": "060e2b3401010102 0420020101080000",
    "centre_lat": "060e2b3401010101 0701020103020000",
    "centre_lon": "060e2b3401010101 0701020103040000",
    "centre_height": "060e2b340101010a 0701020103160000",
}
FLIGHT = {
    "lat": 21.9,
    "lon": 104.8,
    "height": 2100.5,
    "heading": 359.5,
    "pitch": -2.25,
    "roll": 31.0,
    "hfov": 12.5,
    "centre_lat": 21.91,
    "centre_lon": 104.81,
    "centre_height": 700.0,
}


def item(name: str, value: bytes) -> bytes:
    return bytes.fromhex(KEYS[name]) + bytes([len(value)]) + value


def universal(t_us: int = T0_US, **items: float) -> bytes:
    """A packet of these items: places as doubles, the rest as floats."""
    body = item("time", struct.pack(">Q", t_us))
    for name, value in items.items():
        body += item(name, struct.pack(">d" if name.endswith(("lat", "lon")) else ">f", value))
    return SET_KEY + b"\x82" + len(body).to_bytes(2, "big") + body


def test_a_flight_is_read_as_if_it_were_told_in_st_0601(tmp_path: Path) -> None:
    path = tmp_path / "a.klv"
    path.write_bytes(b"".join(universal(T0_US + k * 100_000, **FLIGHT) for k in range(5)))
    log = read_flight_log(path)
    assert len(log.track.samples) == 5 and log.remarks == ()
    one = log.track.samples[0]
    assert one.t_utc_ns == T0_US * 1000
    assert (one.lat_deg, one.lon_deg) == pytest.approx((21.9, 104.8), abs=1e-7)
    assert (one.height_m, one.height_datum) == (pytest.approx(2100.5, abs=0.2), "EGM96")
    assert (one.yaw_deg, one.pitch_deg, one.roll_deg) == pytest.approx((359.5, -2.25, 31.0), abs=0.003)
    assert one.hfov_deg == pytest.approx(12.5, abs=0.002)
    # its sensor's own angles mean different things in different films: it looks at the frame's centre
    east = np.radians(0.01) * 6_371_008.8 * np.cos(np.radians(21.9))
    north = np.radians(0.01) * 6_371_008.8
    assert one.gimbal_yaw_deg == pytest.approx(np.degrees(np.arctan2(east, north)), abs=0.01)
    assert one.gimbal_pitch_deg == pytest.approx(
        -np.degrees(np.arctan2(1400.5, np.hypot(east, north))), abs=0.02
    )
