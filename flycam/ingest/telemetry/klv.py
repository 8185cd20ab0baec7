"""MISB ST 0601 (UAS Datalink Local Set) and MISB 0104: decoding of KLV packets.

Key, length, value packets lie beside or inside a video. `PacketSplitter` takes bytes as they come (a file, a
socket, the data stream of an MPEG-TS) and returns whole packets whose checksum is right; `decode_fields`
decodes them. Packets of MISB 0104, the universal set before ST 0601, become packets of ST 0601
(`to_local_tags`).

Sources: MISB ST 0601 (local set, checksum, tags), SMPTE ST 336 (key, BER length, BER-OID tag).
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import SourceUnreadable
from flycam.geometry.pose import gimbal_from_rotation, rotation_from_gimbal
from flycam.ingest.telemetry.flight_log import FlightLog, require_bounded_log, sort_samples
from flycam.messages import Message, _, join, ngettext
from flycam.model.telemetry import TelemetrySample, TelemetryTrack
from flycam.model.time import EARLIEST_NS, LATEST_NS
from flycam.storage.files import make_unopenable

# -- Decoding of ST 0601 tags to numbers -----------------------------------------------------------
#
# A tag is an integer that spans a range: unsigned n bits lie on [low, high] in 2ⁿ - 1 steps; signed ones on
# ±high in 2ⁿ - 2 steps, and their most negative value means "out of range" or "error" and becomes NaN.
#
# Source: MISB ST 0601, the tables of the single tags.


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


# -- MISB 0104 universal set, as tags of ST 0601 ---------------------------------------------------
#
# A set is a sequence of items, each a 16-byte key, a BER length and a value in full: floats where ST 0601 has
# integers that span a range. The items that flycam uses are encoded as in ST 0601, to half a step of its
# ranges. The set has no checksum. Sources: MISB EG 0104.5 (the set's key), ST 0601.12 (each tag's universal
# key), SMPTE ST 336 (BER length).


SET_KEY = bytes.fromhex("060e2b34020101010e01010201010000")
_KEY = 16
_FLOATS = {4: ">f", 8: ">d"}
_LABEL = bytes.fromhex("060e2b34010101")
# Each item's key after the shared label, and its tag in ST 0601.
_TAGS = {
    _LABEL + bytes.fromhex(key): tag
    for key, tag in {
        "03 0702010101050000": TIME_TAG,
        "07 0701100106000000": 5,  # heading, pitch, roll of the platform
        "07 0701100105000000": 90,
        "07 0701100104000000": 91,
        "03 0701020102040200": 13,  # latitude, longitude, height of the sensor
        "03 0701020102060200": 14,
        "01 0701020102020000": 15,
        "02 0420020101080000": 16,  # field of view
        "07 04200201010a0100": 17,
        # azimuth, elevation, roll of the sensor against the platform
        "01 0e01010204000000": 18,
        "01 0e01010205000000": 19,
        "01 0e01010206000000": 20,
        "01 0701080101000000": 21,  # slant range, width on the ground
        "01 0701090201000000": 22,
        "01 0701020103020000": 23,  # frame centre on the ground
        "01 0701020103040000": 24,
        "0a 0701020103160000": 25,
        **{f"03 0701020103{6 + corner:02x}0100": 80 + 2 * corner for corner in range(1, 5)},
        **{f"03 0701020103{10 + corner:02x}0100": 81 + 2 * corner for corner in range(1, 5)},
    }.items()
}


def to_local_tags(value: bytes) -> dict[int, bytes] | None:
    """Convert a universal set's content to ST 0601 tags and value bytes.

    None if its lengths do not add up. Items that flycam does not use, or whose value is out of the tag's
    range, are dropped.
    """
    tags: dict[int, bytes] = {}
    at = 0
    while at < len(value):
        head = decode_ber_length(value, at + _KEY)
        if head is None or head[1] + head[0] > len(value):
            return None
        length, start = head
        tag, item = _TAGS.get(value[at : at + _KEY]), value[start : start + length]
        at = start + length
        if tag == TIME_TAG:
            tags[tag] = item
        elif tag is not None and length in _FLOATS:
            written = encode_tag(tag, struct.unpack(_FLOATS[length], item)[0])
            if written is not None:
                tags[tag] = written
    return tags


def decode_ber_length(data: bytes, at: int) -> tuple[int, int] | None:
    """Return (length, index of the value) of a BER length.

    None if it is cut off or of an unknown size.
    """
    if at >= len(data):
        return None
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if not 1 <= count <= 8 or at + 1 + count > len(data):
        return None
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


# -- Packets of ST 0601: splitting, checksum, and flight log ---------------------------------------


UNIVERSAL_KEY = bytes.fromhex("060e2b34020b01010e01030101000000")
MAX_GAP_S = 2.5
_MAX_PACKET_BYTES = 65_536
_MAX_TAG_BYTES = 4  # the standard's last tag has two
_CHUNK = 1 << 20
_CHECKSUM_TAG = 1
_ANY_KEY = re.compile(b"|".join(map(re.escape, (UNIVERSAL_KEY, SET_KEY))))
_BATCH = 1024  # packets turned into numbers at once
_MIN_CHECKED_SHARE = 0.05
"""Share of positions with a right checksum below which the encoder is taken to compute it differently.

