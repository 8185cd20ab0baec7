"""MISB 0104, the universal set that ST 0601 replaced: its items as tags of ST 0601.

A set is a sequence of items, each a 16-byte key, a BER length and a value in full: floats where ST 0601 has
integers that span a range. The items that flycam uses are encoded as in ST 0601, to half a step of its
ranges. The set has no checksum. Sources: MISB EG 0104.5 (the set's key), ST 0601.12 (each tag's universal
key), SMPTE ST 336 (BER length).
"""

from __future__ import annotations

import struct

from flycam.ingest.telemetry.klv_fields import TIME_TAG, encode_tag

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
