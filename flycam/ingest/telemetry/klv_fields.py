"""Decoding of ST 0601 tags to numbers, for all packets at once.

A tag is an integer that spans a range: unsigned n bits lie on [low, high] in 2ⁿ - 1 steps; signed ones on
±high in 2ⁿ - 2 steps, and their most negative value means "out of range" or "error" and becomes NaN.

Source: MISB ST 0601, the tables of the single tags.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.rotation import gimbal_from_rotation, rotation_from_gimbal

Floats = NDArray[np.float64]

_HEIGHT = (2, -900.0, 19_000.0)
# unsigned integers, tag: (bytes, low, high)
_UNSIGNED = {
    5: (2, 0.0, 360.0),
    15: _HEIGHT,
    16: (2, 0.0, 180.0),
    17: (2, 0.0, 180.0),
    18: (4, 0.0, 360.0),
    20: (4, 0.0, 360.0),
    21: (4, 0.0, 5_000_000.0),
    22: (2, 0.0, 10_000.0),
    25: _HEIGHT,
    75: _HEIGHT,
    78: _HEIGHT,
}
# signed integers, tag: (bytes, high)
_SIGNED = {
    6: (2, 20.0),
    7: (2, 50.0),
    13: (4, 90.0),
    14: (4, 180.0),
    19: (4, 180.0),
    23: (4, 90.0),
    24: (4, 180.0),
    **dict.fromkeys(range(26, 34), (2, 0.075)),
    **{tag: (4, 90.0 if tag % 2 == 0 else 180.0) for tag in range(82, 90)},
    90: (4, 90.0),
    91: (4, 90.0),
}
_EARTH_RADIUS_M = 6_371_008.8
# Share of the height: so close to nadir, errors of the two positions turn the frame at random.
_NEARLY_DOWN = 0.1
TIME_TAG, _VERSION_TAG = 2, 65


@dataclass(frozen=True, kw_only=True, slots=True)
class KlvFields:
    """Decoded tags of N packets in order; degrees, metres, NaN where absent.

    t_ns     N, 0 unknown
    body     N×3 heading, pitch, roll of the platform; pitch and roll of full range where sent
    sensor   N×3 azimuth, elevation, roll against the platform
    gimbal   N×3 yaw, pitch, roll of the sensor in the world, composed from the two; where the sensor's angles
             are not sent, towards the frame's centre
    fov      N×2 horizontal, vertical
    corners  N×4×2 longitude, latitude of the frame's corners, clockwise from its upper left
    """

    t_ns: NDArray[np.int64]
    version: Floats
    lonlat: Floats
    height_msl_m: Floats
    height_ellipsoid_m: Floats
    body: Floats
    sensor: Floats
    gimbal: Floats
    fov: Floats
    slant_range_m: Floats
    target_width_m: Floats
    centre_lonlat: Floats
    centre_msl_m: Floats
    centre_ellipsoid_m: Floats
    corners: Floats

    def __len__(self) -> int:
        return len(self.t_ns)


def decode_fields(packets: Sequence[dict[int, bytes]]) -> KlvFields:
    """Decode all packets; a value of non-standard size counts as absent."""
    column = {tag: _unsigned(packets, tag, *how) for tag, how in _UNSIGNED.items()}
    column |= {tag: _signed(packets, tag, *how) for tag, how in _SIGNED.items()}
    pitch = np.where(np.isfinite(column[90]), column[90], column[6])
    roll = np.where(np.isfinite(column[91]), column[91], column[7])
    body = np.stack([column[5], pitch, roll], axis=1)
    # a sensor without roll does not roll: ST 0601 makes tag 20 optional
    no_roll = np.isnan(column[20]) & np.isfinite(column[19])
    sensor = np.stack([column[18], column[19], np.where(no_roll, 0.0, column[20])], axis=1)
    centre = np.stack([column[24], column[23]], axis=1)
    offsets = np.stack([np.stack([column[tag + 1], column[tag]], axis=1) for tag in (26, 28, 30, 32)], axis=1)
    full = np.stack([np.stack([column[tag + 1], column[tag]], axis=1) for tag in (82, 84, 86, 88)], axis=1)
    lonlat = np.stack([column[14], column[13]], axis=1)
    gimbal = to_world_gimbal(body, sensor)
    down = np.where(
        np.isfinite(column[15]) & np.isfinite(column[25]), column[15] - column[25], column[75] - column[78]
    )
    towards = compute_gimbal_towards(lonlat, centre, down, body[:, 0])
    times, known = _integers(packets, TIME_TAG, 8, signed=False)
    return KlvFields(
        t_ns=np.where(known & (times < 2**53), times, 0) * 1000,
        version=np.where(*_version(packets)),
        lonlat=lonlat,
        height_msl_m=column[15],
        height_ellipsoid_m=column[75],
        body=body,
        sensor=sensor,
        gimbal=np.where(np.isfinite(gimbal), gimbal, towards),
        fov=np.stack([column[16], column[17]], axis=1),
        slant_range_m=column[21],
        target_width_m=column[22],
        centre_lonlat=centre,
        centre_msl_m=column[25],
        centre_ellipsoid_m=column[78],
        corners=np.where(np.isfinite(full), full, centre[:, None, :] + offsets),
    )


def encode_tag(tag: int, number: float) -> bytes | None:
    """Encode a number in degrees or metres as a tag's value; None if out of range."""
    if not math.isfinite(number):
        return None
    if tag in _SIGNED:
        size, high = _SIGNED[tag]
        most = 256**size // 2 - 1
        steps = round(number / high * most)
        return steps.to_bytes(size, "big", signed=True) if abs(steps) <= most else None
    size, low, high = _UNSIGNED[tag]
    most = 256**size - 1
    steps = round((number - low) / (high - low) * most)
    return steps.to_bytes(size, "big") if 0 <= steps <= most else None


