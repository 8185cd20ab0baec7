"""Tiny networks as ONNX, written byte by byte (onnx.proto3), and their cards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

TILE = 32
Dims = Sequence[int | str]


def _varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | 0x80 if value else low])
        if not value:
            return out


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, values: np.ndarray, external: str = "") -> bytes:
    dims = b"".join(_number(1, one) for one in values.shape)
    if external:
        entry = _bytes(1, "location") + _bytes(2, external)
        return dims + _number(2, 1) + _bytes(8, name) + _bytes(13, entry) + _number(14, 1)
    return dims + _number(2, 1) + _bytes(8, name) + _bytes(9, values.astype("<f4").tobytes())


def _declared(name: str, dims: Dims, kind: int) -> bytes:
    each = (_number(1, one) if isinstance(one, int) else _bytes(2, one) for one in dims)
    shape = b"".join(_bytes(1, one) for one in each)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def _node(op: str, inputs: Sequence[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(_bytes(1, one) for one in inputs) + _bytes(2, output) + _bytes(4, op) + attributes


def onnx_bytes(
    weights: np.ndarray,
    bias: Sequence[float],
    *,
    dims: Dims | None = None,
    gives: Dims | None = None,
    op: str = "Sigmoid",
    kind: int = 1,
    external: str = "",
    lists_weights: bool = False,
) -> bytes:
    """A 1×1 convolution with `weights` (kinds×channels) and `bias`, then a sigmoid (or another `op`)."""
    kinds, channels = weights.shape
    kernel = _bytes(5, _bytes(1, "kernel_shape") + _number(8, 1) + _number(8, 1) + _number(20, 7))
    declared = [_declared("pictures", dims or (1, channels, TILE, TILE), kind)]
    if lists_weights:
        declared.append(_declared("w", (kinds, channels, 1, 1), 1))
    graph = b"".join(
        (
            _bytes(1, _node("Conv", ("pictures", "w", "b"), "raw", kernel)),
            _bytes(1, _node(op, ("raw",), "changed")),
            _bytes(2, "made in a test"),
            _bytes(5, _tensor("w", weights.reshape(kinds, channels, 1, 1), external)),
            _bytes(5, _tensor("b", np.asarray(bias, np.float32))),
            *(_bytes(11, one) for one in declared),
            _bytes(12, _declared("changed", gives or (1, kinds, TILE, TILE), 1)),
        )
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13))


def redder(slope: float = 40.0, bias: float = -4.0) -> np.ndarray:
    """Weights (1×6) of a network to which ground has changed where red gained on green; the bias is apart."""
    return np.array([[-slope, slope, 0.0, slope, -slope, 0.0]])


def card_values(name: str, data: bytes, **more: Any) -> dict[str, Any]:
    """A card of a network that takes both pictures and tells of landslides."""
    inputs = {
        "planes": ["before", "after"],
        "mean": [0.0] * 6,
        "spread": [1.0] * 6,
        "gsd_m": 0.5,
        "tile_px": TILE,
        "margin_px": 4,
    }
    values: dict[str, Any] = {
        "name": name,
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "CC0-1.0",
        "trained_on": "nothing: made in a test",
        "figures": "none were measured",
        "inputs": inputs | more.pop("inputs", {}),
        "outputs": {"kinds": ["landslide"], "as": "probability"} | more.pop("outputs", {}),
    }
    return values | more


def put_network(folder: Path, data: bytes, name: str = "made", **more: Any) -> Path:
    """A network beside its card; the card."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(data)
    card = folder / f"{name}.yaml"
    card.write_text(yaml.safe_dump(card_values(name, data, **more), allow_unicode=True), encoding="utf-8")
    return card
