"""Opening of this node: its data folder, catalogue and store, for a command or a program."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.database import parse_database_path
from flycam.config import Settings
from flycam.errors import NotFound, StorageFailed, StoreUnavailable
from flycam.messages import _
from flycam.model.time import set_local_zone
from flycam.power import Power
from flycam.storage import keys
from flycam.storage.files import make_folder, release_reserve
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import has_marker, open_store, parse_store_folder, write_marker
from flycam.workspace import NoticeListener, Workspace

# -- Guard against a store in a folder whose disk is not mounted -----------------------------------
#
# It runs before anything is written below the mount point.
#
# After a power cut a service may start before an external disk is there. The folder is then absent, or holds
# no data of this node (an empty mount point; a new disk's lost+found; files once written below it), and new
# objects would be written to the system's disk, hidden once the other is mounted.


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
                    "{root}: what the catalogue names is not in this store: mount its disk, and it "
                    "resumes; if that disk is lost, put back what there is of it: flycam verify --from "
                    "DIR (a backup, a card, or an empty folder to start over)",
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


# -- Opening of this node: its data folder, catalogue and store, for a command or a program --------


_AUDIT_KEY = "audit.key"


@contextmanager
def open_node(
    settings: Settings,
    *,
    creates: bool = False,
    is_store_new: bool = False,
    serves_originals: bool = False,
    notify_wait: NoticeListener | None = None,
) -> Iterator[Workspace]:
    """Open the workspace of these settings; times are shown in their zone from now on.

    creates       make a missing data folder: for commands that bring something in, or check a new machine
    is_store_new  the store begins anew, on purpose, whatever the catalogue names in it
    serves_originals  a file is written for others: the umask of this shell decides who may read it, and
                  nobody else may write it
    notify_wait   wait for the store's disk, for as long as it takes, and say so here; None: do not wait

    Raises NotFound, StorageFailed.
    """
    set_local_zone(settings.time_zone)
    if not creates:
        _require_existing(settings)
    create_private_folder(settings.data_dir)
    key = settings.data_dir / _AUDIT_KEY
    file = parse_database_path(settings.database_url)
    with (
        _restrict_umask(
            0o022 if serves_originals else 0o077 & ~stat.S_IMODE(settings.data_dir.stat().st_mode)
        ),
        release_reserve(settings.data_dir if file is None else file.parent),
        open_catalog(settings.database_url, key, settings.audit_keys) as catalog,
        closing(_open_store(settings, catalog, is_store_new, notify_wait)) as store,
        Power(settings.power).monitor() as power,
    ):
        yield Workspace(
            store=store,
            catalog=catalog,
            box=settings.node_name,
            cache_dir=settings.data_dir / "cache",
            operator=settings.operator,
            power=power,
            cap_sender=settings.cap_sender,
        )


def create_private_folder(folder: Path) -> None:
    """Make a data folder that only its owner can enter. Raises StorageFailed.

    An empty one that was made beforehand is restricted too, unless it is closed to others already: then its
    maker has decided who else may enter. One that is in use stays as it is; `flycam doctor` reports where it
    is open.
    """
    try:
        is_new = not folder.exists()
        make_folder(folder)
        if is_new or (stat.S_IMODE(folder.stat().st_mode) & 0o007 and not any(folder.iterdir())):
            # another user's folder, or a file system without modes
            with suppress(PermissionError):
                folder.chmod(0o700)
    except OSError as error:
        raise StorageFailed(
            _(
                "{folder}: cannot be made or used as data folder ({strerror}); choose another with --data",
                folder=folder,
                strerror=error.strerror,
            )
        ) from error


@contextmanager
def _restrict_umask(mask: int) -> Iterator[None]:
    """Add to the umask inside the block, for child processes too.

    Files made in it lack these permissions.
    """
    before = os.umask(0o077)
    os.umask(before | mask)
    try:
        yield
    finally:
        os.umask(before)


def _require_existing(settings: Settings) -> None:
    """Raise NotFound if there is no catalogue.

    A read-only command would find nothing wrong with a data folder that it has just made. A database server
    is checked when it is opened.
    """
    file = parse_database_path(settings.database_url)
    if file is not None and not file.exists():
        raise NotFound(
            _(
                "{file}: there is no catalogue here; name the data folder that is meant with "
                "--data or FLYCAM_DATA, put one back that was lost with 'flycam restore', or "
                "begin one with 'flycam serve'",
                file=file,
            )
        )


def _open_store(
    settings: Settings, catalog: Catalog, is_new: bool, notify_wait: NoticeListener | None
) -> ObjectStore:
    if notify_wait is not None:
        wait_for_store_mount(settings.store_url, catalog, notify_wait)
    else:
        require_store_mounted(settings.store_url, catalog, is_new=is_new)
    return open_store(settings.store_url)
