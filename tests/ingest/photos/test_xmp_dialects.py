"""What each maker means by its words."""

from __future__ import annotations

import pytest

from flycam.ingest.photos.xmp import (
    Angles,
    Dialect,
    detect_dialect,
    map_fields,
    parse_coordinate,
    parse_dewarp,
    resolve_maker,
)

DEWARP = "2022-06-08;3713.29,3712.5,7.02,-8.72,-0.112575,0.014875,-0.000086,0.000107,-0.027064"


def test_coordinates_in_every_spelling() -> None:
    assert parse_coordinate({"a": "21.5"}, 90, "a") == 21.5
    assert parse_coordinate({"a": "21,30.0S"}, 90, "a") == -21.5
    assert parse_coordinate({"a": "104,45,36E"}, 180, "a") == pytest.approx(104.76)
    assert parse_coordinate({"a": "191.0"}, 90, "a") is None


def test_dji() -> None:
    words = {
        "GpsLatitude": "+21.8850000",
        "GpsLongtitude": "+104.7710000",
        "AbsoluteAltitude": "+912.31",
        "RelativeAltitude": "+120.02",
        "GimbalYawDegree": "-172.10",
        "GimbalPitchDegree": "-90.00",
        "GimbalRollDegree": "+180.00",
        "FlightYawDegree": "+7.0",
        "FlightPitchDegree": "-3.0",
        "FlightRollDegree": "+1.0",
        "FlightXSpeed": "+4.1",
        "FlightYSpeed": "-0.2",
        "FlightZSpeed": "+0.0",
        "RtkFlag": "50",
        "RtkStdLon": "0.011",
        "RtkStdLat": "0.012",
        "RtkStdHgt": "0.023",
        "CalibratedFocalLength": "3725.15",
        "CalibratedOpticalCenterX": "2640.0",
        "CalibratedOpticalCenterY": "1978.0",
        "DewarpFlag": "0",
        "DewarpData": DEWARP,
        "UTCAtExposure": "2026:09:08 00:05:03.123456",
        "ImageSource": "WideCamera",
        "ShutterType": "Mechanical",
    }
    values = {f"drone-dji:{name}": text for name, text in words.items()}
    assert detect_dialect(values, "Hasselblad") is Dialect.DJI
    found = map_fields(Dialect.DJI, values)
    assert (found["xmp_lon_deg"], found["xmp_lat_deg"]) == (104.771, 21.885)
    assert (found["absolute_altitude_m"], found["relative_altitude_m"]) == (912.31, 120.02)
    assert found["gimbal"] == Angles(yaw_deg=-172.1, pitch_deg=-90.0, roll_deg=180.0)
    assert found["aircraft"] == Angles(yaw_deg=7.0, pitch_deg=-3.0, roll_deg=1.0)
    assert found["speed_mps"] == (4.1, -0.2, 0.0)
    assert (found["rtk_flag"], found["rtk_std_m"]) == (50, (0.011, 0.012, 0.023))
    assert (found["calibrated_focal_px"], found["calibrated_centre_px"]) == (3725.15, (2640.0, 1978.0))
    assert found["dewarped"] is False
    assert (found["dewarp"].cx_offset_px, found["dewarp"].p2, found["dewarp"].k3) == (
        7.02,
        0.000107,
        -0.027064,
    )
    assert found["xmp_time_text"] == "2026-09-08T00:05:03.123456Z"
    assert (found["image_source"], found["shutter_type"]) == ("WideCamera", "Mechanical")


@pytest.mark.parametrize(
    "text", ["", "2022-06-08;0,0,0,0,0,0,0,0,0", "2022-06-08;1,2,3", "a;b,c,d,e,f,g,h,i,j", "nan"]
)
def test_dewarp_data_that_is_none(text: str) -> None:
    assert parse_dewarp(text) is None


@pytest.mark.parametrize("prefix", ["drone", "*"])
def test_autel_new_firmware(prefix: str) -> None:
    words = {
        "GimbalYawDegree": "12.5",
        "GimbalPitchDegree": "-90",
        "GimbalRollDegree": "0",
        "RelativeAltitude": "99.5",
    }
    values = {f"{prefix}:{name}": text for name, text in words.items()}
    assert detect_dialect(values, "Autel Robotics") is Dialect.AUTEL
    found = map_fields(Dialect.AUTEL, values)
    assert found["gimbal"] == Angles(yaw_deg=12.5, pitch_deg=-90.0, roll_deg=0.0)
    assert found["relative_altitude_m"] == 99.5


