"""Opening of this node: its data folder, catalogue and store, for a command or a program."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.database import parse_database_path
from flycam.config import Settings
from flycam.errors import NotFound, StorageFailed
from flycam.messages import _
from flycam.model.time import set_local_zone
from flycam.operations.store_mount import require_store_mounted, wait_for_store_mount
from flycam.power import Power
from flycam.storage.files import make_folder, release_reserve
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import open_store
from flycam.workspace import NoticeListener, Workspace

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
