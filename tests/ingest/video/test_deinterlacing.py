"""What moved between two fields is shown at one moment; a whole picture is left as it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from flycam.drill.video_encoder import VideoEncoder
from flycam.ingest.video.decoder_process import FieldSelector, measure_combing
from flycam.ingest.video.video_source import VideoSource

SIZE = (240, 320)


def ground(shift_px: float, seed: int = 3) -> np.ndarray:
    """A textured ground that a camera has moved over by so many columns."""
    noise = np.random.default_rng(seed).uniform(0, 255, (SIZE[0], SIZE[1] + 64, 3)).astype(np.float32)
    texture = np.clip(128 + 4.0 * (cv2.GaussianBlur(noise, (0, 0), 2.5) - 127.5), 0, 255)
    moved = np.array([[1.0, 0.0, -shift_px], [0.0, 1.0, 0.0]])
    return cv2.warpAffine(texture.astype(np.uint8), moved, (SIZE[1] + 64, SIZE[0]))[:, 32:-32].copy()


def woven(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    picture = upper.copy()
    picture[1::2] = lower[1::2]
    return picture


def test_a_whole_picture_is_left_as_it_is() -> None:
    fields = FieldSelector()
    for moment in range(5):
        picture = ground(3.0 * moment)
        assert fields.select(picture) is picture
    noise = np.random.default_rng(1).integers(0, 255, (*SIZE, 3), np.uint8)
    assert fields.select(noise) is noise and not fields.is_interlaced
    assert measure_combing(np.zeros((3, 8, 3), np.uint8)) == 0.0


def test_pictures_of_an_interlaced_film_come_out_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with VideoEncoder(path, SIZE[::-1], 10, 0) as encoder:
        for moment in range(10):
            encoder.write(woven(ground(6.0 * moment - 30.0), ground(6.0 * moment - 27.0)))
    with VideoSource(str(path)) as source:
        combs = [measure_combing(picture.pixels) for picture in source.frames()]
    assert len(combs) == 10 and max(combs) < 0.9