def to_world_gimbal(body_deg: Floats, sensor_deg: Floats) -> Floats:
    """Compose platform and sensor angles to yaw, pitch, roll of the sensor, N×3.

    N×3 platform (heading, pitch, roll), N×3 sensor (azimuth, elevation, roll). ST 0601 turns the sensor
    inside the platform: Rz(heading) Ry(pitch) Rx(roll) Rz(azimuth) Ry(elevation) Rx(sensor roll),
    north-east-down. NaN where any of the six is unknown.
    """
    known = np.isfinite(np.concatenate([body_deg, sensor_deg], axis=1)).all(axis=1)
    body, sensor = (np.radians(np.where(known[:, None], a, 0.0)) for a in (body_deg, sensor_deg))
    level = rotation_from_gimbal(0.0, 0.0, 0.0)
    turned = rotation_from_gimbal(*sensor.T) @ level.T @ rotation_from_gimbal(*body.T)
    return np.where(known[:, None], np.degrees(gimbal_from_rotation(turned)), np.nan)


def compute_gimbal_towards(
    lonlat: Floats, centre_lonlat: Floats, down_m: Floats, heading_deg: Floats
) -> Floats:
    """Return yaw, pitch, roll (degrees), N×3, of sensors that look at given points.

    From N×2 longitudes, latitudes to others that lie `down_m` lower. The sensors do not roll; one that looks
    nearly straight down is turned as the aircraft heads. The ground is taken as a plane, and the Earth as a
    sphere.
    """
    east, north = (np.radians((centre_lonlat - lonlat + 180.0) % 360.0 - 180.0) * _EARTH_RADIUS_M).T
    east = east * np.cos(np.radians(lonlat[:, 1]))
    level = np.hypot(east, north)
    is_down = level < _NEARLY_DOWN * down_m
    yaw = np.where(is_down, heading_deg, np.degrees(np.arctan2(east, north)))
    pitch = np.where(is_down, -90.0, -np.degrees(np.arctan2(down_m, level)))
    found = np.stack([yaw, pitch, np.zeros_like(yaw)], axis=1)
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)


def _unsigned(packets: Sequence[dict[int, bytes]], tag: int, size: int, low: float, high: float) -> Floats:
    values, known = _integers(packets, tag, size, signed=False)
    return np.where(known, low + values * ((high - low) / (256**size - 1)), np.nan)


def _signed(packets: Sequence[dict[int, bytes]], tag: int, size: int, high: float) -> Floats:
    values, known = _integers(packets, tag, size, signed=True)
    most = 256**size // 2
    return np.where(known & (values != -most), values * (high / (most - 1)), np.nan)


def _version(packets: Sequence[dict[int, bytes]]) -> tuple[NDArray[np.bool_], NDArray[np.int64], float]:
    values, known = _integers(packets, _VERSION_TAG, 1, signed=False)
    return known, values, np.nan


def _integers(
    packets: Sequence[dict[int, bytes]], tag: int, size: int, signed: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return a tag's integers (N, 0 where absent) and a mask of known values.

    Values of non-standard size count as unknown.
    """
    raw = [packet.get(tag, b"") for packet in packets]
    known = np.array([len(value) == size for value in raw], dtype=bool)
    filler = bytes(size)
    joined = b"".join(value if ok else filler for value, ok in zip(raw, known, strict=True))
    values = np.frombuffer(joined, dtype=f">{'i' if signed else 'u'}{size}")
    return values.astype(np.int64), known
