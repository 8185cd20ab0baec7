"""MP4 boxes, H.264 and H.265 NAL units, and fragmented MP4.

Boxes of an MP4 (ISO base media file): creation time (`mvhd`), and positions of a track's samples. Source:
ISO/IEC 14496-12, 8.2.2 movie header box, 8.4.2 media header box, 8.6.1.2, 8.7.3 to 8.7.5 sample tables; times
of creation count seconds since 1904-01-01 UTC.

A truncated fragmented MP4 plays up to its last whole fragment.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

ReadAt = Callable[[int, int], bytes]
"""Reader of a file's bytes: (offset, maximum count)."""

EPOCH_1904_S = 2_082_844_800
"""Seconds from 1904-01-01 to 1970-01-01, UTC."""

_HEAD = 8
_LONG_HEAD = 16
_MAX_BOXES = 10_000  # fragmented files have two a fragment
_MAX_SAMPLES = 1_000_000


def find_box(read_at: ReadAt, start: int, end: int, kind: bytes) -> tuple[int, int] | None:
    """Return (start, end) of the content of the first box of a kind; else None.

    It looks at boxes from `start` to `end`, up to one that does not fit into its place.
    """
    return next(((at, to) for name, at, to in iterate_boxes(read_at, start, end) if name == kind), None)


def is_complete_movie(read_at: ReadAt, size: int) -> bool:
    """Return True if a file has a movie header, and boxes up to its end.

    A truncated recording or partial copy does not.

    size  of the file, bytes
    """
    kinds, reached = set(), 0
    for name, _, end in iterate_boxes(read_at, 0, size):
        kinds.add(name)
        reached = end
    return b"moov" in kinds and size - reached < _HEAD


