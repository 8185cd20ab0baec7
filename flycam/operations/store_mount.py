"""Guard against a store in a folder whose disk is not mounted.

It runs before anything is written below the mount point.

After a power cut a service may start before an external disk is there. The folder is then absent, or holds no
data of this node (an empty mount point; a new disk's lost+found; files once written below it), and new
objects would be written to the system's disk, hidden once the other is mounted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from flycam.catalog.catalog import Catalog
from flycam.errors import StoreUnavailable
from flycam.messages import _
from flycam.storage import keys
from flycam.storage.stores import has_marker, parse_store_folder, write_marker
from flycam.workspace import NoticeListener

_POLL_INTERVAL_S = 2.0
_MOSAICS, _LINES = 4, 8
"""Number of newest and of oldest mosaics that are looked for, and of the newest log lines of each."""


def require_store_mounted(store_url: str, catalog: Catalog, *, is_new: bool = False) -> None:
    """Raise StoreUnavailable if a store's folder lacks most of its objects.

    Those are the ones that the catalogue names. Otherwise the folder is marked. If the catalogue names
    nothing yet, the folder passes without a mark: whether its disk is mounted cannot be known. Stores that
    are no folder are not checked.

    is_new  the store begins anew, on purpose: what it had is lost
    """
    root = parse_store_folder(store_url)
    if root is None or has_marker(root):
        return
    with suppress(OSError):  # the store itself reports what is wrong
        if root.exists() and not root.is_dir():
            return
        if is_new:
            write_marker(root)
            return
        is_there = [any((root / key).is_file() for key in some) for some in _named(catalog)]
        if not is_there:
            return
        # some of the files may be below a mount point
        if 2 * sum(is_there) < len(is_there):
            raise StoreUnavailable(
                _(
                    "{root}: what the catalogue names is not in this store: mount its disk, "
                    "and it goes on; if that disk is lost, put back what there is of it: "
                    "flycam verify --from DIR (a backup, a card, or an empty folder to start "
                    "over)",
                    root=root,
                )
            )
        write_marker(root)


def wait_for_store_mount(
    store_url: str, catalog: Catalog, say: NoticeListener, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Return once `require_store_mounted` passes; its error is reported once."""
    is_said = False
    while True:
        try:
            require_store_mounted(store_url, catalog)
        except StoreUnavailable as error:
            if not is_said:
                say(_("waiting: {error}", error=error.message))
                is_said = True
            sleep(_POLL_INTERVAL_S)
        else:
            return


def _named(catalog: Catalog) -> Iterator[list[str]]:
    """Yield lists of keys that only the store has.

    One for each terrain and layer, and for the newest and oldest mosaics. Of a mosaic: its newest tiles and
    photo. None on a new node.
    """
    yield from ([dem.key] for dem in catalog.terrain.dems() if dem.key is not None)
    yield from ([keys.format_original_key(layer.sha256)] for layer in catalog.layers.all())
    begun = {one.flight_id: one.first_ns for one in catalog.flights.flights()}
    every = {one.mosaic_id: one.flight_id for one in catalog.tiles.mosaics()}
    by_age = sorted(every, key=lambda name: (begun.get(every[name], 0), name))
    logged = [(name, end) for name in by_age if (end := catalog.tiles.last_seq(name))]
    for name, end in {*logged[:_MOSAICS], *logged[-_MOSAICS:]}:
        tiles = [line.key for line in catalog.tiles.log_since(name, max(end - _LINES, 0))]
        newest = catalog.frames.find_latest_originals(every[name]).get(every[name])
        sha256 = "" if newest is None else newest.source_sha256
        yield [*tiles, *([keys.format_original_key(sha256)] if sha256 else ())]
