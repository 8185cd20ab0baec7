"""DJI subtitles: every file of the collection with its counts, and what each dialect says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from flycam.errors import SourceUnreadable
from flycam.ingest.telemetry import subtitles
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.telemetry.subtitles import read_subtitle_log, read_subtitles

NAN = float("nan")
# file: cues, rows, dropped, how the longitude was told, first lon, lat, last lon, lat, last video ms
READ = {
    "classic/MAVIC3.srt": (12318, 12318, {}, "named", -3.3744, 3.41531, -3.37721, 3.41368, 246_340),
    "classic/air2s.srt": (17, 17, {}, "named", 2.234156, 41.424724, 2.234102, 41.42473, 533),
    "classic/broken_incomplete.SRT": (
        *(20, 19, {"incomplete": 1}, "dialect"),
        *(-58.4563, -34.7383, -58.4563, -34.7383, 19_000),
    ),
    "classic/broken_incomplete2.SRT": (
        *(6, 4, {"incomplete": 2}, "named"),
        *(-57.823395, -34.86995, -57.823383, -34.869945, 160),
    ),
    "classic/mavic_2_style.SRT": (
        *(468, 463, {"time_not_increasing": 5}, "named"),
        *(149.0251, -20.2533, 149.0251, -20.2532, 468_000),
    ),
    "classic/mavic_2pro_new.SRT": (
        *(8952, 8952, {}, "named"),
        *(-60.286702, -35.080155, -60.314572, -35.077976, 369_840),
    ),
    "classic/mavic_air.SRT": (2, 0, {"no_position": 2}, "named", NAN, NAN, NAN, NAN, -1),
    "classic/mavic_air2.srt": (25, 25, {}, "named", 2.162162, 41.420684, 2.162162, 41.420686, 400),
    "classic/mavic_pro.SRT": (468, 468, {}, "range", 149.0251, -20.2533, 149.0251, -20.2532, 468_000),
    "classic/mavic_pro_buggy.SRT": (
        *(546, 530, {"no_fix": 16}, "dialect"),
        *(-1.2218, 42.4668, -1.2217, 42.4668, 546_000),
    ),
    "classic/old_format.SRT": (468, 468, {}, "range", 149.0251, -20.2533, 149.0251, -20.2532, 468_000),
    "classic/p4_rtk.SRT": (55, 55, {}, "distance", -58.851745, -34.237922, -58.849196, -34.232349, 54_000),
    "classic/p4p_sample.SRT": (5, 5, {}, "dialect", 8.209, 47.4692, 8.209, 47.4692, 4_000),
    "newer/DJI_sample.SRT": (5, 5, {}, "named", 18.203059, 59.302335, 18.203056, 59.302338, 133),
    "newer/Mini5PRO.SRT": (5, 5, {}, "named", 6.460719, 53.365108, 6.460718, 53.365109, 160),
    "newer/air3.SRT": (2, 2, {}, "named", 18.2222, 59.1111, 18.2223, 59.1112, 33),
    "newer/air3S.SRT": (5, 5, {}, "named", -84.17616, 34.270373, -84.17616, 34.270373, 66),
    "newer/avata2.SRT": (2, 2, {}, "range", 116.391305, 39.906217, 116.391306, 39.906218, 33),
    "matrice_300.srt": (381, 381, {}, "named", -6.112, 36.6146, -6.112, 36.6146, 380_000),
    "newer/mini4pro.SRT": (2, 2, {}, "named", 18.0, 59.0, 18.0001, 59.0001, 33),
}
# file: first relative height, first absolute height, its datum, 35 mm focal length
HEIGHTS = {
    "classic/MAVIC3.srt": (-2.4, 0.401, "EGM96", 24.0),
    "classic/air2s.srt": (NAN, 117.0, "UNKNOWN", 24.0),
    "classic/mavic_2pro_new.SRT": (NAN, NAN, "UNKNOWN", 28.0),
    "classic/mavic_pro.SRT": (1.9, NAN, "UNKNOWN", NAN),
    "classic/old_format.SRT": (1.9, NAN, "UNKNOWN", NAN),
    "classic/p4_rtk.SRT": (85.8, NAN, "UNKNOWN", NAN),
    "classic/p4p_sample.SRT": (45.6, NAN, "UNKNOWN", NAN),
    "newer/DJI_sample.SRT": (1.3, 132.86, "EGM96", NAN),
    "newer/Mini5PRO.SRT": (6.0, -122.769, "EGM96", 24.0),
    "newer/avata2.SRT": (91.2, 69.8, "UNKNOWN", NAN),
    "matrice_300.srt": (0.3, NAN, "UNKNOWN", NAN),
}


def one(body: str, number: int = 1, start: str = "00:00:00,000") -> str:
    return f"{number}\n{start} --> 00:00:09,000\n{body}\n\n"


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "DJI_0001.SRT"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.real
@pytest.mark.parametrize("name", READ)
def test_every_real_file_with_its_exact_counts(shared_data, name):
    cues, rows, dropped, order, *ends, last_ms = READ[name]
    table = read_subtitles(shared_data / "srt" / name)
    assert (table.cues, len(table), table.dropped, table.order) == (cues, rows, dropped, order)
    assert rows + sum(dropped.values()) == cues
    if rows:
        assert [*table.lonlat[0], *table.lonlat[-1]] == ends
        assert table.video_ms[-1] == last_ms


@pytest.mark.real
@pytest.mark.parametrize("name", HEIGHTS)
def test_heights_and_lenses_of_real_files(shared_data, name):
    table = read_subtitles(shared_data / "srt" / name)
    found = (table.relative_m[0], table.absolute_m[0], table.focal_35mm_mm[0])
    relative, absolute, datum, focal = HEIGHTS[name]
    assert found == pytest.approx((relative, absolute, focal), nan_ok=True)
    assert table.absolute_datum == datum


@pytest.mark.real
@pytest.mark.parametrize("name", ["broken_empty.SRT", "broken_empty2.SRT", "mavic_air.SRT"])
def test_files_without_a_position_are_refused_by_name(shared_data, name):
    with pytest.raises(SourceUnreadable, match=name):
        read_subtitle_log(shared_data / "srt" / "classic" / name)


def test_no_fix_and_impossible_places_are_counted_and_the_rest_is_kept(tmp_path):
    bodies = [
        "[latitude: 0.000000] [longitude: 0.000000] [altitude: 1.0]",
        "[latitude: 21.9] [longitude: 204.8] [altitude: 1.0]",
        "nothing at all",
        "[latitude: 21.9] [longitude: 104.8] [altitude: 1.0]",
    ]
    text = "".join(one(body, k + 1, f"00:00:0{k},000") for k, body in enumerate(bodies))
    table = read_subtitles(write(tmp_path, text))
    assert table.dropped == {"no_fix": 1, "impossible_position": 1, "incomplete": 1}
    assert len(table) == 1
    assert len(table.remarks()) == 4  # and that the altitude's datum is not stated


def test_a_clock_of_1970_is_no_clock_and_the_videos_time_is_used(tmp_path):
    body = "1970-01-01 00:00:01.000\n[latitude: 21.9] [longitude: 104.8]"
    text = one(body) + one(body.replace("01.000", "02.000"), 2, "00:00:01,000")
    log = read_flight_log(write(tmp_path, text))
    assert log.clock == "time of the video, no date"
    assert [s.t_utc_ns for s in log.track.samples] == [0, 1_000_000_000]


@pytest.mark.parametrize("body", [b"", b"\0" * 4096, b"a text without a cue\n" * 50, b"1\n"])
def test_what_is_no_subtitle_file_is_refused_in_one_sentence(tmp_path, body):
    path = write(tmp_path, body)
    for read in (read_subtitles, read_flight_log):
        with pytest.raises(SourceUnreadable, match=r"DJI_0001\.SRT"):
            read(path)


@pytest.mark.parametrize(
    "line", ["1" * 400_000, "a" * 400_000, " " * 400_000, "GPS(" * 100_000, "a:" * 200_000, "H   " * 100_000]
)
def test_one_endless_line_is_no_trap(tmp_path, line):
    """Patterns that repeat without bound take the square of such a line's length."""
    text = one("[latitude: 21.9] [longitude: 104.8]") + one(line, 2, "00:00:01,000") + line
    assert len(read_subtitles(write(tmp_path, text))) == 1


