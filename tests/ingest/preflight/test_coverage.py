from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import shapely

from flycam.ingest.preflight.coverage import make_refly_kml
from flycam.ingest.preflight_check import diagnose
from flycam.model.diagnosis import GapKind
from tests.ingest.photos.made_flights import CAMERA, GROUND_M, LAT, LON, M_PER_DEG, codes, flat, strips, the


def inspect(photos, terrain=None, **options):
    return diagnose(
        photos,
        camera=CAMERA,
        terrain_at=terrain or flat(),
        **options,
    )


def place(p):
    return ((p.lon_deg - LON) * M_PER_DEG * np.cos(np.radians(LAT)), (p.lat_deg - LAT) * M_PER_DEG)


def test_ground_that_no_photo_sees_is_found_where_it_is():
    photos = [p for p in strips(lines=9) if not (70 < place(p)[0] < 210 and 120 < -place(p)[1] < 300)]
    diagnosis = inspect(photos)
    holes = [g for g in diagnosis.gaps if g.kind is GapKind.HOLE]
    assert len(holes) == 1
    # footprint 133×100 m (long side across the strip); photos stand at 60 and 220 m, strips at 90 and 315 m
    assert holes[0].area_m2 == pytest.approx((220 - 60 - 100) * (315 - 90 - 133.3), rel=0.1)
    middle = holes[0].polygon_lonlat.centroid
    assert (middle.x - LON) * M_PER_DEG * np.cos(np.radians(LAT)) == pytest.approx(140.0, abs=3.0)
    assert (middle.y - LAT) * M_PER_DEG == pytest.approx(-202.5, abs=3.0)
    assert the(diagnosis.problems, "ground_missing")


def test_an_area_of_interest_that_was_not_reached_is_missing():
    east = LON + 900.0 / M_PER_DEG
    aoi = shapely.box(LON, LAT - 100.0 / M_PER_DEG, east, LAT)
    diagnosis = inspect(strips(), area_of_interest=aoi)
    missing = shapely.union_all([g.polygon_lonlat for g in diagnosis.gaps])
    assert missing.contains(shapely.Point(LON + 600.0 / M_PER_DEG, LAT - 50.0 / M_PER_DEG))
    assert not missing.contains(shapely.Point(LON + 100.0 / M_PER_DEG, LAT - 50.0 / M_PER_DEG))


def test_lost_shots_in_a_strip_are_a_break_with_its_numbers():
    photos = strips()
    left = [p for k, p in enumerate(photos) if k not in (16, 17)]
    (gap,) = inspect(left).gaps
    assert gap.kind is GapKind.BREAK
    assert gap.between == (photos[15].name, photos[18].name)
    assert gap.missing == 2
    assert gap.length_m == pytest.approx(60.0, abs=0.2)
    assert gap.seen_by >= 1


def test_the_kml_is_valid_and_names_the_ground_in_both_languages():
    photos = [p for k, p in enumerate(strips()) if k not in (16, 17)]
    text = make_refly_kml(inspect(photos).gaps, "Suối <Thầu> & Sàng Ma Sáo")
    root = ET.fromstring(text)
    space = {"k": "http://www.opengis.net/kml/2.2"}
    assert root.find(".//k:Document/k:name", space).text == "Suối <Thầu> & Sàng Ma Sáo"
    (mark,) = root.findall(".//k:Placemark", space)
    assert "Đứt đường bay" in mark.find("k:name", space).text
    ring = mark.find(".//k:coordinates", space).text.split()
    assert ring[0] == ring[-1]
    lon, lat, _ = map(float, ring[0].split(","))
    assert (lon, lat) == pytest.approx((LON, LAT), abs=0.01)


def ridge(lonlat):
    """A ridge 60 m high along the strips' third line, 90 m wide on either side."""
    north = (lonlat[:, 1] - LAT) * M_PER_DEG
    return GROUND_M + 60.0 * np.clip(1.0 - np.abs(north + 90.0) / 90.0, 0.0, 1.0), "EGM96"


def test_side_overlap_is_lost_over_the_summit_first():
    diagnosis = inspect(strips(lines=6, per_line=16), ridge, takeoff=GROUND_M)
    zones = {z.zone: z for z in diagnosis.relief}
    assert set(zones) == {"valley", "slope", "summit"}
    assert zones["summit"].height_above_ground_m[0] == pytest.approx(40.0, abs=1.0)
    assert zones["valley"].height_above_ground_m[2] == pytest.approx(100.0, abs=1.0)
    assert zones["summit"].side_overlap < 0.2 < 0.6 < zones["valley"].side_overlap
    assert zones["summit"].gsd_m[1] < zones["valley"].gsd_m[1]
    assert zones["summit"].views[1] < zones["valley"].views[1]


def test_flat_ground_is_one_zone_with_the_plain_figures():
    (zone,) = inspect(strips()).relief
    assert zone.zone == "flat"
    assert zone.gsd_m[1] == pytest.approx(100.0 / 3000.0)
    assert zone.side_overlap == pytest.approx(1.0 - 45.0 / (100.0 * 4000.0 / 3000.0), abs=0.01)
    assert "strip_broken" not in codes(inspect(strips()).problems)
