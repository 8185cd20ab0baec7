from __future__ import annotations

import pytest

from flycam.errors import SourceUnreadable
from tests.ingest.photos.exiftool_csv import read_exiftool_csv

HEAD = "SourceFile,FileName,DateTimeOriginal,GPSLatitude,GPSLongitude,AbsoluteAltitude,GimbalPitchDegree\n"


def write(tmp_path, text):
    path = tmp_path / "meta.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "place", ['"8 deg 27\' 55.22"" N","13 deg 12\' 0.92"" W"', "8.4653388889,-13.2002555556"]
)
def test_printed_and_numeric_places_are_the_same(tmp_path, place):
    row = f"./a/DJI_1.JPG,DJI_1.JPG,2025:04:16 07:25:57,{place},+390.734,-80.00\n"
    (found,) = read_exiftool_csv(write(tmp_path, HEAD + row))
    assert (found.lat_deg, found.lon_deg) == pytest.approx((8.46533889, -13.20025556), abs=1e-7)
    assert found.taken_text == "2025-04-16T07:25:57"
    assert found.absolute_altitude_m == 390.734
    assert found.gimbal.pitch_deg == -80.0
    assert found.gimbal.yaw_deg is None


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", HEAD])
def test_another_table_is_refused_with_the_cure(tmp_path, text):
    with pytest.raises(SourceUnreadable, match="exiftool -csv"):
        read_exiftool_csv(write(tmp_path, text))