def test_skydio_names_the_parts_of_structures() -> None:
    """Names and values as a Skydio 2 writes them."""
    words = {
        "CameraOrientationNEDYaw": "127.444323",
        "CameraOrientationNEDPitch": "-7.468572",
        "CameraOrientationNEDRoll": "0.186841",
        "VehicleOrientationNEDYaw": "126.820102",
        "CameraPositionFLUZ": "52.566480",
        "VehicleSpeedNEDX": "0.057380",
        "VehicleSpeedNEDY": "0.115340",
        "VehicleSpeedNEDZ": "-2.115316",
        "AbsoluteAltitude": "1034.441910",
        "CalibratedFocalLengthX": "2378.525221",
        "CalibratedFocalLengthY": "2376.907858",
        "CalibratedOpticalCenterX": "2029.169394",
        "CalibratedOpticalCenterY": "1520.272790",
        "DewarpData": "0.124826,-0.233427,0.098182",
        "CameraSource": "MAIN_VISIBLE",
    }
    values = {f"drone-skydio:{name}": text for name, text in words.items()}
    assert detect_dialect(values, "Skydio") is Dialect.SKYDIO
    found = map_fields(Dialect.SKYDIO, values)
    assert found["gimbal"] == Angles(yaw_deg=127.444323, pitch_deg=-7.468572, roll_deg=0.186841)
    assert (found["relative_altitude_m"], found["absolute_altitude_m"]) == (52.56648, 1034.44191)
    assert found["speed_mps"] == (0.05738, 0.11534, -2.115316)
    assert found["calibrated_centre_px"] == (2029.169394, 1520.27279)
    dewarp = found["dewarp"]
    assert (dewarp.fx_px, dewarp.k1, dewarp.k3, dewarp.p1) == (2378.525221, 0.124826, 0.098182, 0.0)
    assert found["image_source"] == "MAIN_VISIBLE"


def test_teal_adds_its_camera_to_its_platform() -> None:
    values = {
        "exif:CameraPitch": "-86831/1600",
        "exif:PlatformPitch": "-785007/200000",
        "exif:CameraYaw": "359986359/1000000",
        "exif:PlatformYaw": "31901593/100000",
        "exif:CameraRoll": "16501/1000000",
    }
    assert detect_dialect(values, "Teledyne FLIR") is Dialect.TEAL
    gimbal = map_fields(Dialect.TEAL, values)["gimbal"]
    assert gimbal.pitch_deg == pytest.approx(-54.269 - 3.925, abs=0.001)
    assert gimbal.yaw_deg == pytest.approx(359.986 + 319.016, abs=0.001)
    assert gimbal.roll_deg is None  # its platform does not say


@pytest.mark.parametrize(
    ("exif", "xmp", "maker"),
    [
        ("Camera", "Autel Robotics", "Autel Robotics"),
        ("", "DJI", "DJI"),
        ("DJI", "?", "DJI"),
        ("Camera", "", "Camera"),
    ],
)
def test_who_made_it(exif: str, xmp: str, maker: str) -> None:
    assert resolve_maker(exif, {"tiff:Make": xmp}) == maker


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Camera:HorizontalFOV", "horizontal_deg"),
        ("Camera:LensVerticalFOV", "vertical_deg"),
        ("drone:DFOV", "diagonal_deg"),
        ("drone-skydio:HorizontalFieldOfView", "horizontal_deg"),
        ("*:CameraHFOVDegrees", "horizontal_deg"),
    ],
)
def test_a_field_of_view_under_any_makers_name(name: str, field: str) -> None:
    found = map_fields(Dialect.NONE, {name: "84.5"})["field_of_view_deg"]
    assert getattr(found, field) == 84.5


@pytest.mark.parametrize("name", ["GPano:InitialHorizontalFOVDegrees", "crs:FOV", "Camera:FOVMode"])
def test_what_is_no_field_of_view(name: str) -> None:
    assert "field_of_view_deg" not in map_fields(Dialect.NONE, {name: "84.5"})


def test_pix4ds_words_on_the_lens() -> None:
    """Values as in the specification of the tags."""
    perspective = {
        "Camera:PerspectiveFocalLength": "527/100",
        "Camera:PerspectiveFocalLengthUnits": "mm",
        "Camera:PrincipalPoint": "2.42299,1.850154",
        "Camera:PerspectiveDistortion": "0.201690322,-0.358534038, 0.256185599, 0.004208643,0.000268361",
    }
    lens = map_fields(Dialect.NONE, perspective)["pix4d_lens"]
    assert (lens.focal_mm, lens.centre_mm, len(lens.distortion)) == (5.27, (2.42299, 1.850154), 5)
    fisheye = {
        "Camera:ModelType": "fisheye",
        "Camera:FisheyeAffineMatrix": "1583.319083002,0,0, 1583.319083002",
        "Camera:FisheyePolynomial": "0,1,-0.025178575, 0.167834214",
    }
    lens = map_fields(Dialect.NONE, fisheye)["pix4d_lens"]
    assert lens.affine_px[0] == 1583.319083002 and lens.polynomial[3] == 0.167834214
    assert "pix4d_lens" not in map_fields(Dialect.NONE, {**perspective, "Camera:PrincipalPoint": ""})


def test_parrot() -> None:
    values = {
        "drone-parrot:CameraYawDegree": "176.31",
        "drone-parrot:CameraPitchDegree": "-78.36",
        "drone-parrot:CameraRollDegree": "-0.32",
        "drone-parrot:DroneYawDegree": "170.0",
        "drone-parrot:DronePitchDegree": "2.0",
        "drone-parrot:DroneRollDegree": "1.0",
        "Camera:AboveGroundAltitude": "42.75",
    }
    assert detect_dialect(values, "Parrot") is Dialect.PARROT
    found = map_fields(Dialect.PARROT, values)
    assert found["gimbal"] == Angles(yaw_deg=176.31, pitch_deg=-78.36, roll_deg=-0.32)
    assert found["aircraft"].yaw_deg == 170.0
    assert found["relative_altitude_m"] == 42.75
