"""Lists of ground control points: what they say is read as it stands, what they cannot say is named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import CrsMissing, SourceUnreadable
from flycam.geodata.control_points import read_ground_control


def written(tmp_path, text):
    path = tmp_path / "gcp_list.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_marks_with_tabs_blanks_names_and_comments(tmp_path):
    control = read_ground_control(
        written(
            tmp_path,
            "WGS84 UTM 48N\n# surveyed 2026-09-06\n"
            "400100.5 2400200.25 812.4 100.5 200.5 DJI_0001.JPG A\n"
            "400100.5\t2400200.25\t812.4\t640\t480\tDJI 0002.JPG\tA\n\n"
            "400300 2400400 NaN 1 2 DJI_0001.JPG\n",
        )
    )
    assert control.crs == "EPSG:32648"
    assert [m.point for m in control.marks] == ["A", "A", "400300 2400400"]
    assert control.marks[0].uv_px == (100.0, 200.0)
    assert control.marks[1].photo == "DJI 0002.JPG"
    assert math.isnan(control.marks[2].z)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", SourceUnreadable, "empty"),
        ("EPSG:32648\n", SourceUnreadable, "no point"),
        ("EPSG:32648\n1 2 3 4\n", SourceUnreadable, "line 2"),
        ("EPSG:32648\n1 2 3 4 x a.jpg\n", SourceUnreadable, "line 2"),
        ("EPSG:32648\n1 inf 3 4 5 a.jpg\n", SourceUnreadable, "line 2"),
        ("1 2 3 4 5 a.jpg\n", CrsMissing, "coordinate system"),
        ('{"type":' * 2000 + "\n1 2 3 4 5 a.jpg\n", CrsMissing, "coordinate system"),
        ("9" * 5000 + "\n1 2 3 4 5 a.jpg\n", CrsMissing, "coordinate system"),
        ("EPSG:32648\n1 2 3 4 5 a.jpg P\n\n1 27 3 4 5 b.jpg P\n", SourceUnreadable, "line 4.*in line 2"),
        ("EPSG:32648\n1 2 3 4 5 a.jpg 1\n9 2 3 4 5 a.jpg 1\n", SourceUnreadable, "line 3: point '1'"),
        ("EPSG:4326\n104.3 22.3 3 4 5 a.jpg P\n104.31 22.3 3 4 5 b.jpg P\n", SourceUnreadable, "line 3"),
    ],
)
def test_what_does_not_read_names_the_line(tmp_path, text, error, says):
    with pytest.raises(error, match=says) as caught:
        read_ground_control(written(tmp_path, text))
    assert "gcp_list.txt" in str(caught.value)


@settings(deadline=None)
@given(text=st.text(max_size=80))
def test_any_line_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("gcp") / "g.txt"
    path.write_text("EPSG:32648\n" + text, encoding="utf-8", errors="replace")
    try:
        assert read_ground_control(path).marks
    except SourceUnreadable as error:
        assert "g.txt" in str(error)


@pytest.mark.real
def test_the_real_list(shared_data):
    control = read_ground_control(shared_data / "gcp" / "gcp_list.txt")
    assert control.crs == "EPSG:4326"
    assert len(control.marks) >= 34
    assert all(16 < m.x < 17 and 47 < m.y < 48 for m in control.marks)


@pytest.mark.parametrize("header", ["VN-2000", "VN2000 múi 3 độ", "VN-2000 kinh tuyến trục 104°10'"])
def test_vn_2000_without_a_zone_that_is_known_asks_for_its_code(tmp_path, header):
    path = tmp_path / "khống chế.txt"
    path.write_text(f"{header}\n498000.0 2401000.0 500.0 100 200 DJI_0001.JPG\n", encoding="utf-8")
    with pytest.raises(CrsMissing, match=r"khống chế\.txt: .*VN-2000 without a zone.*EPSG:9208") as said:
        read_ground_control(path)
    assert "EPSG:9208" in said.value.message.in_language("vi")