One in 65,536 is right by chance.
"""

_REASONS = {
    "checksum": ngettext(
        "{count} packet has a wrong checksum and is not used",
        "{count} packets have a wrong checksum and are not used",
        1,
    ),
    "no_checksum": ngettext(
        "{count} packet has no checksum and is not used",
        "{count} packets have no checksum and are not used",
        1,
    ),
    "checksum_used": ngettext(
        "{count} packet has a wrong checksum, as have next to all that tell a position, and is used "
        "unchecked",
        "{count} packets have a wrong checksum, as have next to all that tell a position, and are used "
        "unchecked",
        1,
    ),
    "no_checksum_used": ngettext(
        "{count} packet has no checksum, as next to none that gives a position, and is used unchecked",
        "{count} packets have no checksum, as next to none that gives a position, and are used unchecked",
        1,
    ),
    "malformed": ngettext(
        "{count} packet is malformed",
        "{count} packets are malformed",
        1,
    ),
    "too_long": ngettext(
        "{count} packet claims to be longer than any packet",
        "{count} packets claim to be longer than any packet",
        1,
    ),
    "truncated": ngettext(
        "{count} packet is cut off at the end",
        "{count} packets are cut off at the end",
        1,
    ),
    "no_position": ngettext(
        "{count} packet has no position",
        "{count} packets have no position",
        1,
    ),
    "no_time": ngettext(
        "{count} packet has no time, or one before 2005",
        "{count} packets have no time, or one before 2005",
        1,
    ),
    "time_not_increasing": ngettext(
        "{count} packet repeats a time",
        "{count} packets repeat a time",
        1,
    ),
}


@dataclass(slots=True)
class PacketSplitter:
    """Splitter of a byte stream into local sets, tag to value bytes.

    counts   "packets" read well, and the others by reason; "stray_bytes" between packets
    doubted  well-formed packets of the last piece without a right checksum, by reason

    Pieces may have any size. Never holds more than one longest packet (64 KiB) beyond the piece it was given.
    Takes time proportional to the bytes, whatever they are.
    """

    counts: Counter[str] = field(default_factory=Counter)
    doubted: dict[str, list[dict[int, bytes]]] = field(default_factory=dict)
    _held: bytes = b""
    _to_read_again: int = _MAX_PACKET_BYTES

    def feed(self, piece: bytes) -> list[dict[int, bytes]]:
        """Return the packets that `piece` completes."""
        data = self._held + piece
        self._to_read_again += len(piece)
        self.doubted = {}
        packets: list[dict[int, bytes]] = []
        at = 0
        while True:
            found_key = _ANY_KEY.search(data, at)
            if found_key is None:
                keep = min(len(UNIVERSAL_KEY) - 1, len(data) - at)
                self.counts["stray_bytes"] += len(data) - at - keep
                self._held = data[len(data) - keep :]
                return packets
            start = found_key.start()
            self.counts["stray_bytes"] += start - at
            head = decode_ber_length(data, start + len(UNIVERSAL_KEY))
            if head is None or head[0] > _MAX_PACKET_BYTES:
                if head is None and len(data) - start < len(UNIVERSAL_KEY) + 9:
                    self._held = data[start:]
                    return packets
                self.counts["too_long"] += 1
                at = start + len(UNIVERSAL_KEY)
                continue
            end = head[1] + head[0]
            if end > len(data):
                self._held = data[start:]
                return packets
            found = self._packet(data[start:end], head[1] - start)
            if found is not None:
                packets.append(found)
                at = end
            elif (again := end - start) > self._to_read_again:
                # nested keys that each claim all that follows: searched once only
                at = end
            else:  # its length is as doubtful as the rest: another packet may hide in it
                self._to_read_again -= again
                at = start + len(UNIVERSAL_KEY)

    def finish(self) -> None:
        """Count what is left over at the end of a file."""
        if _ANY_KEY.match(self._held):
            self.counts["truncated"] += 1
        else:
            self.counts["stray_bytes"] += len(self._held)
        self._held = b""

    def _packet(self, packet: bytes, value_at: int) -> dict[int, bytes] | None:
        if packet.startswith(SET_KEY):  # which has no checksum
            tags = to_local_tags(packet[value_at:])
            self.counts["malformed" if tags is None else "packets"] += 1
            return tags
        tags = parse_local_set(packet[value_at:])
        if tags is None:
            self.counts["malformed"] += 1
            return None
        if tags.get(_CHECKSUM_TAG) == compute_checksum(packet[:-2]).to_bytes(2, "big"):
            self.counts["packets"] += 1
            return tags
        why = "checksum" if _CHECKSUM_TAG in tags else "no_checksum"
        self.counts[why] += 1
        self.doubted.setdefault(why, []).append(tags)
        return None


def compute_checksum(data: bytes) -> int:
    """Return the ST 0601 checksum of a packet without its last two bytes.

    Big-endian 16-bit words summed, mod 2¹⁶.
    """
    values = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    return int((values[0::2].sum() * 256 + values[1::2].sum()) & 0xFFFF)


def parse_local_set(value: bytes) -> dict[int, bytes] | None:
    """Return tag to value of a local set, the last of equal tags.

    None if its lengths do not add up, or a tag is too long.
    """
    tags: dict[int, bytes] = {}
    at = 0
    while at < len(value):
        tag, longest = 0, at + _MAX_TAG_BYTES
        while True:
            if at >= min(len(value), longest):
                return None
            byte = value[at]
            at += 1
            tag = tag << 7 | byte & 0x7F
            if byte < 0x80:
                break
        head = decode_ber_length(value, at)
        if head is None or head[1] + head[0] > len(value):
            return None
        tags[tag] = value[head[1] : head[1] + head[0]]
        at = head[1] + head[0]
    return tags


class KlvSamples:
    """Samples of one metadata stream that comes in pieces.

    Memory is bounded by `require_bounded_log`. Packets with a wrong or missing checksum are used where next
    to none with a position has a right one: then it is the encoder's way, not damage.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._splitter = PacketSplitter()
        self._packets: dict[str, list[dict[int, bytes]]] = {}
        self._samples: dict[str, list[TelemetrySample]] = {}
        self._counts: Counter[str] = Counter()

    def feed(self, piece: bytes) -> int | None:
        """Add the next bytes; return the UTC ns of the first packet that they complete.

        None if they complete none, or it has no time. Raises SourceUnreadable for more than one flight's
        data.
        """
        checked = self._splitter.feed(piece)
        by_check = {"": checked, **self._splitter.doubted}
        for why, packets in by_check.items():
            waiting = self._packets.setdefault(why, [])
            waiting += packets
            if len(waiting) >= _BATCH:
                self._settle(why)
        times = [one[TIME_TAG] for packets in by_check.values() for one in packets if TIME_TAG in one]
        return int.from_bytes(times[0], "big") * 1000 if times and len(times[0]) == 8 else None

    def finish(self) -> tuple[tuple[TelemetrySample, ...], Counter[str]]:
        """Return the samples, strictly increasing in time, and packet counts by reason."""
        self._splitter.finish()
        for why in list(self._packets):
            self._settle(why)
        by_check = {why: samples for why, samples in self._samples.items() if samples}
        count = sum(map(len, by_check.values()))
        counts = self._splitter.counts + self._counts
        used = next(
            (
                why
                for why in ("", "no_checksum", "checksum")
                if len(by_check.get(why, ())) > _MIN_CHECKED_SHARE * count
            ),
            "",
        )
        if used:
            counts[f"{used}_used"] = counts.pop(used)
        samples = by_check.get(used, [])
        ordered = sort_samples(samples)
        counts["time_not_increasing"] = len(samples) - len(ordered)
        return ordered, counts

    def _settle(self, why: str) -> None:
        """Turn the waiting packets into samples."""
        packets, self._packets[why] = self._packets[why], []
        samples = self._samples.setdefault(why, [])
        counts: Counter[str] = Counter()
        samples += make_samples(decode_fields(packets), self._path.name, counts)
        # unchecked packets are reported as such only
        if not why:
            self._counts += counts
        require_bounded_log(self._path, sum(map(len, self._samples.values())))


