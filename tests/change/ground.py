"""A piece of made-up ground with edges at every scale, and how it looks on another day."""

from __future__ import annotations

import cv2
import numpy as np


def ground(seed: int, size: int = 1000, blots: int | None = None) -> np.ndarray:
    """Fields, paths and roofs: size×size×3 uint8."""
    chance = np.random.default_rng(seed)
    picture = np.full((size, size, 3), 110, np.uint8)
    for number in range(blots or size * size // 400):
        side = float(chance.choice([60.0, 25.0, 9.0, 4.0], p=[0.1, 0.2, 0.3, 0.4])) * (0.5 + chance.random())
        at, turn = chance.random(2) * size, chance.random() * 180.0
        box = cv2.boxPoints(((float(at[0]), float(at[1])), (side, side * (0.4 + chance.random())), turn))
        colour = chance.integers(30, 220, 3).tolist()
        if number % 3:
            cv2.fillPoly(picture, [np.rint(box).astype(np.int32)], colour)
        else:
            cv2.line(picture, *(tuple(map(int, box[k])) for k in (0, 2)), colour, 2)
    noise = chance.normal(0.0, 4.0, picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)


def moved(picture: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """The after picture: what stands at p in `picture` stands at p + displacement(p), H×W×2 smooth."""
    rows, cols = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    here = displacement.astype(np.float32)
    x, y = cols, rows
    for _ in range(5):  # p = q - displacement(p), to a hundredth of a pixel
        at = cv2.remap(here, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x, y = cols - at[..., 0], rows - at[..., 1]
    return cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def field(shape: tuple[int, int], shift: tuple[float, float], wave_px: float = 0.0) -> np.ndarray:
    """A displacement H×W×2: a shift, and a slow wave on it."""
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]]
    wave = wave_px * np.stack(
        [np.sin(2.0 * np.pi * rows / shape[0]), np.cos(2.0 * np.pi * cols / shape[1])], axis=-1
    )
    return np.asarray(shift) + wave


def other_light(picture: np.ndarray, seed: int = 9) -> np.ndarray:
    """Another exposure, a slope of brightness across it, other colours, and noise."""
    chance = np.random.default_rng(seed)
    values = (picture.astype(np.float32) / 255.0) ** 0.7 * np.array([0.9, 1.0, 0.7], np.float32)
    slope = np.linspace(0.7, 1.2, picture.shape[1], dtype=np.float32)[None, :, None]
    return np.clip(values * slope * 230.0 + chance.normal(0, 3.0, picture.shape), 0, 255).astype(np.uint8)


def everywhere(picture: np.ndarray) -> np.ndarray:
    """Seen all over."""
    return np.ones(picture.shape[:2], np.bool_)
