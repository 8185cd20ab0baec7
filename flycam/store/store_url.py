"""Opening of an object store by its address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from flycam.errors import InputUnusable
from flycam.messages import _
from flycam.store.base import ObjectStore
from flycam.store.local import LocalStore
from flycam.store.memory import MemoryStore

_HOW = _("write file:///FOLDER or s3://bucket/prefix?endpoint=http://HOST:PORT")


def open_store(url: str) -> ObjectStore:
    """Open the store at an address.

    `file:///FOLDER`, `s3://bucket/prefix?endpoint=…`, or `memory:` (tests). Raises InputUnusable for an
    invalid address; a store that is down is found at its first use.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        # a bracket that opens no IPv6 address
        raise _no_address(url) from error
    if parts.scheme == "file":
        return LocalStore(_folder(url, parts))
    if parts.scheme == "s3":
        from flycam.store.s3 import S3Store  # noqa: PLC0415  its client only where it is asked for

        return S3Store.from_url(url)
    if parts.scheme == "memory":
        return MemoryStore()
    raise _no_address(url)


def parse_store_folder(url: str) -> Path | None:
    """Return the folder of a store's address, None if it is not local.

    Raises InputUnusable as `open_store`.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _no_address(url) from error
    return _folder(url, parts) if parts.scheme == "file" else None


def _folder(url: str, parts: SplitResult) -> Path:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise InputUnusable(_("{url}: the folder of a store is absolute; {how}", url=url, how=_HOW))
    return Path(unquote(parts.path))


def _no_address(url: str) -> InputUnusable:
    return InputUnusable(_("{url}: no address of a store; {how}", url=url, how=_HOW))