@pytest.mark.parametrize("piece", [1, 7, 60, 61, 997])
def test_cues_are_the_same_in_whatever_pieces_the_file_is_read(tmp_path, monkeypatch, piece):
    body = "[latitude: 21.9] [longitude: 104.8{0}] [rel_alt: 1.3 abs_alt: 132.8]"
    cues = [f"{n}\r\n00:00:0{n},000 --> 00:00:0{n},900\r\n{body.format(n)}\r\n\r\n" for n in range(1, 9)]
    path = tmp_path / "a.SRT"
    path.write_text("junk\n" + "".join(cues), newline="")
    whole = read_subtitles(path)
    monkeypatch.setattr(subtitles, "_PIECE", piece)
    table = read_subtitles(path)
    assert (table.cues, len(table)) == (whole.cues, len(whole)) == (8, 8)
    np.testing.assert_array_equal(table.lonlat, whole.lonlat)
    np.testing.assert_array_equal(table.video_ms, whole.video_ms)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_and_line_ends(tmp_path, encoding):
    text = one("[latitude: 21.9] [longitude: 104.8]").replace("\n", "\r\n")
    path = write(tmp_path, text.encode(encoding))
    assert len(read_flight_log(path).track.samples) == 1


def test_gimbal_and_digital_zoom_of_the_keyed_dialect(tmp_path):
    body = (
        "[focal_len : 240] [dzoom_ratio: 10000, delta:0] [latitude: 21.9] [longitude: 104.8] "
        "[rel_alt: 80.5 abs_alt: 412.25] [gb_yaw: -12.5 gb_pitch: -90.0 gb_roll: 0.0] </font></font>"
    )
    table = read_subtitles(write(tmp_path, one(body)))
    assert table.gimbal[0].tolist() == [-12.5, -90.0, 0.0]
    assert (table.zoom[0], table.focal_35mm_mm[0]) == (1.0, 24.0)
    sample = table.video_track().samples[0]
    assert (sample.height_m, sample.height_datum, sample.relative_height_m) == (412.25, "EGM96", 80.5)
    # 24 mm see 84° across the diagonal of a 4:3 sensor, so 71.6° across
    assert sample.hfov_deg == pytest.approx(71.6, abs=0.1)


@pytest.mark.parametrize("said, hfov_deg", [("240] [dzoom_ratio: 20000, delta:0", 39.6), ("0", math.nan)])
def test_a_zoom_narrows_the_field_of_view_and_no_focal_length_gives_none(tmp_path, said, hfov_deg):
    body = f"[focal_len : {said}] [latitude: 21.9] [longitude: 104.8] [rel_alt: 80.5] </font></font>"
    (sample,) = read_subtitles(write(tmp_path, one(body))).video_track().samples
    assert sample.hfov_deg == pytest.approx(hfov_deg, abs=0.1, nan_ok=True)
