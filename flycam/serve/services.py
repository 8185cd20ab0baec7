"""What the server works with, put together by the caller; nothing here reads the environment."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from flycam.catalog.catalog import Catalog
from flycam.pipeline.access.openid_client import OpenIdClient
from flycam.pipeline.workspace import Workspace
from flycam.serve.http.request_log import RequestLog
from flycam.store.base import ObjectStore

STATIC_DIR = Path(__file__).parent / "static"
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
SESSION_KEY_BYTES = 32


def create_session_key() -> bytes:
    """A fresh secret."""
    return secrets.token_bytes(SESSION_KEY_BYTES)


class SignInService(Protocol):
    """The province's own, as `pipeline.access.openid` speaks to it, whose libraries are loaded only where
    there is one."""

    client: OpenIdClient

    def begin(self, state: str, nonce: str, verifier: str) -> str: ...

    def fetch_claims(self, code: str, nonce: str, verifier: str) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """The open house and how it is shown.

    workspace         store, catalogue, cache folder
    bound_to_loopback whether only this machine can reach the server: the condition for open access while no
                      account exists
    session_key       secret that signs cookies and one-time links; `sessions.read_key` keeps one in a file
    static_dir        the built map
    view_cache_bytes  memory for encoded tiles
    follow_s          how often the tile log is looked at for news
    uploads_dir       where uploads lie while they arrive; None: this server takes none
    upload_work       command that looks at an upload or lays it, before the upload's id and "look" or "lay";
                      empty: what arrives is kept and not worked on
    packs_dir         where meeting packs that the page asked for lie; None: this server makes none
    pack_command      command that makes one, before its options and flights; empty: this server makes none
    drill_command     command that makes a drill in a house without flights; empty: this server makes none
    sync_dir          where steps of boxes lie while they arrive; None: this server takes none
    openid            the province's own sign-in service; None: tokens and links alone let people in
    trusted_proxies   addresses and networks whose word is taken for who asks, and whether over https
    origins           sites whose pages may read from here with a token of their own
    authority         certificate (PEM) of this box's own authority, by which it is served; None: it has none
    request_log       where a line of each request goes; None: nowhere
    stopping          set once the server is asked to stop: streams that would never end then end
    """

    workspace: Workspace
    bound_to_loopback: bool = True
    session_key: bytes = field(default_factory=create_session_key, repr=False)
    static_dir: Path = STATIC_DIR
    view_cache_bytes: int = 128 << 20
    follow_s: float = 1.0
    uploads_dir: Path | None = None
    upload_work: tuple[str, ...] = ()
    packs_dir: Path | None = None
    pack_command: tuple[str, ...] = ()
    drill_command: tuple[str, ...] = ()
    sync_dir: Path | None = None
    openid: SignInService | None = None
    trusted_proxies: tuple[str, ...] = LOOPBACK_ADDRESSES
    origins: frozenset[str] = frozenset()
    authority: bytes | None = None
    request_log: RequestLog | None = None
    stopping: threading.Event = field(default_factory=threading.Event, repr=False)


def get_services(request: Request) -> Services:
    """What the server behind a request works with."""
    services: Services = request.app.state.services
    return services


ServicesHere = Annotated[Services, Depends(get_services)]


def get_catalog(request: Request) -> Catalog:
    """The catalogue behind a request."""
    return get_services(request).workspace.catalog


def get_store(request: Request) -> ObjectStore:
    """The object store behind a request."""
    return get_services(request).workspace.store


CatalogHere = Annotated[Catalog, Depends(get_catalog)]
StoreHere = Annotated[ObjectStore, Depends(get_store)]