def read_klv(path: Path) -> FlightLog:
    """Read the flight log in a file of ST 0601 or MISB 0104 packets.

    Raises SourceUnreadable if no packet has time and position, or if there are more than in any flight.
    """
    samples = KlvSamples(path)
    try:
        for piece in _pieces(path):
            samples.feed(piece)
    except OSError as error:
        raise make_unopenable(path, error) from error
    ordered, counts = samples.finish()
    if not ordered:
        remarks = make_packet_remarks(counts)
        raise SourceUnreadable(
            _(
                "{path}: holds no position ({why}): give the metadata stream of this flight",
                path=path,
                why=join(remarks, "; ") if remarks else _("no packet of ST 0601 or MISB 0104"),
            )
        )
    return make_klv_log(path, ordered, make_packet_remarks(counts))


def make_klv_log(
    path: Path,
    samples: tuple[TelemetrySample, ...],
    remarks: Sequence[Message],
    video_zero_ns: int | None = None,
    video_zero_sigma_s: float = math.nan,
) -> FlightLog:
    """Return a flight log of a metadata stream's samples.

    `video_zero_ns` and its sigma are as in `FlightLog`.
    """
    return FlightLog(
        name=path.name,
        track=TelemetryTrack(samples=samples, max_gap_s=MAX_GAP_S),
        clock="UTC of the sensor (ST 0601 tag 2)",
        remarks=tuple(remarks),
        video_zero_ns=video_zero_ns,
        video_zero_sigma_s=video_zero_sigma_s,
    )


