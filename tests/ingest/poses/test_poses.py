from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.drill.flight import FlightPlan, make_drill_camera, simulate_flight
from flycam.drill.land import Valley
from flycam.errors import CrsMissing, SourceUnreadable
from flycam.geodata.crs import compute_convergence_and_scale, to_lonlat, to_work
from flycam.geodata.geoid import interpolate_undulation_m
from flycam.geometry.camera import LensModel, project
from flycam.ingest.photos.xmp import Angles
from flycam.ingest.poses.external_poses import (
    build_posed_headers,
    has_only_positions,
    has_poses,
    read_poses,
    read_sfm_poses,
    with_table_positions,
)
from flycam.ingest.poses.pose_table import read_poses_csv, read_positions_csv
from tests.ingest.photos.made_flights import CAMERA, photo

CAMERA_OF_DRILL = make_drill_camera((1600, 1200))
OPK = "filename,x,y,z,omega,phi,kappa\n100_1,292710.2,2731048.7,186.4,28.831,0.94,1.782\n"
LLA = (
    "filename latitude longitude altitude roll pitch yaw camera\na.tif 24.68 120.95 186.5 0.0 30.0 92.9 'x'\n"
)


def write(tmp_path, text, name="poses.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def between(a, b):
    """Degrees of the rotation between two exteriors."""
    r = np.array(a.rotation) @ np.array(b.rotation).T
    return np.degrees(np.arccos(np.clip((np.trace(r) - 1.0) / 2.0, -1.0, 1.0)))


def test_lla_rpy_is_put_on_grid_north(tmp_path):
    (row,) = read_poses_csv(write(tmp_path, LLA), vertical_datum="EGM96")
    assert row.exterior.work_crs == "EPSG:32651"
    look = np.array(row.exterior.rotation)[2]
    assert look[2] == pytest.approx(-np.cos(np.radians(30.0)))
    grid_azimuth = np.degrees(np.arctan2(look[0], look[1]))
    assert 0.5 < grid_azimuth - 92.9 < 1.2  # convergence -0.86 degrees west of the zone's meridian


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no pose"),
        ("filename,x,y\na,1,2\n", "omega"),
        (OPK.replace("0.94", "north"), "decimal point"),
        (OPK.replace("0.94", "nan"), "not finite"),
        (OPK + "b,1,2\n", "line 3"),
    ],
)
def test_a_bad_table_is_named_with_the_cure(tmp_path, text, words):
    with pytest.raises(SourceUnreadable, match=words) as caught:
        read_poses_csv(write(tmp_path, text), crs="EPSG:32651", vertical_datum="EGM96")
    assert "poses.csv" in str(caught.value)


def test_xyz_without_crs_is_an_error_and_a_prj_beside_it_helps(tmp_path):
    path = write(tmp_path, OPK)
    with pytest.raises(CrsMissing, match=r"\.prj"):
        read_poses_csv(path, vertical_datum="EGM96")
    write(tmp_path, "EPSG:32651", "poses.prj")
    assert len(read_poses_csv(path, vertical_datum="EGM96")) == 1


