"""Layer of a photo from its tags and its name: colour, infrared, thermal or night.

Frames of different layers are never merged, so a wrong layer would blend thermal into colour. The evidence,
strongest first: the maker's tags (ImageSource, BandName), the camera's model, the file name's suffix where
the maker documents one, and for night the light that the exposure itself measures.
"""

from __future__ import annotations

import math
import re

_THERMAL_SOURCE = re.compile(r"infrared|thermal|\bIR\b|InfraredCamera", re.IGNORECASE)
_THERMAL_MODEL = re.compile(
    r"\b(XT[2RS]?|FLIR|BOSON|LEPTON|VUE|THERMO?MAP|THERMAL|ZXT\w*|ZTXT\w*)\b", re.IGNORECASE
)
_NIGHT_SOURCE = re.compile(r"night|low.?light|starlight", re.IGNORECASE)
_INFRARED_MODEL = re.compile(r"\b(NIR|NGB|RE|RED.?EDGE)\b", re.IGNORECASE)
_INFRARED_BAND = re.compile(r"\b(NIR|near.?infrared|red.?edge|rededge)\b", re.IGNORECASE)
_DJI_THERMAL_NAME = re.compile(r"^DJI_.*_T(_[A-Za-z0-9-]+)?\.(jpe?g|tiff?)$", re.IGNORECASE)
_AUTEL_THERMAL_NAME = re.compile(r"^(IRX?|MIX)_\d+\.(jpe?g|tiff?|irg)$", re.IGNORECASE)
_DETECTOR_SIZES = {(640, 512), (1280, 1024), (336, 256), (320, 256)}
"""Image sizes of microbolometers, which no colour camera of these makers writes.

Several cameras give their colour and their thermal photos the same model name, so the size decides.
"""
_MAX_THERMAL_PX = 1280

NIGHT_EV100 = 3.0
"""Exposure value at ISO 100 below which the scene is night.

Full daylight is 15, overcast 12, sunset 9, a lit street at night 4 or 5, ground under a full moon -3 (ISO
2720 light values): streets stay colour, unlit country is night.
"""


def compute_ev100(f_number: float | None, exposure_s: float | None, iso: float | None) -> float | None:
    """Return the exposure value at ISO 100, log2(N²/t) - log2(ISO/100).

    None if a part is missing.
    """
    if not f_number or not exposure_s or not iso:
        return None
    return math.log2(f_number * f_number / exposure_s) - math.log2(iso / 100.0)


def classify_band(
    *,
    name: str,
    maker: str,
    model: str,
    size_px: tuple[int, int],
    image_source: str,
    band_name: str,
    ev100: float | None,
) -> str:
    """Return one of "colour", "infrared", "thermal", "night"."""
    if _THERMAL_SOURCE.search(image_source) or band_name.upper() == "LWIR":
        return "thermal"
    if not image_source and _looks_thermal(name, maker, model, size_px):
        return "thermal"
    if _INFRARED_BAND.search(band_name) or (not band_name and _INFRARED_MODEL.search(model)):
        return "infrared"
    if _NIGHT_SOURCE.search(image_source) or (ev100 is not None and ev100 < NIGHT_EV100):
        return "night"
    return "colour"


def _looks_thermal(name: str, maker: str, model: str, size_px: tuple[int, int]) -> bool:
    """Return True if model, detector size or file name show a thermal camera.

    For photos whose maker's tags do not state it.
    """
    if max(size_px) > _MAX_THERMAL_PX:
        return False
    if _THERMAL_MODEL.search(model):
        return True
    house = maker.upper()
    if house.startswith(("DJI", "AUTEL", "PARROT")) and size_px in _DETECTOR_SIZES:
        return True
    by_name = _AUTEL_THERMAL_NAME if house.startswith("AUTEL") else _DJI_THERMAL_NAME
    return house.startswith(("DJI", "AUTEL")) and by_name.match(name) is not None
