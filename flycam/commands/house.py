"""Opening the house: the data folder, its catalogue and its store."""

from __future__ import annotations

import getpass
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.console import Answer, say_aside
from flycam.errors import NotFound, OptionUnusable, StorageTrouble
from flycam.frame.classification import Classification
from flycam.frame.moment import use_zone
from flycam.frame.spelling import is_text, to_visible
from flycam.messages import _
from flycam.settings import Settings, read_settings
from flycam.store.regular import not_regular
from flycam.store.room import reserve_released
from flycam.store.syncing import make_folder

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.pipeline.workspace import Workspace
    from flycam.store.base import ObjectStore

Result = tuple[Answer, Sequence[str]]


class _File(click.Path):
    """A file or folder whose name can be written down; no pipe, socket or device: it may never end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Any = super().convert(value, param, ctx)
        shown = to_visible(str(path))
        if not is_text(str(path)):
            raise OptionUnusable(_("{shown}: the name is not UTF-8; rename it and run again", shown=shown))
        if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
            raise not_regular(Path(path))
        return path


FILE = _File(path_type=Path)
ADDRESS = _File(path_type=str)
"""A file, or an address, which is no file's name."""
SECRET = click.Path(path_type=Path)
"""A file with a secret: what a shell hands over by a pipe, too."""
LEVEL = click.Choice([level.value for level in Classification])
_AUDIT_KEY = "audit.key"
DATUM = click.Choice(["EGM96", "EGM2008", "ELLIPSOID", "LOCAL"])


def who_asks(settings: Settings) -> str:
    """Whose name stands beside what a command changes: the operator's, else whoever is signed in here."""
    return settings.operator or getpass.getuser()


@contextmanager
def opened(
    data_dir: str | None,
    *,
    begins: bool = False,
    is_store_new: bool = False,
    waits: bool = False,
    hands_out: bool = False,
) -> Iterator[tuple[Workspace, Settings]]:
    """The house at --data DIR, else FLYCAM_DATA. Raises NotFound, StorageTrouble.

    begins        a house that is not there is made: by what brings something in, or asks of a new machine
    is_store_new  its store begins anew, on purpose, whatever the catalogue names in it
    waits         for the store's disk, for as long as it takes
    hands_out     a file is written for others: who may read it is for the umask of this shell to say, and
                  nobody else may write it
    """
    from flycam.catalog.catalog import open_catalog
    from flycam.catalog.database import file_of
    from flycam.pipeline.power import Power
    from flycam.pipeline.workspace import Workspace

    settings = read_settings(os.environ, data_dir)
    use_zone(settings.time_zone)
    if not begins:
        _require_begun(settings)
    make_private_folder(settings.data_dir)
    key = settings.data_dir / _AUDIT_KEY
    file = file_of(settings.database_url)
    with (
        _closed_to(0o022 if hands_out else 0o077 & ~stat.S_IMODE(settings.data_dir.stat().st_mode)),
        reserve_released(settings.data_dir if file is None else file.parent),
        open_catalog(settings.database_url, key, settings.audit_keys) as catalog,
        closing(_store_of(settings, catalog, is_new=is_store_new, waits=waits)) as store,
        Power(settings.power).obeyed() as power,
    ):
        workspace = Workspace(
            store=store,
            catalog=catalog,
            box=settings.box,
            cache_dir=settings.data_dir / "cache",
            operator=settings.operator,
            power=power,
            cap_sender=settings.cap_sender,
        )
        yield workspace, settings


def make_private_folder(folder: Path) -> None:
    """Make a data folder that nobody but its owner enters. Raises StorageTrouble.

    So is an empty one that was made beforehand, unless it is closed to others already: then whoever made it
    has said who else may enter. One that is in use stays as it is; `flycam doctor` tells where it is open.
    """
    try:
        is_new = not folder.exists()
        make_folder(folder)
        if is_new or (stat.S_IMODE(folder.stat().st_mode) & 0o007 and not any(folder.iterdir())):
            with suppress(PermissionError):  # another's folder; a disk that keeps no modes
                folder.chmod(0o700)
    except OSError as error:
        raise StorageTrouble(
            _(
                "{folder}: cannot be made or used as data folder ({strerror}); choose another with --data",
                folder=folder,
                strerror=error.strerror,
            )
        ) from error


@contextmanager
def _closed_to(mask: int) -> Iterator[None]:
    """Add to the umask, of child processes too: what is made while this is open lacks these permissions."""
    before = os.umask(0o077)
    os.umask(before | mask)
    try:
        yield
    finally:
        os.umask(before)


def _require_begun(settings: Settings) -> None:
    """Raise NotFound where there is no catalogue: what only reads would find nothing wrong with a house that
    it has just made. A server's database is asked when it is opened."""
    from flycam.catalog.database import file_of

    file = file_of(settings.database_url)
    if file is not None and not file.exists():
        raise NotFound(
            _(
                "{file}: there is no catalogue here; name the data folder that is meant with "
                "--data or FLYCAM_DATA, put one back that was lost with 'flycam restore', or "
                "begin one with 'flycam serve'",
                file=file,
            )
        )


def _store_of(settings: Settings, catalog: Catalog, *, is_new: bool, waits: bool) -> ObjectStore:
    from flycam.pipeline.store_disk import require_its_disk, wait_for_its_disk
    from flycam.store.opening import open_store

    if waits:
        wait_for_its_disk(settings.store_url, catalog, say_aside)
    else:
        require_its_disk(settings.store_url, catalog, is_new=is_new)
    return open_store(settings.store_url)
