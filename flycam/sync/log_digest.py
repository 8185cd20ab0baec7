"""Chained digest of a log: differing logs of one name are detected.

They are compared at a line that both have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from flycam.errors import StoreConflict
from flycam.frame.tile import TileRecord
from flycam.messages import _

EMPTY_DIGEST = "0" * 32
"""The digest of a log before its first line."""


DIGEST_PREFIX_DIGITS = 8
"""Digits sent of the digests of lines inside a log range: enough, for logs differ by accident."""


def iterate_digests(digest: str, lines: Iterable[TileRecord]) -> Iterator[str]:
    """Yield the digest after each of these further lines, 32 hex digits.

    Each covers the digest before it.
    """
    for line in lines:
        said = f"{digest} {line.seq} {line.revision} {line.tile_id} {line.epoch} {line.content_hash}"
        digest = hashlib.sha256(said.encode()).hexdigest()[:32]
        yield digest


def require_same_log(box: str, mosaic_id: str, seq: int, ours: str, theirs: str) -> None:
    """Raise StoreConflict, with the remedy, unless both logs agree up to `seq`.

    theirs  the digest, or as many of its first digits as are sent
    """
    if not ours.startswith(theirs):
        raise _build_log_conflict(box, mosaic_id, seq)


def require_log_covers(box: str, mosaic_id: str, seq: int, until: int) -> None:
    """Raise StoreConflict, with the remedy, if a peer imported lines beyond the log."""
    if seq > until:
        raise _build_log_conflict(box, mosaic_id, seq)


def _build_log_conflict(box: str, mosaic_id: str, seq: int) -> StoreConflict:
    # a cloned node is detected by either check, whichever log grew longer: cause and remedy are the same
    return StoreConflict(
        _(
            "{box}: its log of {mosaic_id} up to line {seq} is not the one taken in before: "
            "two boxes carry this name (a copied disk), or this one went back to an older "
            "backup; give it a name of its own with FLYCAM_BOX and send again (a bundle: "
            "with --all)",
            box=box,
            mosaic_id=mosaic_id,
            seq=seq,
        )
    )
