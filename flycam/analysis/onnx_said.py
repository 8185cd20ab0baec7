"""What an ONNX file says of its inputs and outputs, read from its bytes; nothing of it is run.

OpenCV runs a network on tensors of another shape than it was made for without a word, and what comes out
means nothing: so shapes are compared with the card before. Of the format (Protocol Buffers, onnx.proto3) only
the few fields below are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

FLOAT32 = 1

_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_TENSOR_NAME, _DATA_LOCATION, _EXTERNAL = 8, 14, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSaid:
    """A tensor as the file declares it. dims: None where one may be anything; kind: 1 is float32."""

    name: str
    kind: int
    dims: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxSaid:
    """inputs: without weights, which older files list as inputs too; is_whole: no weight lies in a file of
    its own, so that the hash of this one covers all there is."""

    inputs: tuple[TensorSaid, ...]
    outputs: tuple[TensorSaid, ...]
    is_whole: bool


def read_onnx_said(data: bytes) -> OnnxSaid:
    """What a file declares. Raises ValueError for bytes that are no ONNX."""
    graph = next((value for number, value in _fields(memoryview(data)) if number == _GRAPH), None)
    if not isinstance(graph, memoryview):
        raise ValueError("holds no graph")
    found: dict[int, list[memoryview]] = {_NODE: [], _INITIALIZER: [], _INPUT: [], _OUTPUT: []}
    for number, value in _fields(graph):
        if number in found and isinstance(value, memoryview):
            found[number].append(value)
    tensors = [*found[_INITIALIZER], *(one for node in found[_NODE] for one in _constants(node))]
    weights = {_text(one, _TENSOR_NAME) for one in found[_INITIALIZER]}
    inputs = (_tensor(one) for one in found[_INPUT])
    return OnnxSaid(
        inputs=tuple(one for one in inputs if one.name not in weights),
        outputs=tuple(_tensor(one) for one in found[_OUTPUT]),
        is_whole=all(_number(one, _DATA_LOCATION) != _EXTERNAL for one in tensors),
    )


def _constants(node: memoryview) -> Iterator[memoryview]:
    """Tensors that stand in a node's attributes."""
    for attribute in _parts(node, 5):
        yield from _parts(attribute, 5)


def _tensor(info: memoryview) -> TensorSaid:
    kind, dims = 0, []
    for tensor in (one for type_ in _parts(info, 2) for one in _parts(type_, 1)):
        kind = _number(tensor, 1)
        dims = [_number(dim, 1) or None for shape in _parts(tensor, 2) for dim in _parts(shape, 1)]
    return TensorSaid(name=_text(info, 1), kind=kind, dims=tuple(dims))


def _parts(message: memoryview, number: int) -> list[memoryview]:
    return [value for its, value in _fields(message) if its == number and isinstance(value, memoryview)]


def _text(message: memoryview, number: int) -> str:
    parts = _parts(message, number)
    return bytes(parts[-1]).decode("utf-8", "replace") if parts else ""


def _number(message: memoryview, number: int) -> int:
    return next((value for its, value in _fields(message) if its == number and isinstance(value, int)), 0)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field. Raises ValueError where the bytes end within one, or are no fields."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"no field of ONNX at byte {at}")
        if length > len(message) - at:
            raise ValueError("is cut short")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(message[at : at + _MOST_VARINT]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError("is cut short")
