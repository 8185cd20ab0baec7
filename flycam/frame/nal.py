"""NAL units of H.264 and H.265 in streams: splitting at start codes, and the parameter sets of a video.

Sources: ITU-T H.264 and H.265 annex B (start codes), 7.3.1 (unit headers); ISO/IEC 14496-15, 5.3.3.1 (`avcC`)
and 8.3.3.1 (`hvcC`); RFC 6381 and ISO/IEC 14496-15 annex E (names of codecs, as browsers expect them).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

_START = b"\x00\x00\x01"
_H264_SPS, _H264_PPS, _H264_DELIMITER = 7, 8, 9
_H265_VPS, _H265_SPS, _H265_PPS, _H265_DELIMITER = 32, 33, 34, 35
# general_profile_space to general_level_idc
_PROFILE_BYTES = 12


class VideoCodec(StrEnum):
    """Coding of a video's pictures."""

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
