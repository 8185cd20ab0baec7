"""A mosaic's log beyond a peer's cursor, which advances as steps are imported."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from flycam.catalog.records import MosaicInfo
from flycam.catalog.tiles import Tiles
from flycam.frame.tile import TileRecord
from flycam.sync.log_digest import DIGEST_PREFIX_DIGITS, EMPTY_DIGEST, iterate_digests
from flycam.sync.manifest import LogRange
from flycam.sync.transfer_order import select_last_lines

_LINES_AT_ONCE = 5000


LogPosition = tuple[int, str]
"""A line of a log and the digest after it; both are immutable."""

LOG_START: LogPosition = (0, EMPTY_DIGEST)


def iterate_log_lines(
    tiles: Tiles, mosaic_id: str, until: int, after: LogPosition = LOG_START
) -> Iterator[tuple[TileRecord, str]]:
    """Yield a mosaic's log lines up to `until`, each with the digest after it."""
    seq, digest = after
    while seq < until:
        some = tiles.log_since(mosaic_id, seq, min(_LINES_AT_ONCE, until - seq))
        for line, digest_after in zip(some, iterate_digests(digest, some), strict=True):
            digest = digest_after
            yield line, digest
        seq = some[-1].seq


@dataclass(kw_only=True, slots=True)
class LogTail:
    """One mosaic's log beyond the peer's cursor.

    digests     after each line from `since` (itself first)
    is_queried  whether the peer was asked which of the tiles it has from elsewhere
    """

    mosaic: MosaicInfo
    since: int
    digests: list[str]
    tiles: list[TileRecord] = field(default_factory=list)
    views: list[TileRecord] = field(default_factory=list)
    is_queried: bool = False

    @property
    def until(self) -> int:
        return self.since + len(self.digests) - 1

    def build_range(self, until: int) -> LogRange:
        """Return the log range from the cursor to `until`; the cursor stays."""
        marks = (digest[:DIGEST_PREFIX_DIGITS] for digest in self.digests[1 : until - self.since + 1])
        return LogRange(
            since=self.since,
            until=until,
            since_digest=self.digests[0],
            until_digest=self.digests[until - self.since],
            marks="".join(marks),
        )

    def move_to(self, until: int) -> None:
        """Move the peer's cursor to `until`."""
        self.digests = self.digests[until - self.since :]
        self.since = until


def read_log_tail(
    tiles: Tiles,
    mosaic: MosaicInfo,
    since: int,
    until: int,
    seen: Collection[str],
    known_positions: dict[str, LogPosition],
) -> LogTail:
    """Read a mosaic's log beyond `since`, with the last line of each of its tiles.

    seen             first DIGEST_PREFIX_DIGITS digits of the content hashes of overview tiles whose
                     previews the peer has
    known_positions  by mosaic, a line before which nothing is read again; advanced to `since`
    """
    after = known_positions.get(mosaic.mosaic_id, LOG_START)
    after = after if after[0] <= since else LOG_START
    found = LogTail(mosaic=mosaic, since=since, digests=[after[1]])
    lines: list[TileRecord] = []
    for line, digest in iterate_log_lines(tiles, mosaic.mosaic_id, until, after):
        if line.seq == since:
            found.digests = [digest]
        elif line.seq > since:
            found.digests.append(digest)
            lines.append(line)
    known_positions[mosaic.mosaic_id] = (since, found.digests[0])
    last = select_last_lines(line for line in lines if line.revision == 0).values()
    found.tiles = sorted((one for one in last if one.tile_id.z == mosaic.base_zoom), key=lambda one: one.seq)
    parents = [one for one in last if one.tile_id.z < mosaic.base_zoom]
    found.views = [one for one in parents if one.content_hash[:DIGEST_PREFIX_DIGITS] not in seen]
    return found
