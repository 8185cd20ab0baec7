"""A recorded set of patches as the laws see it, and an independent fold of it.

The patches stand for (frame, pose, DEM) sets: the same number always gives the same patch. Their qualities
have few levels, so that frames tie often, which real qualities hardly do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.geometry.grid import TileId, TileRange
from flycam.model.flight import Layer
from flycam.model.frame import FIRST_EPOCH, MosaicTile, OrthoPatch
from flycam.model.records import MosaicInfo
from flycam.mosaic.orthorectify.rebuild import find_stale_tiles, rebuild_stale_tiles
from flycam.mosaic.tiles.codec import TileLog, compute_content_hash, read_tile
from flycam.mosaic.tiles.merge import Amendments, ReplacedPlacements, make_parent_tile
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.keys import ObjectStore

ZOOM, MIN_ZOOM = 20, 16
ORIGIN_X, ORIGIN_Y = 830_015, 465_007  # odd: the world's nine tiles straddle parents
MOSAIC = MosaicInfo(
    mosaic_id="laws", flight_id="flight", layer=Layer.COLOUR, base_zoom=ZOOM, min_zoom=MIN_ZOOM
)


def frame_id(number: int) -> str:
    return hashlib.sha256(f"frame {number}".encode()).hexdigest()[:32]


def patch(number: int, world_tiles: int = 3, *, version: int = 0) -> OrthoPatch:
    """Patch of one frame: a disc of noise over a rectangle of at most 2×2 of the world's tiles.

    Each `version` of its placement lies elsewhere and looks otherwise.
    """
    rng = np.random.default_rng(number + 1000 * version)
    col, row = rng.integers(0, world_tiles, 2)
    tiles = TileRange(
        z=ZOOM,
        x_start=ORIGIN_X + int(col),
        y_start=ORIGIN_Y + int(row),
        x_stop=ORIGIN_X + min(int(col) + 2, world_tiles),
        y_stop=ORIGIN_Y + min(int(row) + 2, world_tiles),
    )
    height, width = tiles.shape_px
    yy, xx = np.ogrid[:height, :width]
    distance = np.hypot(yy - rng.integers(0, height), xx - rng.integers(0, width))
    quality = np.clip(9 - distance // 24, 0, 9).astype(np.uint16) * np.uint16(7000)
    rgb = np.repeat(np.repeat(rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8), 8, 0), 8, 1)
    rgb[quality == 0] = 0
    return OrthoPatch(
        tiles=tiles,
        rgb=rgb,
        quality=quality,
        frame_id=frame_id(number),
        exterior_version=version,
        dem_id=f"dem-{version}",
    )


def folded(patches: Iterable[OrthoPatch], epochs: dict[TileId, str] | None = None) -> dict[TileId, str]:
    """Content hashes of base tiles and parents, by a fold that shares nothing with the merge.

    Frames are laid down in order of their ids, and each takes the pixels where it is not worse. Tiles
    named in `epochs` are there even if no frame is left on them.
    """
    states = {tile_id: _blank() for tile_id in epochs or {}}
    names = [""]
    for one in sorted(patches, key=lambda p: p.frame_id):
        names.append(one.frame_id)
        for tile_id in one.tiles:
            at = one.tiles.window_px(tile_id)
            if not one.quality[at].any():
                continue
            rgb, quality, owner = states.setdefault(tile_id, _blank())
            better = (one.quality[at] > 0) & (one.quality[at] >= quality)
            rgb[better], quality[better] = one.rgb[at][better], one.quality[at][better]
            owner[better] = len(names) - 1
    tiles = {}
    for tile_id, (rgb, quality, owner) in states.items():
        owners = sorted(set(np.unique(owner)) - {0}, key=lambda i: names[i])
        source = np.zeros((256, 256), np.uint16)
        for index, number in enumerate(owners, start=1):
            source[owner == number] = index
        tiles[tile_id] = MosaicTile(
            tile_id=tile_id,
            rgb=rgb,
            quality=quality,
            source=source,
            frames=tuple(names[i] for i in owners),
            epoch=(epochs or {}).get(tile_id, FIRST_EPOCH),
        )
    return {**_hashes(tiles), **_parent_hashes(tiles)}


def _blank() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.zeros((256, 256, 3), np.uint8),
        np.zeros((256, 256), np.uint16),
        np.zeros((256, 256), np.int64),
    )


def _hashes(tiles: dict[TileId, MosaicTile]) -> dict[TileId, str]:
    return {tile_id: compute_content_hash(tile) for tile_id, tile in tiles.items()}


def _parent_hashes(tiles: dict[TileId, MosaicTile]) -> dict[TileId, str]:
    found: dict[TileId, str] = {}
    for _ in range(ZOOM - MIN_ZOOM):
        parents = {tile_id.parent() for tile_id in tiles}
        tiles = {
            p: make_parent_tile(p, [tile for tile_id, tile in tiles.items() if tile_id.parent() == p])
            for p in parents
        }
        found.update(_hashes(tiles))
    return found


def opened(database: str) -> Catalog:
    """A catalogue with the mosaic of the laws in it."""
    catalog = open_catalog(database)
    catalog.tiles.put_mosaic(MOSAIC)
    return catalog


def amendments(laid: Mapping[int, int], withdrawn: Iterable[int] = ()) -> Amendments:
    """From frame numbers: the version of the placement in force (those before were replaced); withdrawals."""
    gone = set(withdrawn)
    return Amendments(
        withdrawn={frame_id(n): patch(n, version=laid.get(n, 0)).tiles for n in gone},
        replaced={
            frame_id(n): ReplacedPlacements(
                current=(version, f"dem-{version}"),
                superseded={f"{frame_id(n)}-{old}": patch(n, version=old).tiles for old in range(version)},
            )
            for n, version in laid.items()
            if version > 0
        },
    )


def in_force(numbers: Iterable[int], laid: Mapping[int, int], withdrawn: Iterable[int]) -> list[OrthoPatch]:
    """The patches that are left."""
    gone = set(withdrawn)
    return [patch(n, version=laid.get(n, 0)) for n in numbers if n not in gone]


def expected(numbers: Iterable[int], laid: Mapping[int, int], withdrawn: Iterable[int]) -> dict[TileId, str]:
    """Content hashes of the tiles that hold something, with the epochs that the amendments give them."""
    left, amended = in_force(numbers, laid, withdrawn), amendments(laid, withdrawn)
    return folded(left, {t: amended.epoch(t) for t in folded(left) if t.z == ZOOM})


def refolded(
    store: ObjectStore,
    log: TileLog,
    numbers: Iterable[int],
    laid: Mapping[int, int],
    withdrawn: Iterable[int],
) -> int:
    """The recipe: fold anew what is stale, and where frames came to lie that were not there before."""
    left, amended = in_force(numbers, laid, withdrawn), amendments(laid, withdrawn)
    todo = {*find_stale_tiles(log, MOSAIC, amended), *(t for one in left for t in one.tiles)}
    with MosaicWriter(store, log, MOSAIC, origin="box", clock_ns=lambda: 0, amendments=amended) as writer:
        return rebuild_stale_tiles(
            writer, todo, lambda tiles: (p for p in left if not p.tiles.intersection(tiles).is_empty)
        )


def holding(store: ObjectStore, catalog: Catalog) -> dict[TileId, str]:
    """Content hash of every tile that holds something; each parent is checked to be that of its children."""
    heads = {head.tile_id: head for head in catalog.tiles.heads(MOSAIC.mosaic_id, MOSAIC.revision)}
    tiles = {tile_id: read_tile(store, head) for tile_id, head in heads.items()}
    for tile_id, tile in tiles.items():
        if tile_id.z < ZOOM:
            children = [tiles[child] for child in tile_id.children() if child in tiles]
            assert compute_content_hash(make_parent_tile(tile_id, children)) == compute_content_hash(tile)
    return {tile_id: compute_content_hash(tile) for tile_id, tile in tiles.items() if tile.frames}


def stored(store: ObjectStore, catalog: Catalog) -> dict[TileId, str]:
    """Content hash of every head, each checked by reading its object."""
    found = {}
    for head in catalog.tiles.heads(MOSAIC.mosaic_id, MOSAIC.revision):
        assert compute_content_hash(read_tile(store, head)) == head.content_hash
        found[head.tile_id] = head.content_hash
    return found
