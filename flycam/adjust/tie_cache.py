"""Cache of features and matches as arrays, to resume an interrupted run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame
from flycam.adjust.pair_matching import PairMatches
from flycam.geometry.features import Features
from flycam.messages import decode_message, encode_message

Arrays = Mapping[str, NDArray[np.generic]]


class TieCache(Protocol):
    """Store of features and matches of an earlier, interrupted run.

    Keys are plain names. An implementation forgets everything when frames, poses, terrain or options change.
    Called by threads.
    """

    def get(self, key: str) -> Arrays | None:
        """Return the arrays stored under a key, or None."""

    def put(self, key: str, arrays: Arrays) -> None:
        """Store arrays under a key: completely or not at all."""


class NullTieCache:
    """Cache that stores nothing."""

    def get(self, key: str) -> Arrays | None:
        return None

    def put(self, key: str, arrays: Arrays) -> None:
        return None


def make_features_key(frame: BlockFrame) -> str:
    """Return the key of a frame's features."""
    return f"features-{frame.frame_id}"


def make_pair_key(a: BlockFrame, b: BlockFrame) -> str:
    """Return the key of a pair's matches, which includes each image's rotation."""
    turned = "-".join(frame.camera.rpartition(":turned")[2] for frame in (a, b) if ":turned" in frame.camera)
    return f"pair-{a.frame_id}-{b.frame_id}" + (f"-turned-{turned}" if turned else "")


def to_feature_arrays(features: Features) -> dict[str, NDArray[Any]]:
    """Convert features to arrays."""
    return {"uv_px": features.uv_px, "size_px": features.size_px, "descriptor": features.descriptor}


def from_feature_arrays(arrays: Arrays | None) -> Features | None:
    """Convert stored arrays to features; None where missing or of another form."""
    if arrays is None or not {"uv_px", "size_px", "descriptor"} <= set(arrays):
        return None
    uv, size, descriptor = (np.asarray(arrays[k]) for k in ("uv_px", "size_px", "descriptor"))
    if uv.shape != (len(size), 2) or descriptor.shape != (len(size), 128):
        return None
    return Features(
        uv_px=uv.astype(np.float64), size_px=size.astype(np.float32), descriptor=descriptor.astype(np.uint8)
    )


def to_match_arrays(matches: PairMatches) -> dict[str, NDArray[Any]]:
    """Convert matches of a pair to arrays; the reason as JSON in UTF-8."""
    reason = "" if matches.reason is None else json.dumps(encode_message(matches.reason))
    return {
        "i": matches.i,
        "j": matches.j,
        "cosine": matches.cosine,
        "miss_px": matches.miss_px,
        "sigma_px": np.array([matches.sigma_px]),
        "reason": np.frombuffer(reason.encode(), dtype=np.uint8),
    }


def from_match_arrays(arrays: Arrays | None, max_features: tuple[int, int]) -> PairMatches | None:
    """Convert stored arrays to matches; None where missing or out of range.

    Out of range: they refer to features that do not exist.
    """
    if arrays is None or not {"i", "j", "cosine", "miss_px", "sigma_px", "reason"} <= set(arrays):
        return None
    i, j = np.asarray(arrays["i"], dtype=np.int64), np.asarray(arrays["j"], dtype=np.int64)
    if (
        i.shape != j.shape
        or max(i.max(initial=-1) - max_features[0], j.max(initial=-1) - max_features[1]) >= 0
    ):
        return None
    reason = np.asarray(arrays["reason"], dtype=np.uint8).tobytes()
    return PairMatches(
        i=i,
        j=j,
        cosine=np.asarray(arrays["cosine"], dtype=np.float64),
        miss_px=np.asarray(arrays["miss_px"], dtype=np.float64),
        sigma_px=float(np.asarray(arrays["sigma_px"], dtype=np.float64)[0]),
        reason=decode_message(json.loads(reason)) if reason else None,
    )