def iterate_boxes(read_at: ReadAt, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end of the content) of the boxes from `start` to `end`.

    It stops at a box that does not fit into its place.
    """
    at = start
    for _ in range(_MAX_BOXES):
        if at + _HEAD > end:
            return
        head = read_at(at, _LONG_HEAD)
        if len(head) < _HEAD:
            return
        size, name = struct.unpack_from(">I4s", head)
        length = _HEAD
        # ISO/IEC 14496-12, 4.2: size 1 is followed by one of 64 bits, size 0 reaches to the end
        if size == 1 and len(head) == _LONG_HEAD:
            size, length = struct.unpack_from(">Q", head, _HEAD)[0], _LONG_HEAD
        elif size == 0:
            size = end - at
        if size < length or at + size > end:
            return
        yield name, at + length, at + size
        at += size


@dataclass(frozen=True, slots=True)
class TrackSamples:
    """N samples of a track: offset in the file, size in bytes, begin and end.

    The times are seconds of the track's time.
    """

    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    begin_s: NDArray[np.float64]
    end_s: NDArray[np.float64]


def parse_track_samples(moov: bytes, sample_format: bytes) -> TrackSamples | None:
    """Parse the samples of the first track of a format ("gpmd") from a `moov` box.

    None if there is no such track, or its tables are inconsistent.
    """

    def read_at(at: int, count: int) -> bytes:
        return moov[at : at + count]

    for kind, start, end in iterate_boxes(read_at, 0, len(moov)):
        media = find_box(read_at, start, end, b"mdia") if kind == b"trak" else None
        header = find_box(read_at, *media, b"mdhd") if media else None
        place = media
        for inner in (b"minf", b"stbl"):
            place = find_box(read_at, *place, inner) if place else None
        if place is None or header is None:
            continue
        tables = {name: moov[at:to] for name, at, to in iterate_boxes(read_at, *place)}
        if tables.get(b"stsd", b"")[12:16] == sample_format:
            return _samples(tables, moov[header[0] : header[1]])
    return None


def _samples(tables: dict[bytes, bytes], header: bytes) -> TrackSamples | None:
    scale = int.from_bytes(header[20:24] if header[:1] == b"\1" else header[12:16], "big")
    sizes = tables.get(b"stsz", b"")
    count = int.from_bytes(sizes[8:12], "big")
    same = int.from_bytes(sizes[4:8], "big")
    size = np.full(min(count, _MAX_SAMPLES), same) if same else _numbers(sizes[12:], ">u4")[:_MAX_SAMPLES]
    wide = b"co64" in tables
    chunks = _numbers(tables.get(b"co64" if wide else b"stco", b"")[8:], ">u8" if wide else ">u4")
    chunks = chunks[:_MAX_SAMPLES]
    runs = _rows(tables.get(b"stsc", b"")[8:], 3)
    times = _rows(tables.get(b"stts", b"")[8:], 2)
    if not scale or not count or len(size) != count or not len(chunks) or not len(runs):
        return None
    if runs[0, 0] != 1 or (np.diff(runs[:, 0]) <= 0).any() or not 0 <= chunks.min() <= chunks.max() < 1 << 62:
        return None
    per_chunk = runs[np.searchsorted(runs[:, 0], np.arange(1, len(chunks) + 1), side="right") - 1, 1]
    # before any of them is expanded in memory
    if max(per_chunk.sum(), times[:, 0].sum()) > _MAX_SAMPLES:
        return None
    chunk = np.repeat(np.arange(len(chunks)), per_chunk)[:count]
    duration = np.repeat(times[:, 1], times[:, 0])[:count] / scale
    if len(chunk) != count or len(duration) != count:
        return None
    before = np.concatenate([[0], np.cumsum(size)])
    first = np.searchsorted(chunk, chunk)  # first sample of each sample's chunk
    end_s = np.cumsum(duration)
    offset = chunks[chunk] + before[np.arange(count)] - before[first]
    return TrackSamples(offset=offset, size=size, begin_s=end_s - duration, end_s=end_s)


def _numbers(data: bytes, kind: str) -> NDArray[np.int64]:
    width = int(kind[-1])
    return np.frombuffer(data[: len(data) // width * width], kind).astype(np.int64)


def _rows(data: bytes, width: int) -> NDArray[np.int64]:
    return _numbers(data[: len(data) // (4 * width) * 4 * width], ">u4").reshape(-1, width)


def parse_creation_s(moov: bytes) -> float | None:
    """Parse the creation time from a `moov` box's content, seconds since 1970 UTC.

    None where it is not stated.
    """
    box = _header(moov)
    if box is None or box[1] - box[0] < 12:
        return None
    is_long = moov[box[0]] == 1
    (stamp,) = struct.unpack_from(">Q" if is_long else ">I", moov, box[0] + 4)
    return float(stamp) - EPOCH_1904_S if stamp > EPOCH_1904_S else None


def set_creation_s(moov: bytes, utc_s: int) -> bytes:
    """Return a `moov` content with a new creation time; ValueError without a header."""
    box = _header(moov)
    if box is None:
        raise ValueError("no movie header")
    dated = bytearray(moov)
    is_long = moov[box[0]] == 1
    stamp = utc_s + EPOCH_1904_S
    struct.pack_into(">QQ" if is_long else ">II", dated, box[0] + 4, stamp, stamp)
    return bytes(dated)


def _header(moov: bytes) -> tuple[int, int] | None:
    return find_box(lambda at, count: moov[at : at + count], 0, len(moov), b"mvhd")


# -- NAL units of H.264 and H.265: splitting at start codes, parameter sets of a video -------------
#
# Sources: ITU-T H.264 and H.265 annex B (start codes), 7.3.1 (unit headers); ISO/IEC 14496-15, 5.3.3.1
# (`avcC`) and 8.3.3.1 (`hvcC`); RFC 6381 and ISO/IEC 14496-15 annex E (names of codecs, as browsers expect
# them).


_START = b"\x00\x00\x01"
_H264_SPS, _H264_PPS, _H264_DELIMITER = 7, 8, 9
_H265_VPS, _H265_SPS, _H265_PPS, _H265_DELIMITER = 32, 33, 34, 35
# general_profile_space to general_level_idc
_PROFILE_BYTES = 12


class VideoCodec(StrEnum):
    """Coding of a video."""

    H264 = "h264"
    H265 = "h265"


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """Units that a decoder needs before the first picture.

    VPS (H.265 only), SPS, PPS, in this order.
    """

    coding: VideoCodec
    sets: tuple[bytes, ...]

    @property
    def sequence(self) -> tuple[bytes, ...]:
        """Units that identify the video: size, profile. Other units, another video."""
        picture = _H264_PPS if self.coding is VideoCodec.H264 else _H265_PPS
        return tuple(unit for unit in self.sets if parse_unit_type(unit, self.coding) != picture)

    @property
    def configuration(self) -> bytes:
        """Content of the `avcC` or `hvcC` box."""
        return _avcc(self.sets) if self.coding is VideoCodec.H264 else _hvcc(self.sets)


def format_codec_name(coding: VideoCodec, configuration: bytes) -> str:
    """Format a codec's name for browsers, as avc1.64001F or hvc1.1.6.L93.B0.

    configuration  content of `avcC` or `hvcC`
    """
    if coding is VideoCodec.H264:
        return f"avc1.{configuration[1:4].hex().upper()}"
    profile = configuration[1 : 1 + _PROFILE_BYTES]
    space, tier, number = profile[0] >> 6, profile[0] >> 5 & 1, profile[0] & 31
    (compatible,) = struct.unpack_from(">I", profile, 1)
    # ISO/IEC 14496-15 annex E: compatibility flags in reverse bit order
    turned = int(f"{compatible:032b}"[::-1], 2)
    parts = [
        f"{'ABC'[space - 1] if space else ''}{number}",
        f"{turned:X}",
        f"{'H' if tier else 'L'}{profile[11]}",
    ]
    return ".".join(["hvc1", *parts, *(f"{byte:X}" for byte in profile[5:11].rstrip(b"\x00"))])


def split_units(coded: bytes) -> list[bytes]:
    """Split coded bytes into the units between start codes, without them."""
    units: list[bytes] = []
    at = coded.find(_START)
    while at >= 0:
        after = coded.find(_START, at + 3)
        unit = coded[at + 3 : after if after >= 0 else len(coded)].rstrip(b"\x00")
        if unit:
            units.append(unit)
        at = after
    return units


def parse_unit_type(unit: bytes, coding: VideoCodec) -> int:
    """Parse a unit's nal_unit_type."""
    return unit[0] & 31 if coding is VideoCodec.H264 else unit[0] >> 1 & 63


