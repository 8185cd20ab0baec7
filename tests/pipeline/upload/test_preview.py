"""Thumbnails in heads, and what poses as one."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flycam.pipeline.inspection import inspect_flight
from flycam.pipeline.laying.planning import Planned, ground_under, planned_on
from flycam.pipeline.laying.survey import SurveyRequest
from flycam.pipeline.upload.preview import LONGEST_PX, preview, thumbnail_in


def jpeg(rgb: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=95)
    return out.getvalue()


def with_thumbnail(photo: bytes, thumbnail: bytes) -> bytes:
    """The thumbnail in a segment of its own behind the photo's start."""
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    return photo[:2] + segment + photo[2:]


def test_a_letterboxed_thumbnail_is_cut_to_the_photos_shape() -> None:
    small = np.zeros((120, 160, 3), np.uint8)
    small[15:105] = 200  # 16:9 between black bars
    found = thumbnail_in(b"\xff\xd8\xff" + jpeg(small), (1920, 1080))
    assert found is not None and found.shape == (90, 160, 3) and found.min() > 120


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8\xff\xe1 nothing inside",
        b"\xff\xd8\xff" + b"\xff\xd8\xff garbage" * 9,
        b"\xff\xd8\xff" + jpeg(np.zeros((2, 2, 3), np.uint8)),
        b"\xff\xd8\xff" + jpeg(np.zeros((2000, 3000, 3), np.uint8)),
        b"\xff\xd8\xff" + jpeg(np.zeros((120, 160, 3), np.uint8))[:300],
    ],
    ids=["empty", "none", "garbage", "tiny", "no thumbnail's size", "cut off"],
)
def test_what_is_no_thumbnail_is_left_alone(head: bytes) -> None:
    assert thumbnail_in(head, (4000, 3000)) is None


def planned(folder: Path, dem: Path | None = None) -> list[Planned]:
    seen = inspect_flight(SurveyRequest(paths=(folder,)), [], extra_dem=dem, check_pixels=False)
    diagnosis = seen.survey.diagnosis
    return planned_on(diagnosis, ground_under(None, diagnosis, []))[0]


def test_each_thumbnail_lies_on_its_photos_ground(card: Path) -> None:
    """Every corner of every photo in a colour of its own: the colours meet the ground where the rays do."""
    shots = sorted(card.iterdir())
    small = np.zeros((120, 160, 3), np.uint8)
    small[:60, :80], small[:60, 80:], small[60:, 80:] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    shots[0].write_bytes(with_thumbnail(shots[0].read_bytes(), jpeg(small)))
    frames = planned(card)
    drawn = preview(frames)
    assert drawn is not None and drawn.shown == 1
    assert max(drawn.rgba.shape[:2]) == LONGEST_PX
    assert drawn.webp()[8:12] == b"WEBP"
    name = shots[0].name
    outline = next(f for f in frames if f.header.provenance.source_name == name).view.outline_lonlat
    border = np.asarray(outline.exterior.coords)[:64]
    centre = border.mean(axis=0)
    west, south, east, north = drawn.bounds
    for corner, colour in ((0, 0), (16, 1), (32, 2)):
        lon, lat = centre + 0.7 * (border[corner] - centre)
        row = int((north - lat) / (north - south) * drawn.rgba.shape[0])
        column = int((lon - west) / (east - west) * drawn.rgba.shape[1])
        assert int(np.argmax(drawn.rgba[row, column, :3])) == colour
        assert drawn.rgba[row, column, 3] == 255


def test_photos_without_thumbnails_have_no_preview(card: Path) -> None:
    assert preview(planned(card)) is None


@pytest.mark.real
def test_a_real_flight(shared_data: Path) -> None:
    drawn = preview(planned(shared_data / "flights" / "brighton_beach"))
    assert drawn is not None and drawn.shown == 18
    assert (drawn.rgba[..., 3] > 0).mean() > 0.4
    assert len(drawn.webp()) < 300_000