def make_packet_remarks(counts: Counter[str]) -> list[Message]:
    """Return remarks on packets counted by reason."""
    return [
        replace(remark, values={"count": n}, count=n)
        for why, remark in _REASONS.items()
        if (n := counts[why])
    ]


def make_samples(fields: KlvFields, origin: str, counts: Counter[str]) -> list[TelemetrySample]:
    """Return one sample per packet with time and position; count the others.

    The height is that above mean sea level (tag 15) where present, else above the ellipsoid (tag 75).
    """
    timed = (fields.t_ns > EARLIEST_NS) & (fields.t_ns < LATEST_NS)
    placed = np.isfinite(fields.lonlat).all(axis=1)
    counts["no_time"] += int((~timed).sum())
    counts["no_position"] += int((timed & ~placed).sum())
    at_sea = np.isfinite(fields.height_msl_m)
    height = np.where(at_sea, fields.height_msl_m, fields.height_ellipsoid_m)
    centre_height = np.where(at_sea, fields.centre_msl_m, fields.centre_ellipsoid_m)
    return [
        TelemetrySample(
            t_utc_ns=int(fields.t_ns[i]),
            lon_deg=float(fields.lonlat[i, 0]),
            lat_deg=float(fields.lonlat[i, 1]),
            height_m=float(height[i]),
            height_datum="EGM96" if at_sea[i] else "ELLIPSOID",
            yaw_deg=float(fields.body[i, 0]),
            pitch_deg=float(fields.body[i, 1]),
            roll_deg=float(fields.body[i, 2]),
            gimbal_yaw_deg=float(fields.gimbal[i, 0]),
            gimbal_pitch_deg=float(fields.gimbal[i, 1]),
            gimbal_roll_deg=float(fields.gimbal[i, 2]),
            hfov_deg=float(fields.fov[i, 0]),
            centre_height_m=float(centre_height[i]),
            origin=origin,
        )
        for i in np.flatnonzero(timed & placed)
    ]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