def extract_parameter_sets(units: list[bytes], coding: VideoCodec) -> ParameterSets | None:
    """Extract the parameter sets among units; None unless all required ones exist."""
    needed = (_H264_SPS, _H264_PPS) if coding is VideoCodec.H264 else (_H265_VPS, _H265_SPS, _H265_PPS)
    by_kind = {kind: [unit for unit in units if parse_unit_type(unit, coding) == kind] for kind in needed}
    shortest = 4 if coding is VideoCodec.H264 else 2
    if not all(by_kind.values()) or any(len(unit) < shortest for unit in by_kind[needed[-2]]):
        return None
    if coding is VideoCodec.H265 and any(len(_profile(unit)) < _PROFILE_BYTES for unit in by_kind[_H265_SPS]):
        return None
    found = [unit for kind in needed for unit in dict.fromkeys(by_kind[kind])]
    return ParameterSets(coding, tuple(found))


def to_length_prefixed(units: list[bytes], coding: VideoCodec) -> bytes:
    """Convert units to MP4's form, each after its length in four bytes.

    Delimiters are dropped.
    """
    delimiter = _H264_DELIMITER if coding is VideoCodec.H264 else _H265_DELIMITER
    kept = (unit for unit in units if parse_unit_type(unit, coding) != delimiter)
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in kept)


def _avcc(sets: tuple[bytes, ...]) -> bytes:
    sps = [unit for unit in sets if parse_unit_type(unit, VideoCodec.H264) == _H264_SPS]
    pps = [unit for unit in sets if parse_unit_type(unit, VideoCodec.H264) == _H264_PPS]
    head = bytes([1, *sps[0][1:4], 0xFF, 0xE0 | len(sps)])
    return head + _sized(sps) + bytes([len(pps)]) + _sized(pps)


def _hvcc(sets: tuple[bytes, ...]) -> bytes:
    by_kind = [
        (kind, [u for u in sets if parse_unit_type(u, VideoCodec.H265) == kind]) for kind in (32, 33, 34)
    ]
    # unknown: segmentation, parallelism, frame rate; 4:2:0 of 8 bits is written, decoders read the SPS
    head = b"\x01" + _profile(by_kind[1][1][0]) + bytes([0xF0, 0, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0, 0x0F])
    arrays = (bytes([0x80 | kind]) + struct.pack(">H", len(units)) + _sized(units) for kind, units in by_kind)
    return head + bytes([len(by_kind)]) + b"".join(arrays)


