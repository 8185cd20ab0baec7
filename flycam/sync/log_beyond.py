"""A mosaic's log beyond a peer's cursor, which moves on as steps are taken in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from flycam.catalog.records import MosaicInfo
from flycam.catalog.tiles import Tiles
from flycam.frame.tile import TileRecord
from flycam.sync.history import MARK_DIGITS, NOTHING, digests
from flycam.sync.manifest import Stretch
from flycam.sync.order import last_lines

_LINES_AT_ONCE = 5000


Reached = tuple[int, str]
"""A line of a log, and the digest after it: neither is ever another one."""

BEGINNING: Reached = (0, NOTHING)


def lines_until(
    tiles: Tiles, mosaic_id: str, until: int, after: Reached = BEGINNING
) -> Iterator[tuple[TileRecord, str]]:
    """The lines of a mosaic's log after one and up to `until`, each with the digest after it."""
    seq, digest = after
    while seq < until:
        some = tiles.log_since(mosaic_id, seq, min(_LINES_AT_ONCE, until - seq))
        for line, digest_after in zip(some, digests(digest, some), strict=True):
            digest = digest_after
            yield line, digest
        seq = some[-1].seq


@dataclass(kw_only=True, slots=True)
class LogBeyond:
    """One mosaic's log beyond the peer's cursor. digests: after each line from `since` (itself first);
    is_asked: whether the peer was asked which of its tiles it has from elsewhere."""

    mosaic: MosaicInfo
    since: int
    digests: list[str]
    tiles: list[TileRecord] = field(default_factory=list)
    views: list[TileRecord] = field(default_factory=list)
    is_asked: bool = False

    @property
    def until(self) -> int:
        return self.since + len(self.digests) - 1

    def stretch(self, until: int) -> Stretch:
        """Lines from the cursor to `until`; the cursor stays."""
        marks = (digest[:MARK_DIGITS] for digest in self.digests[1 : until - self.since + 1])
        return Stretch(
            since=self.since,
            until=until,
            since_digest=self.digests[0],
            until_digest=self.digests[until - self.since],
            marks="".join(marks),
        )

    def move_to(self, until: int) -> None:
        """The peer's cursor is there now."""
        self.digests = self.digests[until - self.since :]
        self.since = until


def log_beyond(
    tiles: Tiles,
    mosaic: MosaicInfo,
    since: int,
    until: int,
    seen: Collection[str],
    reached: dict[str, Reached],
) -> LogBeyond:
    """A mosaic's log beyond `since`, and the last line of each of its tiles.

    seen     first MARK_DIGITS digits of the content hashes of parents that the peer has early views of
    reached  by mosaic, a line before which nothing is read again; moved on to `since`
    """
    after = reached.get(mosaic.mosaic_id, BEGINNING)
    after = after if after[0] <= since else BEGINNING
    found = LogBeyond(mosaic=mosaic, since=since, digests=[after[1]])
    lines: list[TileRecord] = []
    for line, digest in lines_until(tiles, mosaic.mosaic_id, until, after):
        if line.seq == since:
            found.digests = [digest]
        elif line.seq > since:
            found.digests.append(digest)
            lines.append(line)
    reached[mosaic.mosaic_id] = (since, found.digests[0])
    last = last_lines(line for line in lines if line.revision == 0).values()
    found.tiles = sorted((one for one in last if one.tile_id.z == mosaic.base_zoom), key=lambda one: one.seq)
    parents = [one for one in last if one.tile_id.z < mosaic.base_zoom]
    found.views = [one for one in parents if one.content_hash[:MARK_DIGITS] not in seen]
    return found
