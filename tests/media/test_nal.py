"""Coded pictures and what they say of the video, against parameter sets as encoders write them."""

from __future__ import annotations

from flycam.media.mp4 import (
    VideoCodec,
    extract_parameter_sets,
    format_codec_name,
    parse_unit_type,
    split_units,
)

SPS = bytes.fromhex("6742c00b8c6828d201e1108d40")
PPS = bytes.fromhex("68ce3c80")
H265 = tuple(  # of x265's 1080p, main profile, level 4.0
    bytes.fromhex(one)
    for one in (
        "40010c01ffff01600000030090000003000003007895980900",
        "420101016000000300900000030000030078a003c08010e596566924caf0100000030010000003019080",
        "4401c172b46240",
    )
)


def test_units_are_parted_at_three_and_four_byte_start_codes() -> None:
    coded = b"\0\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\0\1\x65\x88\x80\0\0\0\1\x09\xf0\0"
    assert split_units(coded) == [SPS, PPS, b"\x65\x88\x80", b"\x09\xf0"]
    assert split_units(b"") == split_units(b"no start code") == split_units(b"\0\0\1") == []


def test_h264_parameters_become_avcc() -> None:
    found = extract_parameter_sets([PPS, b"\x65\x88", SPS, SPS], VideoCodec.H264)
    assert found is not None and found.sets == (SPS, PPS)
    box = found.configuration
    assert box[:6] == bytes([1, 0x42, 0xC0, 0x0B, 0xFF, 0xE1])
    assert box[6:] == len(SPS).to_bytes(2, "big") + SPS + b"\x01" + len(PPS).to_bytes(2, "big") + PPS
    assert format_codec_name(VideoCodec.H264, box) == "avc1.42C00B"


def test_h265_parameters_become_hvcc() -> None:
    vps, sps, pps = H265
    found = extract_parameter_sets([vps, sps, pps, b"\x26\x01\xaf"], VideoCodec.H265)
    assert found is not None and [parse_unit_type(one, VideoCodec.H265) for one in found.sets] == [32, 33, 34]
    box = found.configuration
    assert box[0] == 1 and box[1] == 1 and box[12] == 120  # main profile, level 4.0
    assert box[22] == 3 and box.endswith(pps)
    assert format_codec_name(VideoCodec.H265, box) == "hvc1.1.6.L120.90"


def test_parameters_that_are_missing_or_cut_off_are_none() -> None:
    assert extract_parameter_sets([SPS], VideoCodec.H264) is None
    assert extract_parameter_sets([SPS[:3], PPS], VideoCodec.H264) is None
    assert extract_parameter_sets([H265[0], H265[1][:9], H265[2]], VideoCodec.H265) is None
