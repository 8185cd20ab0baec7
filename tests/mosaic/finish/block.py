"""A made-up block: known ground seen by frames with gains, falloff, shifts and things of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from flycam.geometry.grid import TILE_SIZE_PX, TileId, TileRange
from flycam.geometry.quality_bounds import BLOCK_PX, crop_blocks
from flycam.model.frame import OrthoPatch
from flycam.mosaic.finish.radiometry import (
    FrameOverview,
    FrameOverviewCache,
    PixelBox,
    decode_offsets,
    make_frame_overview,
    make_place_image,
)

BASE_ZOOM, SHRINK = 18, 2
CORNER = TileId(z=BASE_ZOOM, x=4096, y=2048)
STEP = 1 << SHRINK


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One frame: the base pixels it covers (rows, cols from the corner), gain, falloff at r = 1, slope: log
    brightness (across, down) by half diagonals; turned: flown the other way, up is down in its picture."""

    name: str
    rows: tuple[int, int]
    cols: tuple[int, int]
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    falloff: float = 0.0
    slope: tuple[float, float] = (0.0, 0.0)
    turned: bool = False
    shift_px: int = 0
    objects: Sequence[tuple[int, int, int]] = field(default_factory=tuple)  # row, col, half side


class Block:
    """Frames over a textured ground of `shape` base pixels, north-west corner at CORNER."""

    def __init__(self, shots: Sequence[Shot], shape: tuple[int, int] = (768, 1024), seed: int = 3) -> None:
        self.shots = {shot.name: shot for shot in shots}
        self.shape = shape
        rng = np.random.default_rng(seed)
        ground = np.zeros((*shape, 3), np.float32)
        for scale, strength in ((2, 60.0), (12, 90.0), (60, 160.0)):
            noise = cv2.GaussianBlur(rng.standard_normal((*shape, 3)).astype(np.float32), (0, 0), scale)
            ground += noise / noise.std() * strength / 4
        self.ground = np.clip(ground + 110, 20, 200)

    def window(self, shot: Shot) -> tuple[slice, slice]:
        return slice(*shot.rows), slice(*shot.cols)

    def picture(self, shot: Shot) -> tuple[np.ndarray, np.ndarray]:
        """(rgb as the camera gives it, place planes) over the frame's window, as it lies on the ground."""
        light = np.roll(self.ground, shot.shift_px, axis=1)[self.window(shot)].copy()
        for row, col, half in shot.objects:
            light[row - half - shot.rows[0] : row + half - shot.rows[0],
                  col - half - shot.cols[0] : col + half - shot.cols[0]] = (230.0, 40.0, 40.0)  # fmt: skip
        height, width = light.shape[:2]
        place = make_place_image((width, height))[..., :2]
        at = decode_offsets(place)
        log = shot.falloff * np.square(at).sum(axis=2) + at @ np.float32(shot.slope)
        light *= np.array(shot.gain) * np.exp(log)[..., None]
        return np.clip(np.rint(light), 0, 255).astype(np.uint8), place[::-1, ::-1] if shot.turned else place

    def quality(self, shot: Shot) -> np.ndarray:
        height, width = shot.rows[1] - shot.rows[0], shot.cols[1] - shot.cols[0]
        y, x = (np.abs(np.arange(n) + 0.5 - n / 2) / (n / 2) for n in (height, width))
        edge = np.clip(4 * (1 - np.maximum(y[:, None], x[None])), 0.05, 1)
        return (60000 * edge * (1 - 0.3 * (np.square(y)[:, None] + np.square(x)[None]))).astype(np.uint16)

    def tiles(self, zoom: int = BASE_ZOOM) -> TileRange:
        rows, cols = (-(-n // TILE_SIZE_PX) for n in self.shape)
        shift = BASE_ZOOM - zoom
        return TileRange(
            z=zoom,
            x_start=CORNER.x >> shift,
            y_start=CORNER.y >> shift,
            x_stop=((CORNER.x + cols - 1) >> shift) + 1,
            y_stop=((CORNER.y + rows - 1) >> shift) + 1,
        )

    def overview(self, name: str) -> FrameOverview:
        """The frame averaged over squares of the coarse grid."""
        shot = self.shots[name]
        rgb, place = self.picture(shot)
        tiles = self.tiles(BASE_ZOOM - SHRINK)
        planes = []
        for plane in (rgb, self.quality(shot)[..., None], place):
            whole = np.zeros((tiles.shape_px[0] * STEP, tiles.shape_px[1] * STEP, plane.shape[2]), np.float32)
            whole[self.window(shot)] = plane
            planes.append(whole[STEP // 2 :: STEP, STEP // 2 :: STEP] if plane.shape[2] < 3 else _mean(whole))
        quality = planes[1][..., 0].astype(np.uint16)
        patch = OrthoPatch(
            tiles=tiles,
            rgb=np.where(quality[..., None] > 0, np.rint(planes[0]), 0).astype(np.uint8),
            quality=quality,
            frame_id=name,
            exterior_version=1,
            dem_id="d",
        )
        return make_frame_overview(patch, planes[2].astype(np.uint8), "camera")

    def overviews(self) -> FrameOverviewCache:
        return FrameOverviewCache(list(self.shots), self.overview)

    def patch(
        self, name: str, tiles: TileRange, correct=lambda name, rgb: rgb, wanted: np.ndarray | None = None
    ) -> OrthoPatch | None:
        """The frame over `tiles`, cut to what it touches; nothing but the wanted blocks."""
        whole, tiles = tiles, tiles.intersection(self.tiles())
        if tiles.is_empty:
            return None
        shot = self.shots[name]
        rgb = np.zeros((*self.tiles().shape_px, 3), np.uint8)
        quality = np.zeros(self.tiles().shape_px, np.uint16)
        rgb[self.window(shot)] = correct(name, self.picture(shot)[0])
        quality[self.window(shot)] = self.quality(shot)
        top, left = (tiles.y_start - CORNER.y) * TILE_SIZE_PX, (tiles.x_start - CORNER.x) * TILE_SIZE_PX
        part = np.s_[top : top + tiles.shape_px[0], left : left + tiles.shape_px[1]]
        rgb, quality = rgb[part], quality[part]
        if wanted is not None:
            left_out = ~crop_blocks(whole, wanted, tiles).repeat(BLOCK_PX, 0).repeat(BLOCK_PX, 1)
            rgb[left_out], quality[left_out] = 0, 0
        return OrthoPatch(
            tiles=tiles,
            rgb=rgb,
            quality=quality,
            frame_id=name,
            exterior_version=1,
            dem_id="d",
        )

    def box(self, zoom: int = BASE_ZOOM) -> PixelBox:
        """Global pixels of the whole ground."""
        step = 1 << (BASE_ZOOM - zoom)
        row, col = CORNER.y * TILE_SIZE_PX // step, CORNER.x * TILE_SIZE_PX // step
        return PixelBox(
            row=row, col=col, row_stop=row + self.shape[0] // step, col_stop=col + self.shape[1] // step
        )


def _mean(plane: np.ndarray) -> np.ndarray:
    rows, cols, bands = plane.shape
    return plane.reshape(rows // STEP, STEP, cols // STEP, STEP, bands).mean(axis=(1, 3))


def strip(count: int = 4, **options: object) -> list[Shot]:
    """Frames of 640×420 base pixels side by side, overlapping by more than half."""
    return [
        Shot(name=f"f{n}", rows=(60 + 7 * n, 700 + 7 * n), cols=(40 + 170 * n, 460 + 170 * n), **options)  # type: ignore[arg-type]
        for n in range(count)
    ]
