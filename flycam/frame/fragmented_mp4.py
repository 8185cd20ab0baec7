"""Fragmented MP4: a head, then self-contained fragments: a truncated file plays up to its last whole one.

Source: ISO/IEC 14496-12, 8.8 (movie fragments), 8.3 to 8.5 (tracks); one video track, ticks of 1/90,000 s.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from flycam.frame.mp4 import EPOCH_1904_S, ReadAt
from flycam.frame.nal import ParameterSets, VideoCodec

TICKS_PER_S = 90_000
"""Ticks of a second."""

_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
# sample_depends_on, sample_is_non_sync_sample
_KEY, _NO_KEY = 0x02000000, 0x01010000
_HEAD = 8
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
    at = head = whole = ticks = pictures = 0
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
            head = whole = at
        elif name == b"mdat" and moof is not None:
            begin, end, count = _times(moof)
            first = begin if first is None else first
            if not first <= begin <= first + ticks + _MAX_FRAGMENT_TICKS:
                raise ValueError("the times of a fragment are damaged")
            ticks, pictures, whole, moof = end - first, pictures + count, at, None
    return FragmentedContent(ticks, pictures, head, whole)


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
