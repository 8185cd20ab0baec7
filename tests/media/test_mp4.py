"""MP4 and the coded pictures in it, whole, fragmented, cut off anywhere."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.media.mp4 import (
    EPOCH_1904_S,
    TICKS_PER_S,
    CodedSample,
    FragmentedContent,
    ParameterSets,
    VideoCodec,
    encode_fragment,
    encode_head,
    extract_parameter_sets,
    find_box,
    format_codec_name,
    is_complete_movie,
    parse_codec_configuration,
    parse_creation_s,
    parse_unit_type,
    scan_content,
    set_creation_s,
    set_duration,
    split_units,
    to_length_prefixed,
)
from tests.ingest.video.streaming import BEGUN_S, SIZE_PX, number_of, write_film


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def header(seconds: int, is_long: bool) -> bytes:
    stamp = struct.pack(">QQ" if is_long else ">II", seconds, seconds)
    return box(b"mvhd", bytes([int(is_long), 0, 0, 0]) + stamp + bytes(80))


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.booleans())
def test_a_movie_dated_anew_says_so_and_changes_nothing_else(before: int, after: int, is_long: bool) -> None:
    moov = box(b"iods", b"xx") + header(before + EPOCH_1904_S, is_long) + box(b"trak", b"yyy")
    dated = set_creation_s(moov, after)
    assert parse_creation_s(dated) == (after if after > 0 else None)
    assert set_creation_s(dated, before) == moov


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_through(data: bytes) -> None:
    found = find_box(lambda at, count: data[at : at + count], 0, len(data), b"moov")
    assert found is None or 8 <= found[0] <= found[1] <= len(data)
    parse_creation_s(data)


def test_a_long_box_and_one_to_the_end_are_found() -> None:
    data = struct.pack(">I4sQ", 1, b"mdat", 20) + b"abcd" + struct.pack(">I4s", 0, b"moov") + b"rest"
    assert find_box(lambda at, count: data[at : at + count], 0, len(data), b"moov") == (28, 32)


@given(st.binary(min_size=1, max_size=40), st.booleans(), st.integers(1, 60))
def test_a_film_that_is_cut_anywhere_is_not_whole(pixels: bytes, is_header_last: bool, missing: int) -> None:
    moov, mdat = box(b"moov", header(1, False)), box(b"mdat", pixels)
    film = box(b"ftyp", b"isom") + (mdat + moov if is_header_last else moov + mdat)

    def stands(data: bytes) -> bool:
        return is_complete_movie(lambda at, count: data[at : at + count], len(data))

    assert stands(film) and stands(film + b"\0" * 7), "cameras fill up"
    assert not stands(film[: -min(missing, len(moov if is_header_last else mdat) - 8)])


_STEP = TICKS_PER_S // 30


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> tuple[ParameterSets, list[CodedSample]]:
    """Sixty coded pictures of a film, a key frame each thirty."""
    film = write_film(tmp_path_factory.mktemp("film") / "film.mp4")
    video = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    samples, parameters = [], None
    while (read := video.read())[0]:
        units = split_units(read[1].tobytes())
        parameters = extract_parameter_sets(units, VideoCodec.H264) or parameters
        is_key = video.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0
        samples.append(CodedSample(len(samples) * _STEP, is_key, to_length_prefixed(units, VideoCodec.H264)))
    assert parameters is not None
    return parameters, samples


def written(coded: tuple[ParameterSets, list[CodedSample]], cuts: list[int]) -> tuple[bytes, list[int]]:
    """A file with a fragment between each two cuts, and where its parts end."""
    parameters, samples = coded
    data, ends = encode_head(parameters, SIZE_PX, BEGUN_S), []
    for number, (start, stop) in enumerate(pairwise(cuts), start=1):
        ends.append(len(data))
        data += encode_fragment(number, samples[start:stop], stop * _STEP)
    return data, [*ends, len(data)]


def content(data: bytes) -> FragmentedContent:
    return scan_content(lambda at, count: data[at : at + count], len(data))


def numbers(path: Path) -> list[int]:
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(number_of(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)))
    return found


def test_every_picture_comes_back_with_its_time(
    coded: tuple[ParameterSets, list[CodedSample]], tmp_path: Path
) -> None:
    data, ends = written(coded, [0, 7, 30, 60])
    assert content(data) == FragmentedContent(60 * _STEP, 60, ends[0], len(data))
    (tmp_path / "whole.mp4").write_bytes(data)
    assert numbers(tmp_path / "whole.mp4") == list(range(60))
    video, times = cv2.VideoCapture(str(tmp_path / "whole.mp4")), []
    while video.read()[0]:
        times.append(video.get(cv2.CAP_PROP_POS_MSEC))
    np.testing.assert_allclose(times, np.arange(60) * 1e3 / 30, atol=1.0)


def test_a_head_says_when_it_began_how_it_is_coded_and_in_the_end_how_long(
    coded: tuple[ParameterSets, list[CodedSample]], tmp_path: Path
) -> None:
    data, ends = written(coded, [0, 30, 60])
    head = set_duration(data[: ends[0]], 60 * _STEP)
    assert len(head) == ends[0]
    moov = find_box(lambda at, count: head[at : at + count], 0, len(head), b"moov")
    assert moov is not None and parse_creation_s(head[moov[0] : moov[1]]) == BEGUN_S
    assert parse_codec_configuration(head) == (VideoCodec.H264, coded[0].configuration)
    assert head.count((60 * _STEP).to_bytes(4, "big")) == 4  # movie, track, media, fragments
    (tmp_path / "ended.mp4").write_bytes(head + data[ends[0] :])
    assert numbers(tmp_path / "ended.mp4") == list(range(60))


def test_a_file_cut_off_at_any_byte_is_whole_up_to_its_last_fragment(
    coded: tuple[ParameterSets, list[CodedSample]], tmp_path: Path
) -> None:
    data, ends = written(coded, [0, 10, 30, 45, 60])
    counts = [0, 10, 30, 45, 60]
    for size in (
        *range(0, len(data), 97),
        *(end + d for end in ends for d in (-1, 0, 1) if end + d <= len(data)),
    ):
        found = content(data[:size])
        whole = max((k for k, end in enumerate(ends) if end <= size), default=None)
        expected = (0, 0) if whole is None else (counts[whole], ends[whole])
        assert (found.pictures, found.complete_bytes) == expected, size
        assert found.ticks == found.pictures * _STEP
    (tmp_path / "cut.mp4").write_bytes(data[: content(data[: ends[3] + 40]).complete_bytes])
    assert numbers(tmp_path / "cut.mp4") == list(range(45))


@pytest.mark.parametrize("box", [b"tfdt", b"trun"])
@pytest.mark.parametrize("junk", [b"\0" * 12, b"\xff" * 12, b"tfdt" + b"\xff" * 8, b"trun" + b"\xff" * 8])
def test_a_fragment_whose_boxes_are_damaged_is_none(
    coded: tuple[ParameterSets, list[CodedSample]], box: bytes, junk: bytes
) -> None:
    data, ends = written(coded, [0, 30, 60])
    at = data.index(box, ends[1])
    damaged = data[:at] + junk + data[at + len(junk) :]
    with pytest.raises(ValueError, match="damaged"):
        content(damaged)


def test_pictures_shown_in_another_order_than_decoded_keep_their_times() -> None:
    """As B pictures come: 0 3 1 2."""
    samples = [CodedSample(at * _STEP, at == 0, bytes([at])) for at in (0, 3, 1, 2)]
    data = encode_fragment(1, samples, 4 * _STEP)
    at = data.index(b"trun") + 16
    rows = [data[at + 16 * k : at + 16 * k + 16] for k in range(4)]
    shown = [k * _STEP + int.from_bytes(row[12:], "big", signed=True) for k, row in enumerate(rows)]
    assert shown == [0, 3 * _STEP, _STEP, 2 * _STEP]
    assert [int.from_bytes(row[:4], "big") for row in rows] == [_STEP] * 4


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
