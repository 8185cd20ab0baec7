"""Fragmented MP4 as a decoder reads it, cut off anywhere."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.media.mp4 import (
    TICKS_PER_S,
    CodedSample,
    FragmentedContent,
    ParameterSets,
    VideoCodec,
    encode_fragment,
    encode_head,
    extract_parameter_sets,
    find_box,
    parse_codec_configuration,
    parse_creation_s,
    scan_content,
    set_duration,
    split_units,
    to_length_prefixed,
)
from tests.ingest.video.streaming import BEGUN_S, SIZE_PX, number_of, write_film

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