def _sized(units: list[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


def _profile(sps: bytes) -> bytes:
    """Return profile_tier_level of an H.265 SPS.

    It follows two bytes of header and one of ids.
    """
    # without emulation prevention bytes (H.265, 7.3.1.1)
    plain = sps[:40].replace(b"\x00\x00\x03", b"\x00\x00")
    return plain[3 : 3 + _PROFILE_BYTES]


# -- Fragmented MP4: head and self-contained fragments, playable up to the last whole one ----------
#
# Source: ISO/IEC 14496-12, 8.8 (movie fragments), 8.3 to 8.5 (tracks); one video track, ticks of 1/90,000 s.


TICKS_PER_S = 90_000
"""Ticks of a second."""

_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
# sample_depends_on, sample_is_non_sync_sample
_KEY, _NO_KEY = 0x02000000, 0x01010000
# no fragment is half as long; a longer one is damaged
_MAX_FRAGMENT_TICKS = 3600 * TICKS_PER_S
_DURATION_AT = {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16, b"mehd": 4}
_INSIDE = (b"moov", b"trak", b"mdia", b"mvex", b"minf", b"stbl")


@dataclass(frozen=True, slots=True)
class CodedSample:
    """A coded picture.

    shown   time when it is shown (ticks)
    is_key  decoding can begin here
    data    units, each after its length
    """

    shown: int
    is_key: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class FragmentedContent:
    """Content of a file.

    ticks           from the first picture's begin to the last one's end
    pictures        their count
    head_bytes      bytes up to the first fragment
    complete_bytes  bytes to the end of the last whole fragment
    """

    ticks: int
    pictures: int
    head_bytes: int
    complete_bytes: int


def encode_head(parameters: ParameterSets, size_px: tuple[int, int], created_s: int) -> bytes:
    """Encode `ftyp` and `moov`, without a duration yet (`set_duration`).

    created_s  UTC seconds of the beginning
    """
    width, height = size_px
    made = created_s + EPOCH_1904_S
    entry = struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 0x480000, 0x480000, 0, 1, 24, -1) + (
        _box(b"avcC" if parameters.coding is VideoCodec.H264 else b"hvcC", parameters.configuration)
    )
    name = b"avc1" if parameters.coding is VideoCodec.H264 else b"hvc1"
    table = _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1) + _box(name, entry)),
        *(_full(kind, bytes(4)) for kind in (b"stts", b"stsc")),
        _full(b"stsz", bytes(8)),
        _full(b"stco", bytes(4)),
    )
    media = _box(
        b"minf",
        _full(b"vmhd", bytes(8), flags=1),
        _box(b"dinf", _full(b"dref", struct.pack(">I", 1) + _full(b"url ", b"", flags=1))),
        table,
    )
    track = _box(
        b"trak",
        _full(
            b"tkhd",
            struct.pack(">IIIII8xhhhH", made, made, 1, 0, 0, 0, 0, 0, 0)
            + _MATRIX
            + struct.pack(">II", width << 16, height << 16),
            flags=3,
        ),
        _box(
            b"mdia",
            _full(b"mdhd", struct.pack(">IIIIHH", made, made, TICKS_PER_S, 0, 0x55C4, 0)),
            _full(b"hdlr", b"\0\0\0\0vide" + bytes(12) + b"video\0"),
            media,
        ),
    )
    movie = _box(
        b"moov",
        _full(
            b"mvhd",
            struct.pack(">IIIIIH10x", made, made, TICKS_PER_S, 0, 0x10000, 0x100)
            + _MATRIX
            + bytes(24)
            + b"\0\0\0\2",
        ),
        track,
        _box(
            b"mvex",
            _full(b"mehd", bytes(4)),
            _full(b"trex", struct.pack(">IIIII", 1, 1, 0, 0, 0)),
        ),
    )
    return _box(b"ftyp", b"iso6\0\0\2\0iso6mp41") + movie


