"""Services of the server, assembled by the caller.

Nothing here reads the environment.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from flycam.catalog.catalog import Catalog
from flycam.config import OpenIdClient
from flycam.http.metrics import RequestLog
from flycam.storage.keys import ObjectStore
from flycam.workspace import Workspace

STATIC_DIR = Path(__file__).parent.parent / "serve" / "static"
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
SESSION_KEY_BYTES = 32


def create_session_key() -> bytes:
    """Return a new secret."""
    return secrets.token_bytes(SESSION_KEY_BYTES)


class SignInService(Protocol):
    """OpenID service of the province.

    As `access.openid` implements it, whose libraries are loaded only where one is configured.
    """

    client: OpenIdClient

    def begin(self, state: str, nonce: str, verifier: str) -> str: ...

    def fetch_claims(self, code: str, nonce: str, verifier: str) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """Data folder that is served, and options of the server.

    workspace         store, catalogue, cache folder
    bound_to_loopback True if only this machine can reach the server: the condition for open access while no
                      account exists
    session_key       secret that signs cookies and one-time links (see `authenticator.read_key`)
    static_dir        the built map
    view_cache_bytes  memory for encoded tiles
    follow_s          seconds between reads of the tile log
    uploads_dir       where uploads lie while they arrive; None: this server takes none
    upload_work       command that checks or processes an upload, before its id and "look" or "lay";
                      empty: uploads are kept and not processed
    packs_dir         where requested briefing packs are made; None: this server makes none
    pack_command      command that makes one, before its options and flights; empty: this server makes none
    drill_command     command that makes an exercise on a node without flights; empty: this server makes none
    sync_dir          where steps of nodes lie while they arrive; None: this server takes none
    openid            the province's own sign-in service; None: sign-in by tokens and links only
    trusted_proxies   addresses and networks trusted to state the client's address, and whether it uses https
    origins           sites whose pages may read from here with a token of their own
    authority         certificate (PEM) of this node's own authority, by which it is served; None: it has none
    request_log       log of requests; None: none
    stopping          set once the server begins to stop: streams that would never end then end
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
    """Return the services of the server behind a request."""
    services: Services = request.app.state.services
    return services


ServicesHere = Annotated[Services, Depends(get_services)]


def get_catalog(request: Request) -> Catalog:
    """Return the catalogue behind a request."""
    return get_services(request).workspace.catalog


def get_store(request: Request) -> ObjectStore:
    """Return the object store behind a request."""
    return get_services(request).workspace.store


CatalogHere = Annotated[Catalog, Depends(get_catalog)]
StoreHere = Annotated[ObjectStore, Depends(get_store)]
