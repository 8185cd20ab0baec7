"""MISB 0104, the universal set that ST 0601 replaced: its items as the tags of ST 0601.

A set is a row of items, each a 16-byte key, a BER length and a value in full: floats where ST 0601 has
integers that span a range. What flycam uses is written as ST 0601 writes it, to half a step of its ranges.
It has no checksum. Sources: MISB EG 0104.5 (the set's key), ST 0601.12 (each tag's universal key), SMPTE
ST 336 (BER length).
"""

from __future__ import annotations

import struct

from flycam.ingest.telemetry.klv_fields import TIME_TAG, encode_tag

SET_KEY = bytes.fromhex("060e2b34020101010e01010201010000")
_KEY = 16
_FLOATS = {4: ">f", 8: ">d"}
_LABEL = bytes.fromhex("060e2b34010101")
# each item's key after the label that all share, and its tag in ST 0601
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
        "01 0e01010204000000": 18,  # azimuth, elevation, roll of the sensor against the platform
        "01 0e01010205000000": 19,
        "01 0e01010206000000": 20,
        "01 0701080101000000": 21,  # slant range, width on the ground
        "01 0701090201000000": 22,
        "01 0701020103020000": 23,  # middle of the picture on the ground
        "01 0701020103040000": 24,
        "0a 0701020103160000": 25,
        **{f"03 0701020103{6 + corner:02x}0100": 80 + 2 * corner for corner in range(1, 5)},
        **{f"03 0701020103{10 + corner:02x}0100": 81 + 2 * corner for corner in range(1, 5)},
    }.items()
}


def to_local_tags(value: bytes) -> dict[int, bytes] | None:
    """Tag to value bytes as ST 0601 has them, of the content of a universal set; None if its lengths do not
    add up. Items that flycam does not use, or whose value is out of the tag's range, are left out."""
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
