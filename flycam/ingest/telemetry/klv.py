"""MISB ST 0601 (UAS Datalink Local Set): key, length, value packets beside or inside a video.

`PacketSplitter` takes bytes as they come (a file, a socket, the data stream of an MPEG-TS) and gives whole
packets whose checksum holds; `flycam.ingest.telemetry.klv_fields` turns packets into numbers.
Sources: MISB ST 0601 (local set, checksum, tags), SMPTE ST 336 (key, BER length, BER-OID tag).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.frame.moment import EARLIEST_NS, LATEST_NS
from flycam.frame.telemetry import TelemetrySample, TelemetryTrack
from flycam.ingest.telemetry.flight_log import FlightLog, require_few, strictly_increasing
from flycam.ingest.telemetry.klv_fields import KlvFields, fields_of

UNIVERSAL_KEY = bytes.fromhex("060e2b34020b01010e01030101000000")
MAX_GAP_S = 2.5
_LONGEST = 65_536
_LONGEST_TAG = 4  # bytes; the standard's last tag has two
_CHUNK = 1 << 20
_CHECKSUM_TAG, _TIME_TAG = 1, 2

_REASONS = {
    "checksum": ("packets have a wrong checksum and are not used", "gói sai mã kiểm tra, không dùng"),
    "no_checksum": ("packets have no checksum and are not used", "gói không có mã kiểm tra, không dùng"),
    "malformed": ("packets are malformed", "gói sai cấu trúc"),
    "too_long": ("packets claim to be longer than any packet", "gói tự nhận dài quá mức có thể"),
    "truncated": ("packets are cut off at the end", "gói bị cụt ở cuối"),
    "no_position": ("packets have no position", "gói không có vị trí"),
    "no_time": ("packets have no time, or one before 2005", "gói không có thời gian hoặc trước năm 2005"),
    "time_not_increasing": ("packets repeat a time", "gói lặp lại thời gian"),
}


@dataclass(slots=True)
class PacketSplitter:
    """Whole local sets, tag to value bytes, out of bytes that arrive in pieces of any size.

    counts  "packets" read well, and what was dropped by reason; "stray_bytes" between packets
    Never holds more than one longest packet (64 KiB) beyond the piece it was given. Takes time of the order
    of the bytes, whatever they are.
    """

    counts: Counter[str] = field(default_factory=Counter)
    _held: bytes = b""
    _to_read_again: int = _LONGEST

    def feed(self, piece: bytes) -> list[dict[int, bytes]]:
        """The packets that `piece` completes."""
        data = self._held + piece
        self._to_read_again += len(piece)
        packets: list[dict[int, bytes]] = []
        at = 0
        while True:
            start = data.find(UNIVERSAL_KEY, at)
            if start < 0:
                keep = min(len(UNIVERSAL_KEY) - 1, len(data) - at)
                self.counts["stray_bytes"] += len(data) - at - keep
                self._held = data[len(data) - keep :]
                return packets
            self.counts["stray_bytes"] += start - at
            head = _length(data, start + len(UNIVERSAL_KEY))
            if head is None or head[0] > _LONGEST:
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
                at = end  # keys that follow keys, each claiming all that follows: looked into but once
            else:  # another may hide in it: its length is as little to be believed as the rest
                self._to_read_again -= again
                at = start + len(UNIVERSAL_KEY)

    def finish(self) -> None:
        """Counts what is left over at the end of a file."""
        if self._held.startswith(UNIVERSAL_KEY):
            self.counts["truncated"] += 1
        else:
            self.counts["stray_bytes"] += len(self._held)
        self._held = b""

    def _packet(self, packet: bytes, value_at: int) -> dict[int, bytes] | None:
        tags = local_set(packet[value_at:])
        if tags is None:
            self.counts["malformed"] += 1
        elif _CHECKSUM_TAG not in tags:
            self.counts["no_checksum"] += 1
        elif int.from_bytes(tags[_CHECKSUM_TAG], "big") != checksum(packet[:-2]):
            self.counts["checksum"] += 1
        else:
            self.counts["packets"] += 1
            return tags
        return None


def checksum(data: bytes) -> int:
    """ST 0601 checksum of a packet without its last two bytes: big-endian 16-bit words summed, mod 2¹⁶."""
    values = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    return int((values[0::2].sum() * 256 + values[1::2].sum()) & 0xFFFF)


def local_set(value: bytes) -> dict[int, bytes] | None:
    """Tag to value of a local set, of equal tags the last; None if its lengths do not add up, or a tag is
    longer than any."""
    tags: dict[int, bytes] = {}
    at = 0
    while at < len(value):
        tag, longest = 0, at + _LONGEST_TAG
        while True:
            if at >= min(len(value), longest):
                return None
            byte = value[at]
            at += 1
            tag = tag << 7 | byte & 0x7F
            if byte < 0x80:
                break
        head = _length(value, at)
        if head is None or head[1] + head[0] > len(value):
            return None
        tags[tag] = value[head[1] : head[1] + head[0]]
        at = head[1] + head[0]
    return tags


def _length(data: bytes, at: int) -> tuple[int, int] | None:
    """(length, where the value starts) of a BER length; None if it is cut off or of an unknown size."""
    if at >= len(data):
        return None
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if not 1 <= count <= 8 or at + 1 + count > len(data):
        return None
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


def read_klv(path: Path) -> FlightLog:
    """The flight in a file of ST 0601 packets. Raises SourceUnreadable if no packet has time and place, or if
    more do than in any flight."""
    splitter = PacketSplitter()
    counts, samples = splitter.counts, list[TelemetrySample]()
    try:
        for piece in _pieces(path):
            if packets := splitter.feed(piece):
                samples += samples_of(fields_of(packets), path.name, counts)
                require_few(path, len(samples))
    except OSError as error:
        raise SourceUnreadable(
            f"{path}: cannot be opened ({error.strerror}): check the path",
            vi=f"{path}: không mở được tệp; hãy kiểm tra đường dẫn",
        ) from error
    splitter.finish()
    ordered = strictly_increasing(samples)
    counts["time_not_increasing"] = len(samples) - len(ordered)
    told = [(counts[why], *words) for why, words in _REASONS.items() if counts[why]]
    if not ordered:
        why = "; ".join(f"{n} {english}" for n, english, _ in told) or "no ST 0601 packet"
        raise SourceUnreadable(
            f"{path}: holds no position ({why}): give the metadata stream of this flight",
            vi=f"{path}: không có vị trí nào; hãy đưa siêu dữ liệu của chuyến bay này",
        )
    return FlightLog(
        name=path.name,
        track=TelemetryTrack(samples=ordered, max_gap_s=MAX_GAP_S),
        clock="UTC of the sensor (ST 0601 tag 2)",
        remarks=tuple((f"{n} {english}", f"{n} {vietnamese}") for n, english, vietnamese in told),
    )


def samples_of(fields: KlvFields, origin: str, counts: Counter[str]) -> list[TelemetrySample]:
    """One sample per packet with a time and a place; the others are counted.

    The height is that above mean sea level (tag 15) where it is there, else above the ellipsoid (tag 75).
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
