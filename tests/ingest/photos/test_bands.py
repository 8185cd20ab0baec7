"""Which layer a photo belongs to: heat is never blended into colour."""

from __future__ import annotations

import pytest

from flycam.ingest.photos.photo_reader import classify_band, compute_ev100


def band(**fields: object) -> str:
    plain = {
        "name": "DJI_0001.JPG",
        "maker": "DJI",
        "model": "FC6310",
        "size_px": (4000, 3000),
        "image_source": "",
        "band_name": "",
        "ev100": 13.0,
    }
    return classify_band(**{**plain, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "layer"),
    [
        ({}, "colour"),
        ({"image_source": "InfraredCamera", "size_px": (640, 512)}, "thermal"),
        ({"image_source": "WideCamera", "model": "M30T"}, "colour"),
        ({"model": "MAVIC2-ENTERPRISE-ADVANCED", "size_px": (640, 512)}, "thermal"),
        ({"model": "MAVIC2-ENTERPRISE-ADVANCED", "size_px": (8000, 6000)}, "colour"),
        ({"model": "XT2", "size_px": (640, 512)}, "thermal"),
        ({"model": "XT2", "size_px": (4000, 3000)}, "colour"),
        ({"name": "DJI_20260908070503_0001_T.JPG", "size_px": (640, 480)}, "thermal"),
        ({"name": "DJI_20260908070503_0001_W.JPG"}, "colour"),
        (
            {"maker": "Autel Robotics", "model": "XL709", "name": "IRX_0001.jpg", "size_px": (640, 512)},
            "thermal",
        ),
        ({"maker": "Canon", "model": "Canon PowerShot S110 NIR"}, "infrared"),
        ({"band_name": "NIR"}, "infrared"),
        ({"band_name": "RedEdge"}, "infrared"),
        ({"image_source": "NightVision"}, "night"),
        ({"ev100": 0.5}, "night"),
        ({"ev100": 5.0}, "colour"),
        ({"ev100": None}, "colour"),
    ],
)
def test_layers(fields: dict[str, object], layer: str) -> None:
    assert band(**fields) == layer


def test_exposure_value_of_the_sunny_sixteen_rule() -> None:
    assert compute_ev100(16.0, 1 / 125, 100) == pytest.approx(15.0, abs=0.1)
    assert compute_ev100(16.0, 1 / 125, 400) == pytest.approx(13.0, abs=0.1)
    assert compute_ev100(None, 1 / 125, 100) is None
