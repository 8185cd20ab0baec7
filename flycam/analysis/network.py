"""A learned model that says of each cell how likely it changed, run by OpenCV in tiles; decision 0035.

card ─ file, its hash, its declared inputs ─ OpenCV ─ tile by tile of the pair ─ a plane for each kind
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.analysis.network_card import NetworkCard, find_card, read_card
from flycam.analysis.onnx_said import FLOAT32, TensorSaid, read_onnx_said
from flycam.analysis.pair import ImagePair
from flycam.errors import NetworkUnusable

Reals = NDArray[np.float32]
Values = TypeVar("Values", NDArray[np.uint8], NDArray[np.float32])

_MOST_BYTES = 1 << 30
_MOST_COARSER = 1.5
_SURE = 0.004  # a network's word counts up to 5.5 in a logit, about as a cell's own evidence does
_TYPES = {FLOAT32: "float32", 2: "uint8", 6: "int32", 7: "int64", 10: "float16", 11: "float64"}
_HALF = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """The work grid on which a network's word is wanted.

    shape      rows and columns of cells
    to_pixels  (columns, rows) of the pair for one cell
    slope      float32 of that shape, tangent of the steepest slope
    """

    shape: tuple[int, int]
    to_pixels: tuple[float, float]
    slope: Reals


@dataclass(frozen=True, kw_only=True, slots=True)
class _Square:
    """Where a tile lies: its corner and side in pixels of the pair, rim included."""

    top: int
    left: int
    side: int


class Network:
    """A network that is what its card says. Not for several threads at once."""

    def __init__(self, card: NetworkCard, net: cv2.dnn.Net) -> None:
        self.card, self._net = card, net

    def require_gsd(self, gsd_m: float) -> None:
        """Raise NetworkUnusable for pixels so coarse that it never saw the like."""
        if gsd_m > _MOST_COARSER * self.card.gsd_m:
            raise NetworkUnusable(
                f"{self.card.name}: was trained on pixels of {self.card.gsd_m:g} m, and the pictures have "
                f"{gsd_m:.2g} m in common; compare without --network, or give sharper pictures",
                vi=f"{self.card.name}: được huấn luyện với điểm ảnh {self.card.gsd_m:g} m, còn hai ảnh "
                f"chỉ có {gsd_m:.2g} m; hãy so sánh không dùng --network, hoặc đưa ảnh nét hơn",
            )

    def logits(self, pair: ImagePair, ground: Ground) -> dict[str, Reals]:
        """ln(p / (1 - p)) of each cell of the work grid, by kind; 0 where not imaged on both dates.

        Beside the planes one tile at a time is held. Raises NetworkUnusable: too coarse, or it cannot be run.
        """
        self.require_gsd(pair.gsd_m)
        side = max(round(self.card.tile_px * self.card.gsd_m / pair.gsd_m), 1)
        margin = math.ceil(self.card.margin_px * side / self.card.tile_px)
        seen = pair.both_seen
        planes = np.zeros((len(self.card.kinds), *ground.shape), np.float32)
        for top, left, step in _steps(seen.shape, max(side - 2 * margin, 1)):
            if not seen[top : top + step, left : left + step].any():
                continue
            square = _Square(top=top - margin, left=left - margin, side=side)
            chances = self._chances(self._fed(pair, seen, ground, square))
            rows, cols = (
                _cells(at, step, size) for at, size in zip((top, left), _sizes(ground), strict=True)
            )
            for plane, chance in zip(planes, chances, strict=True):
                cut = plane[rows, cols]
                cut[...] = _on_cells(chance, square, ground, rows, cols)
        return dict(zip(self.card.kinds, planes, strict=True))

    def _fed(self, pair: ImagePair, seen: NDArray[np.bool_], ground: Ground, square: _Square) -> Reals:
        """The tensor 1×C×T×T of one tile; 0, which is the mean of each channel, where not imaged on both."""
        tile = self.card.tile_px
        pictures = {"before": pair.before_rgb, "after": pair.after_rgb}
        channels: list[Reals] = []
        for name in self.card.planes:
            if name == "slope":
                channels.append(_slope_under(ground, square, tile))
            else:
                rgb = _resized(_cut(pictures[name], square).astype(np.float32), tile) / np.float32(255.0)
                channels += [rgb[..., number] for number in range(rgb.shape[-1])]
        whole = _resized(_cut(seen.astype(np.float32), square), tile) > _HALF
        mean = np.array(self.card.mean, np.float32)[:, None, None]
        spread = np.array(self.card.spread, np.float32)[:, None, None]
        levelled = (np.stack(channels) - mean) / spread
        return np.asarray(np.where(whole, levelled, np.float32(0.0))[None], np.float32)

    def _chances(self, fed: Reals) -> Reals:
        """What it answers for one tile: probabilities, kinds×T×T."""
        said = _run(self._net, fed, self.card)[0]
        if self.card.is_logit:
            said = np.asarray(1.0 / (1.0 + np.exp(-np.clip(said, -30.0, 30.0))), np.float32)
        return np.asarray(np.clip(np.nan_to_num(said, nan=_HALF), 0.0, 1.0), np.float32)


def load_network(ref: str) -> Network:
    """The network of a card: a name of `models/networks`, or a card's path.

    Raises NotFound (no such card); NetworkUnusable: its card does not say enough, its file is not there or
    not the one of the card, does not take what the card says, or cannot be run.
    """
    card = read_card(find_card(ref))
    data = _bytes_of(card)
    _require_as_said(card, data)
    level = cv2.utils.logging.getLogLevel()
    try:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it is said in one sentence below
        net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    except cv2.error as error:
        raise _cannot_run(card) from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    blank = np.zeros((1, card.channels, card.tile_px, card.tile_px), np.float32)
    _run(net, blank, card)
    return Network(card, net)


def _bytes_of(card: NetworkCard) -> bytes:
    """The file's bytes, which are those that the card was written for."""
    name = card.file.name
    try:
        if card.file.stat().st_size > _MOST_BYTES:
            raise NetworkUnusable(
                f"{name}: is larger than 1 GB; give a smaller network",
                vi=f"{name}: lớn hơn 1 GB; hãy dùng mạng nhỏ hơn",
            )
        data = card.file.read_bytes()
    except OSError as error:
        raise NetworkUnusable(
            f"{name}: the network of {card.name} is not beside its card; copy it there",
            vi=f"{name}: không có tệp mạng {card.name} cạnh thẻ; hãy chép tệp vào đó",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise NetworkUnusable(
            f"{name}: is not the network of its card: its SHA-256 begins with {found[:12]}, not with "
            f"{card.sha256[:12]}; fetch the right file, or measure this one and write a card of its own",
            vi=f"{name}: không phải mạng ghi trong thẻ: mã SHA-256 bắt đầu bằng {found[:12]}, không phải "
            f"{card.sha256[:12]}; hãy lấy đúng tệp, hoặc đánh giá tệp này rồi viết thẻ riêng",
        )
    return data


def _require_as_said(card: NetworkCard, data: bytes) -> None:
    """Raise NetworkUnusable where the file declares other inputs or outputs than the card."""
    try:
        said = read_onnx_said(data)
    except ValueError as error:
        raise _cannot_run(card) from error
    if not said.is_whole:
        raise NetworkUnusable(
            f"{card.file.name}: keeps weights in another file, which its hash does not cover; save it as one",
            vi=f"{card.file.name}: để trọng số trong tệp khác nên mã SHA-256 không bảo đảm; hãy lưu thành "
            "một tệp",
        )
    tile, takes = card.tile_px, _told(said.inputs)
    if not _fits(said.inputs, (1, card.channels, tile, tile)):
        wanted = f"float32 1×{card.channels}×{tile}×{tile} ({', '.join(card.planes)})"
        raise NetworkUnusable(
            f"{card.file.name}: takes {takes}, its card says {wanted}; write the card as the network is",
            vi=f"{card.file.name}: đầu vào là {takes}, còn thẻ ghi {wanted}; hãy sửa thẻ cho đúng với mạng",
        )
    if not _fits(said.outputs, (1, len(card.kinds), tile, tile)):
        raise _other_output(card, _told(said.outputs))


def _fits(tensors: tuple[TensorSaid, ...], wanted: tuple[int, ...]) -> bool:
    return (
        len(tensors) == 1
        and tensors[0].kind == FLOAT32
        and len(tensors[0].dims) == len(wanted)
        and all(dim in (None, want) for dim, want in zip(tensors[0].dims, wanted, strict=True))
    )


def _told(tensors: tuple[TensorSaid, ...]) -> str:
    shapes = ["×".join("?" if dim is None else str(dim) for dim in one.dims) or "?" for one in tensors]
    return (
        ", ".join(f"{_TYPES.get(one.kind, '?')} {shape}" for one, shape in zip(tensors, shapes, strict=True))
        or "-"
    )


def _run(net: cv2.dnn.Net, fed: Reals, card: NetworkCard) -> Reals:
    """Kinds of each pixel, 1×K×T×T."""
    try:
        net.setInput(fed)
        said = np.asarray(net.forward())
    except cv2.error as error:
        raise _cannot_run(card) from error
    if said.shape != (1, len(card.kinds), card.tile_px, card.tile_px):
        raise _other_output(card, "×".join(map(str, said.shape)))
    return np.asarray(said, np.float32)


def _other_output(card: NetworkCard, found: str) -> NetworkUnusable:
    wanted = f"float32 1×{len(card.kinds)}×{card.tile_px}×{card.tile_px} ({', '.join(card.kinds)})"
    return NetworkUnusable(
        f"{card.file.name}: gives {found}, its card says {wanted}; write the card as the network is",
        vi=f"{card.file.name}: đầu ra là {found}, còn thẻ ghi {wanted}; hãy sửa thẻ cho đúng với mạng",
    )


def _cannot_run(card: NetworkCard) -> NetworkUnusable:
    return NetworkUnusable(
        f"{card.file.name}: is no ONNX that OpenCV {cv2.__version__} can run; save it with an older opset, "
        "in float32",
        vi=f"{card.file.name}: không phải ONNX mà OpenCV {cv2.__version__} chạy được; hãy lưu lại với opset "
        "cũ hơn, kiểu float32",
    )


# -- where tiles and cells lie ----------------------------------------------------------------


def _steps(shape: tuple[int, ...], step: int) -> Iterator[tuple[int, int, int]]:
    """Corners of the squares whose answer is used: side by side, each pixel in one."""
    for top in range(0, shape[0], step):
        for left in range(0, shape[1], step):
            yield top, left, step


def _sizes(ground: Ground) -> tuple[tuple[float, int], tuple[float, int]]:
    """Pixels for a cell and number of cells, of rows, then of columns."""
    return (ground.to_pixels[1], ground.shape[0]), (ground.to_pixels[0], ground.shape[1])


def _cells(at: int, step: int, size: tuple[float, int]) -> slice:
    """Cells whose middles lie in so many pixels from `at` on."""
    pixels, count = size
    start, stop = (min(max(math.ceil(edge / pixels - 0.5), 0), count) for edge in (at, at + step))
    return slice(start, stop)


def _on_cells(chance: Reals, square: _Square, ground: Ground, rows: slice, cols: slice) -> Reals:
    """A tile's probabilities as logits of cells, averaged where cells are larger than its pixels."""
    scale = chance.shape[0] / square.side
    wide, high = (max(round(pixels * scale), 1) for pixels in ground.to_pixels)
    smooth = cv2.blur(np.ascontiguousarray(chance), (wide, high))
    y, x = np.meshgrid(
        ((np.arange(rows.start, rows.stop) + 0.5) * ground.to_pixels[1] - square.top) * scale - 0.5,
        ((np.arange(cols.start, cols.stop) + 0.5) * ground.to_pixels[0] - square.left) * scale - 0.5,
        indexing="ij",
    )
    if not x.size:
        return np.zeros(x.shape, np.float32)
    here = cv2.remap(
        smooth,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    sure = np.clip(here, _SURE, 1.0 - _SURE)
    return np.asarray(np.log(sure / (1.0 - sure)), np.float32)


def _slope_under(ground: Ground, square: _Square, tile: int) -> Reals:
    """Slope at the pixels of a tile, beyond the grid that of its edge."""
    along = (np.arange(tile) + 0.5) * square.side / tile
    y, x = np.meshgrid(
        (along + square.top) / ground.to_pixels[1] - 0.5,
        (along + square.left) / ground.to_pixels[0] - 0.5,
        indexing="ij",
    )
    found = cv2.remap(
        ground.slope,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found, np.float32)


def _cut(values: Values, square: _Square) -> Values:
    """What lies under a tile, zeros beyond the picture."""
    rows, cols = values.shape[:2]
    bottom, right = square.top + square.side, square.left + square.side
    inside = values[max(square.top, 0) : min(bottom, rows), max(square.left, 0) : min(right, cols)]
    out = np.zeros((square.side, square.side, *values.shape[2:]), values.dtype)
    down, along = max(-square.top, 0), max(-square.left, 0)
    out[down : down + inside.shape[0], along : along + inside.shape[1]] = inside
    return out


def _resized(values: Reals, tile: int) -> Reals:
    if values.shape[0] == tile:
        return values
    how = cv2.INTER_AREA if values.shape[0] > tile else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (tile, tile), interpolation=how), np.float32)
