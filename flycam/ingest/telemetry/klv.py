"""MISB ST 0601 (UAS Datalink Local Set): key, length, value packets beside or inside a video.

`PacketSplitter` takes bytes as they come (a file, a socket, the data stream of an MPEG-TS) and returns whole
packets whose checksum is right; `flycam.ingest.telemetry.klv_fields` decodes them. Packets of MISB 0104, the
universal set before ST 0601, become packets of ST 0601 (`klv_universal`).

Sources: MISB ST 0601 (local set, checksum, tags), SMPTE ST 336 (key, BER length, BER-OID tag).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.frame.timestamp import EARLIEST_NS, LATEST_NS
from flycam.ingest.telemetry.flight_log import FlightLog, require_bounded_log, sort_samples
from flycam.ingest.telemetry.klv_fields import TIME_TAG, KlvFields, decode_fields
from flycam.ingest.telemetry.klv_universal import SET_KEY, decode_ber_length, to_local_tags
from flycam.messages import Message, _, join
from flycam.store.regular_file import make_unopenable

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
    "checksum": _("{count} packets have a wrong checksum and are not used"),
    "no_checksum": _("{count} packets have no checksum and are not used"),
    "checksum_used": _(
        "{count} packets have a wrong checksum, as have next to all that tell a position, and are used "
        "unchecked"
    ),
    "no_checksum_used": _(
        "{count} packets have no checksum, as next to none that tells a position, and are used unchecked"
    ),
    "malformed": _("{count} packets are malformed"),
    "too_long": _("{count} packets claim to be longer than any packet"),
    "truncated": _("{count} packets are cut off at the end"),
    "no_position": _("{count} packets have no position"),
    "no_time": _("{count} packets have no time, or one before 2005"),
    "time_not_increasing": _("{count} packets repeat a time"),
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
    return [replace(said, values={"count": n}) for why, said in _REASONS.items() if (n := counts[why])]


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
            ellipsoid_height_m=float(fields.height_ellipsoid_m[i]),
            hfov_deg=float(fields.fov[i, 0]),
            vfov_deg=float(fields.fov[i, 1]),
            slant_range_m=float(fields.slant_range_m[i]),
            centre_lon_deg=float(fields.centre_lonlat[i, 0]),
            centre_lat_deg=float(fields.centre_lonlat[i, 1]),
            centre_height_m=float(centre_height[i]),
            origin=origin,
        )
        for i in np.flatnonzero(timed & placed)
    ]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
