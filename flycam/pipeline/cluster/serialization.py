"""Serialization of frozen values: dataclasses, arrays, tuples, mappings and enums, exactly.

    magic "FCST1\\n" · length of the tree (8 bytes, little endian) · tree (JSON) · arrays · SHA-256

The tree holds the structure of the values, followed by the arrays as they are in memory. Reading trusts
nothing: a file that is cut off, changed, of another format or of classes not asked for is `None`, never an
error, because the caller can make the values again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAGIC = b"FCST1\n"
_LENGTH_BYTES = 8
_DIGEST_BYTES = 32
_ALIGNED = 16
_PLAIN = (bool, int, float, str, type(None))


def write_serialized(file: BinaryIO, value: Any, stamp: str) -> None:
    """Write a value.

    `stamp` names its inputs; `read_serialized` must be given the same. Raises TypeError for an unsupported
    value, OSError as the file does.
    """
    arrays: list[NDArray[Any]] = []
    body = _to_tree(value, arrays)
    shapes = [[array.dtype.str, list(array.shape)] for array in arrays]
    tree = json.dumps({"stamp": stamp, "arrays": shapes, "value": body}, ensure_ascii=False).encode()
    digest = hashlib.sha256()
    for part in _parts(tree, arrays):
        digest.update(part)
        file.write(part)
    file.write(digest.digest())


def read_serialized(data: bytes | bytearray, kinds: Iterable[type], stamp: str) -> Any | None:
    """Read the value that was written.

    None if the data are incomplete or of another stamp.

    kinds  the dataclasses and enums it may be made of

    Arrays are views of `data`: writable if that is.
    """
    end = len(data) - _DIGEST_BYTES
    start = len(MAGIC) + _LENGTH_BYTES
    if end < start or bytes(data[: len(MAGIC)]) != MAGIC:
        return None
    if hashlib.sha256(memoryview(data)[:end]).digest() != bytes(data[end:]):
        return None
    stop = start + int.from_bytes(data[len(MAGIC) : start], "little")
    tree = json.loads(bytes(data[start:stop]))
    if tree["stamp"] != stamp:
        return None
    arrays, at = [], _aligned(stop)
    for dtype, shape in tree["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        flat = np.frombuffer(data, dtype=dtype, count=count, offset=at)
        arrays.append(flat.reshape(shape))
        at = _aligned(at + flat.nbytes)
    try:
        return _from_tree(tree["value"], arrays, {kind.__name__: kind for kind in kinds})
    except (KeyError, TypeError, ValueError):
        # written by another version of these classes
        return None


def _parts(tree: bytes, arrays: Iterable[NDArray[Any]]) -> Iterable[bytes | memoryview]:
    head = MAGIC + len(tree).to_bytes(_LENGTH_BYTES, "little") + tree
    yield head
    at = len(head)
    for array in arrays:
        yield bytes(_aligned(at) - at)
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        at = _aligned(at) + array.nbytes


def _aligned(at: int) -> int:
    return -(-at // _ALIGNED) * _ALIGNED


def _to_tree(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "is": value.value}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of Python objects cannot be kept")
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, (tuple, list)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_to_tree(one, arrays) for one in value]}
    if isinstance(value, Mapping):
        return {"map": [[_to_tree(k, arrays), _to_tree(v, arrays)] for k, v in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return {
            "class": type(value).__name__,
            "with": {name: _to_tree(one, arrays) for name, one in fields.items()},
        }
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _from_tree(tree: Any, arrays: list[NDArray[Any]], kinds: Mapping[str, Callable[..., Any]]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "tuple" in tree:
        return tuple(_from_tree(one, arrays, kinds) for one in tree["tuple"])
    if "list" in tree:
        return [_from_tree(one, arrays, kinds) for one in tree["list"]]
    if "map" in tree:
        return {_from_tree(k, arrays, kinds): _from_tree(v, arrays, kinds) for k, v in tree["map"]}
    if "enum" in tree:
        return kinds[tree["enum"]](tree["is"])
    return kinds[tree["class"]](**{k: _from_tree(v, arrays, kinds) for k, v in tree["with"].items()})