def reconstruction(true, *, grid, gps=True):
    """A reconstruction of exteriors in UTM, in ODM's turned frame (`grid`) or in OpenSfM's own."""
    lon, lat = 104.8, 21.9
    convergence, scale = compute_convergence_and_scale("EPSG:32648", lon, lat)
    origin = to_work(np.array([[lon, lat]]), "EPSG:32648")[0]
    turn = np.array(
        [
            [np.cos(convergence), -np.sin(convergence), 0.0],
            [np.sin(convergence), np.cos(convergence), 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    shots = {}
    for name, exterior in true.items():
        on_grid = np.array(exterior.projection_centre_m) - [*origin, 0.0]
        tangent = turn.T @ (on_grid / [scale, scale, 1.0])
        tangent[2] -= (tangent[0] ** 2 + tangent[1] ** 2) / (2 * 6_371_000.0)
        centre = on_grid if grid else tangent
        rotation = np.array(exterior.rotation) @ (np.eye(3) if grid else turn)
        shots[name] = {
            "rotation": cv2.Rodrigues(rotation)[0].ravel().tolist(),
            "translation": (-rotation @ centre).tolist(),
            "camera": "c",
        }
        if gps:
            shots[name]["gps_position"] = np.add(tangent, (0.4, -0.3, 2.0)).tolist()
    camera = {"projection_type": "brown", "width": 1600, "height": 1200, "focal_x": 0.7, "focal_y": 0.7}
    reference = {"latitude": lat, "longitude": lon, "altitude": 0.0}
    return json.dumps([{"cameras": {"c": camera}, "shots": shots, "reference_lla": reference}])


@pytest.fixture(scope="module")
def true():
    flown = simulate_flight(
        Valley(seed=2), FlightPlan(strips=2, per_strip=3, gsd_m=0.4), CAMERA_OF_DRILL, 2, False
    )
    return {f"DJI_{e.number:04d}.JPG": e.exterior for e in flown}


@pytest.mark.parametrize("grid", [True, False])
def test_a_reconstruction_tells_its_frame_by_its_gps_positions(tmp_path, true, grid):
    path = write(tmp_path, reconstruction(true, grid=grid), "poses.dat")
    rows = read_poses(path, vertical_datum="EGM96")
    assert [row.name for row in rows] == sorted(true)
    for row in rows:
        # a convergence of 0.07° moves a camera 600 m away by 0.8 m: taken for the other, it would be off
        off = np.subtract(row.exterior.projection_centre_m, true[row.name].projection_centre_m)
        assert np.abs(off).max() < 0.02
        assert between(row.exterior, true[row.name]) < 0.002
        assert row.exterior.work_crs == "EPSG:32648" and row.exterior.vertical_datum == "EGM96"
        assert row.interior.focal_length_px == (1120.0, 1120.0)


def test_odms_shots_are_places_in_degrees_and_rotations_on_the_grid(tmp_path, true):
    features = [
        {
            "type": "Feature",
            "properties": {
                "filename": name,
                "rotation": cv2.Rodrigues(np.array(e.rotation))[0].ravel().tolist(),
                "translation": list(e.projection_centre_m),
            },
            "geometry": {
                "type": "Point",
                "coordinates": [
                    *to_lonlat(np.array([e.projection_centre_m[:2]]), "EPSG:32648")[0],
                    e.projection_centre_m[2],
                ],
            },
        }
        for name, e in true.items()
    ]
    path = write(tmp_path, json.dumps({"type": "FeatureCollection", "features": features}), "shots.geojson")
    for crs in (None, "EPSG:32647"):
        for row in read_poses(path, vertical_datum="EGM96", work_crs=crs):
            place = to_lonlat(np.array([row.exterior.projection_centre_m[:2]]), row.exterior.work_crs)
            expected = to_lonlat(np.array([true[row.name].projection_centre_m[:2]]), "EPSG:32648")
            assert np.abs(place - expected).max() < 1e-8
            assert north_of(row.exterior) == pytest.approx(north_of(true[row.name]), abs=2e-4)


def north_of(exterior):
    """True azimuth, in radians, of the picture's upper edge."""
    (lonlat,) = to_lonlat(np.array([exterior.projection_centre_m[:2]]), exterior.work_crs)
    east, north = -np.array(exterior.rotation)[1, :2]
    return np.arctan2(east, north) + compute_convergence_and_scale(exterior.work_crs, *lonlat)[0]


def test_what_a_telemetry_file_holds_is_told_by_its_content(tmp_path):
    assert has_poses(write(tmp_path, OPK, "table.log"))
    assert has_poses(write(tmp_path, "\ufeff" + OPK, "bom.tlog"))
    assert has_poses(write(tmp_path, "[{}]", "x"))
    assert not has_poses(write(tmp_path, "FMT, 128, 89, FMT, BBnNZ, Type\n", "dataflash.log"))
    binary = tmp_path / "poses.csv"
    binary.write_bytes(b"\xa3\x95\x80\x80\x59FMT\x00")
    assert not has_poses(binary)
    cut = tmp_path / "cut.csv"
    cut.write_bytes(b"x" * 4095 + "é".encode() + b"y")
    assert has_poses(cut)
    with pytest.raises(SourceUnreadable, match="absent"):
        has_poses(tmp_path / "absent.csv")


def test_photos_of_one_name_find_their_pose_by_folder(tmp_path):
    table = (
        OPK.replace("100_1", "101MEDIA\\DJI_0001.JPG")
        + OPK.splitlines()[1].replace("100_1", "DJI_0002")
        + "\n"
    )
    rows = read_poses_csv(write(tmp_path, table), crs="EPSG:32651", vertical_datum="EGM96")
    paths = [
        Path(folder, name) for name in ("DJI_0001.JPG", "DJI_0002.JPG") for folder in ("100MEDIA", "101MEDIA")
    ]
    photos = [photo(path.name, path=path, size_bytes=n) for n, path in enumerate(paths)]
    headers, rejected = build_posed_headers(photos, rows, camera=CAMERA, pose_file="poses.csv")
    assert [h.provenance.source_sha256 for h in headers] == [photos[1].identity]
    assert [r.name for r in rejected] == [
        "100MEDIA/DJI_0001.JPG",
        "100MEDIA/DJI_0002.JPG",
        "101MEDIA/DJI_0002.JPG",
    ]


@pytest.mark.real
def test_three_notations_of_one_adjustment_agree(shared_data):
    folder = shared_data / "poses" / "odm_drone_oblique"
    table = {
        r.name: r.exterior
        for r in read_poses_csv(folder / "odm_xyz_opk.csv", crs="EPSG:32651", vertical_datum="LOCAL")
    }
    shots = read_sfm_poses(folder / "reconstruction.json", vertical_datum="LOCAL")
    assert len(shots) == len(table) == 4
    for shot in shots:
        other = table[shot.name]
        off = np.subtract(shot.exterior.projection_centre_m, other.projection_centre_m)
        assert np.abs(off).max() < 0.002
        assert between(shot.exterior, other) < 0.002
        assert shot.interior.model is LensModel.BROWN
        assert shot.interior.image_size_px == (1368, 912)
    prior = {r.name: r.exterior for r in read_poses_csv(folder / "odm_lla_rpy.csv", vertical_datum="LOCAL")}
    degrees = [between(prior[f"{name}.tif"], exterior) for name, exterior in table.items()]
    assert min(degrees) > 0.5
    assert max(degrees) < 2.0  # the prior is "more than 1 degree off", not 90 or 180


def test_a_pose_file_of_more_than_a_flight_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda data: pytest.fail("was parsed"))
    with pytest.raises(SourceUnreadable):
        read_sfm_poses(write(tmp_path, "[" + "[]," * 100_000 + "[]]", "r.json"), vertical_datum="EGM96")


UNDULATION_M = float(interpolate_undulation_m("EGM96", np.array([[104.8, 21.9]]))[0])
LLA_HEAD = "filename,latitude,longitude,altitude,roll,pitch,yaw"
PLACES = [(21.912345, 104.812345), (21.9137771, 104.8129123), (21.9151239, 104.8135877)]


def table(tmp_path, extra_head="", extra="", places=PLACES):
    lines = [f"p{k}.jpg,{lat},{lon},186.5,0,0,90{extra}" for k, (lat, lon) in enumerate(places)]
    path = write(tmp_path, "\n".join([LLA_HEAD + extra_head, *lines]))
    return read_poses_csv(path, vertical_datum="EGM96")


@pytest.mark.parametrize(("gimbal", "from_nadir"), [(-90.0, 0.0), (-60.0, 30.0)])
def test_a_gimbals_pitch_is_told_from_one_that_counts_from_the_nadir(tmp_path, gimbal, from_nadir):
    def rotation(pitch):
        rows = "\n".join(f"p{k}.jpg,{lat},{lon},186.5,2,{pitch},90" for k, (lat, lon) in enumerate(PLACES))
        path = write(tmp_path, f"{LLA_HEAD}\n{rows}")
        return read_poses_csv(path, vertical_datum="EGM96")[0].exterior.rotation

    np.testing.assert_allclose(rotation(gimbal), rotation(from_nadir), atol=1e-12)


@pytest.mark.parametrize(
    ("head", "values", "metres", "degrees"),
    [
        (",sigma_x,sigma_y,sigma_z,sigma_tilt,sigma_heading", ",2,3,5,0.1,0.2", (2, 3, 5), (0.1, 0.2)),
        (",accuracy_horizontal,accuracy_vertical,sigma_attitude", ",5,9,0.1", (5, 5, 9), (0.1, 0.1)),
        (",sigma_position,sigma_roll,sigma_pitch,sigma_yaw", ",2,0.3,0.4,3", (2.0, 2.0, 2.0), (0.4, 3.0)),
    ],
)
def test_sigmas_of_a_table_are_its_own(tmp_path, head, values, metres, degrees):
    for row in table(tmp_path, head, values):
        assert row.exterior.sigma_position_m == pytest.approx(metres)
        tilt, heading = degrees[0], degrees[1]
        np.testing.assert_allclose(np.degrees(row.exterior.sigma_attitude_rad), [tilt, tilt, heading])
        assert row.states_sigma


EXIF_HEAD = "FileName,GPSLatitude,GPSLongitude,AbsoluteAltitude"
EXIF_ROW = 'A.JPG,"21 deg 54\' 0.00"" N","104 deg 48\' 0.00"" E",+412.5'


@pytest.mark.parametrize(
    ("name", "text", "height_m", "sigma_m"),
    [
        ("a.csv", "name,latitude,longitude\nA.JPG,21.9,104.8\n", None, None),
        ("a.csv", "name;lat;lon;height\nA.JPG;21.9;104.8;412.5\n", 412.5, None),
        ("a.csv", f"{EXIF_HEAD}\n{EXIF_ROW}\n", 412.5, None),
        ("geo.txt", "EPSG:4326\nA.JPG 104.8 21.9 412.5\nB.JPG 104.9 21.9 412.5\n", 412.5, None),
        ("geo.txt", "EPSG:4326\n# flown at noon\nA.JPG 104.8 21.9\n", None, None),
        ("geo.txt", "A.JPG 104.8 21.9 412.5\nB.JPG 104.9 21.9 412.5\n", 412.5, None),
        (
            "geo.txt",
            "WGS84 UTM 48N\nA.JPG 479338.4 2421760.4 412.5 0 0 0 0.02 0.04 x\n",
            412.5,
            (0.02, 0.02, 0.04),
        ),
    ],
)
def test_tables_of_positions_alone(tmp_path, name, text, height_m, sigma_m):
    path = write(tmp_path, text, name)
    assert has_poses(path) and has_only_positions(path)
    row = read_positions_csv(path)[0]
    assert row.lonlat == pytest.approx((104.8, 21.9), abs=2e-4)
    assert (row.name, row.height_m, row.sigma_m) == ("A.JPG", height_m, sigma_m)


def test_positions_of_a_table_replace_the_photos_own_and_no_others(tmp_path):
    path = write(tmp_path, "name,lat,lon,height,vertical_datum\nA.JPG,21.9,104.8,412.5,ELLIPSOID\n")
    photos = [photo("A.JPG", gimbal=Angles(yaw_deg=1.0)), photo("B.JPG", lon_deg=104.9, lat_deg=21.8)]
    (a, b), (finding,) = with_table_positions(photos, path)
    assert (a.lon_deg, a.lat_deg, a.gimbal) == (104.8, 21.9, photos[0].gimbal)
    assert a.absolute_altitude_m == pytest.approx(412.5 - UNDULATION_M, abs=1e-6), (
        "as EGM96, which all but RTK is"
    )
    assert b == photos[1]
    assert finding.severity == "warning"


@pytest.mark.parametrize(
    "text", ["A.JPG 479338.4 2421760.4 412.5\n", "an old grid\nA.JPG 479338.4 2421760.4 412.5\n"]
)
def test_a_geo_txt_in_metres_names_its_system_or_is_refused(tmp_path, text):
    with pytest.raises(CrsMissing, match=r"geo\.txt: .*EPSG:32648"):
        has_only_positions(write(tmp_path, text, "geo.txt"))


def test_another_work_crs_sees_the_same_pixels(tmp_path):
    """A zone 2.9 degrees away: convergence turns by a degree, the picture must not."""
    path = write(tmp_path, OPK)
    (own,) = read_poses_csv(path, crs="EPSG:32651", vertical_datum="EGM96")
    (other,) = read_poses_csv(path, crs="EPSG:32651", vertical_datum="EGM96", work_crs="EPSG:32650")
    below = np.array([[-20.0, 60.0, -90.0], [30.0, 90.0, -95.0], [0.0, 20.0, -90.0]])
    ground = np.array(own.exterior.projection_centre_m) + below
    moved = np.column_stack([to_work(to_lonlat(ground[:, :2], "EPSG:32651"), "EPSG:32650"), ground[:, 2]])
    uv, _ = project(CAMERA, own.exterior, ground)
    uv_other, _ = project(CAMERA, other.exterior, moved)
    assert between(own.exterior, other.exterior) > 0.5
    np.testing.assert_allclose(uv_other, uv, atol=0.05)


def test_positions_in_a_projected_system_with_their_sigmas(tmp_path):
    text = "name,x,y,z,sigma_xy,sigma_z\nA,479341.2,2421754.1,412.5,0.02,0.04\n"
    path = write(tmp_path, text)
    write(tmp_path, "EPSG:32648", "poses.prj")
    (row,) = read_positions_csv(path)
    np.testing.assert_allclose(
        to_work(np.array([row.lonlat]), "EPSG:32648"), [[479341.2, 2421754.1]], atol=1e-3
    )
    assert row.sigma_m == (0.02, 0.02, 0.04)
