"""Opening the workspace of a command: the data folder, its catalogue and its store."""

from __future__ import annotations

import getpass
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.console import Answer, print_notice
from flycam.errors import NotFound, OptionUnusable, StorageFailed
from flycam.frame.classification import Classification
from flycam.frame.text_normalization import is_encodable, to_visible
from flycam.frame.timestamp import set_local_zone
from flycam.messages import Message, _
from flycam.settings import Settings, read_settings
from flycam.store.disk_space import release_reserve
from flycam.store.fsync import make_folder
from flycam.store.regular_file import make_not_regular

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.pipeline.workspace import Workspace
    from flycam.store.base import ObjectStore

CommandOutput = tuple[Answer, Sequence[Message | str]]


class _File(click.Path):
    """A file or folder whose name can be written down.

    No pipe, socket or device: reading it might never end.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Any = super().convert(value, param, ctx)
        shown = to_visible(str(path))
        if not is_encodable(str(path)):
            raise OptionUnusable(_("{shown}: the name is not UTF-8; rename it and run again", shown=shown))
        if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
            raise make_not_regular(Path(path))
        return path


FILE_PATH = _File(path_type=Path)
FILE_OR_URL = _File(path_type=str)
"""A file, or a URL, which is no file's name."""
SECRET_FILE = click.Path(path_type=Path)
"""A file with a secret; also a pipe, by which shells hand one over."""
CLASSIFICATION_CHOICE = click.Choice([level.value for level in Classification])
_AUDIT_KEY = "audit.key"
DATUM_CHOICE = click.Choice(["EGM96", "EGM2008", "ELLIPSOID", "LOCAL"])


def get_operator_name(settings: Settings) -> str:
    """Return the name that a command's edits carry.

    It is the operator's, else that of the user signed in here.
    """
    return settings.operator or getpass.getuser()


@contextmanager
def open_workspace(
    data_dir: str | None,
    *,
    creates: bool = False,
    is_store_new: bool = False,
    waits: bool = False,
    serves_originals: bool = False,
) -> Iterator[tuple[Workspace, Settings]]:
    """Open the workspace at --data DIR, else FLYCAM_DATA.

    creates       make a missing data folder: for commands that bring something in, or check a new machine
    is_store_new  the store begins anew, on purpose, whatever the catalogue names in it
    waits         wait for the store's disk, for as long as it takes
    serves_originals  a file is written for others: the umask of this shell decides who may read it, and
                  nobody else may write it

    Raises NotFound, StorageFailed.
    """
    from flycam.catalog.catalog import open_catalog
    from flycam.catalog.database import parse_database_path
    from flycam.pipeline.power import Power
    from flycam.pipeline.workspace import Workspace

    settings = read_settings(os.environ, data_dir)
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
        closing(_open_store(settings, catalog, is_new=is_store_new, waits=waits)) as store,
        Power(settings.power).monitor() as power,
    ):
        workspace = Workspace(
            store=store,
            catalog=catalog,
            box=settings.node_name,
            cache_dir=settings.data_dir / "cache",
            operator=settings.operator,
            power=power,
            cap_sender=settings.cap_sender,
        )
        yield workspace, settings


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
    is asked when it is opened.
    """
    from flycam.catalog.database import parse_database_path

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


def _open_store(settings: Settings, catalog: Catalog, *, is_new: bool, waits: bool) -> ObjectStore:
    from flycam.pipeline.store_mount import require_store_mounted, wait_for_store_mount
    from flycam.store.store_url import open_store

    if waits:
        wait_for_store_mount(settings.store_url, catalog, print_notice)
    else:
        require_store_mounted(settings.store_url, catalog, is_new=is_new)
    return open_store(settings.store_url)