def encode_fragment(number: int, samples: Sequence[CodedSample], end: int) -> bytes:
    """Encode `moof` and `mdat` of pictures in the order of decoding.

    number: from 1 on; end: time until which the last one is shown (ticks)
    """
    decoded = sorted(sample.shown for sample in samples)
    lasting = [
        after - before for before, after in zip(decoded, [*decoded[1:], max(end, decoded[-1])], strict=True)
    ]
    rows = b"".join(
        struct.pack(">IIIi", last, len(one.data), _KEY if one.is_key else _NO_KEY, one.shown - at)
        for one, at, last in zip(samples, decoded, lasting, strict=True)
    )

    def moof(data_at: int) -> bytes:
        return _box(
            b"moof",
            _full(b"mfhd", struct.pack(">I", number)),
            _box(
                b"traf",
                _full(b"tfhd", struct.pack(">I", 1), flags=0x020000),
                _full(b"tfdt", struct.pack(">Q", decoded[0]), version=1),
                _full(b"trun", struct.pack(">Ii", len(samples), data_at) + rows, version=1, flags=0xF01),
            ),
        )

    return moof(len(moof(0)) + _HEAD) + _box(b"mdat", *(one.data for one in samples))


def scan_content(read_at: ReadAt, size: int) -> FragmentedContent:
    """Scan the whole fragments of a file that may be truncated anywhere.

    Zero in all fields where not even its head is whole. Raises ValueError where the content is damaged, as by
    a power cut.
    """
    at = head = complete_end = ticks = pictures = 0
    first: int | None = None
    moof: bytes | None = None
    while at + _HEAD <= size:
        length, name = struct.unpack(">I4s", read_at(at, _HEAD))
        if length < _HEAD or at + length > size:
            break
        if name == b"moof":
            moof = read_at(at, length)
        at += length
        if name == b"moov":
            head = complete_end = at
        elif name == b"mdat" and moof is not None:
            begin, end, count = _times(moof)
            first = begin if first is None else first
            if not first <= begin <= first + ticks + _MAX_FRAGMENT_TICKS:
                raise ValueError("the times of a fragment are damaged")
            ticks, pictures, complete_end, moof = end - first, pictures + count, at, None
    return FragmentedContent(ticks, pictures, head, complete_end)


def set_duration(head: bytes, ticks: int) -> bytes:
    """Return a head with the duration of the pictures.

    head  the file's beginning up to its first fragment

    Raises ValueError where it is damaged.
    """
    patched = bytearray(head)

    def walk(start: int, end: int) -> None:
        while start + _HEAD <= end:
            length, name = struct.unpack_from(">I4s", patched, start)
            if length < _HEAD:
                return
            if name in _DURATION_AT:
                at = start + _HEAD + _DURATION_AT[name]
                if at + 4 > end:
                    raise ValueError(f"its {name.decode()} box is damaged")
                struct.pack_into(">I", patched, at, min(ticks, 0xFFFFFFFF))
            elif name in _INSIDE:
                walk(start + _HEAD, min(end, start + length))
            start += length

    walk(0, len(patched))
    return bytes(patched)


def parse_codec_configuration(head: bytes) -> tuple[VideoCodec, bytes] | None:
    """Parse the codec and its configuration from a head that `encode_head` made."""
    for kind, coding in ((b"avcC", VideoCodec.H264), (b"hvcC", VideoCodec.H265)):
        at = head.find(kind)
        if at >= 4:
            (length,) = struct.unpack_from(">I", head, at - 4)
            return coding, head[at + 4 : at - 4 + length]
    return None


def _times(moof: bytes) -> tuple[int, int, int]:
    """Return (begin, end) in ticks and the count of pictures of an encoded fragment.

    Raises ValueError where it is damaged.
    """
    try:
        at = moof.index(b"tfdt") + 8
        (begin,) = struct.unpack_from(">Q", moof, at)
        at = moof.index(b"trun", at) + 8
        (count,) = struct.unpack_from(">I", moof, at)
        lasting = sum(struct.unpack_from(">I", moof, at + 8 + 16 * k)[0] for k in range(count))
    except (ValueError, struct.error) as error:
        raise ValueError("the boxes of a fragment are damaged") from error
    if lasting > _MAX_FRAGMENT_TICKS:
        raise ValueError("the times of a fragment are damaged")
    return begin, begin + lasting, count


def _box(kind: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I4s", _HEAD + len(inside), kind) + inside


def _full(kind: bytes, content: bytes, *, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags) + content)
