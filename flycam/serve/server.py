"""uvicorn server that counts its connections and renews its certificate."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import resource
import socket
import ssl
from collections.abc import Coroutine, Iterable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import uvicorn

from flycam.errors import FlycamError, OptionUnusable
from flycam.http.guards import SAME_USER_STATE_KEY, Services, is_same_user
from flycam.messages import _
from flycam.operations.certificate_authority import (
    ServerCertificate,
    issue_server_certificate,
    list_host_names,
)
from flycam.serve.app import create_app
from flycam.serve.limits import ENDED_CONNECTIONS, HEAD_TIMEOUT_S, BoundedHttpProtocol, Connections

# its library is loaded only where the map is served over HTTPS
_TICKS_PER_CERTIFICATE_CHECK = 600
"""Ticks of uvicorn, a tenth of a second each, between checks of the certificate."""
_MAX_OPEN_FILES = 16384
_SPARE_FILES = 256
"""Handles left for files and the database when connections have taken all others."""
_ACCEPT_RETRY_S = 0.1
_log = logging.getLogger(__name__)


class MapServer(uvicorn.Server):
    """Server that ends event streams on shutdown and renews its certificate.

    It ends open event streams before it waits for its connections to close, and presents a new certificate
    where the machine has another address, or the old one nears its end, without a restart. It accepts
    connections itself: uvicorn's listener reports one only when its TLS handshake is done, and those that
    never begin it would be counted nowhere.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        services: Services,
        connections: Connections,
        encryption: TlsCertificate | None,
    ) -> None:
        super().__init__(config)
        self._services = services
        self._connections = connections
        self._encryption = encryption
        self._tasks: set[asyncio.Task[None]] = set()

    def renew(self) -> None:
        """Load the certificate anew if it was renewed, for connections from now on."""
        encryption, context = self._encryption, self.config.ssl
        if encryption is None or context is None:
            return
        try:
            if encryption.is_renewed():
                context.load_cert_chain(encryption.certificate, encryption.key)
        except (FlycamError, OSError) as error:
            _log.warning("the certificate stays as it is: %s", error)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_CERTIFICATE_CHECK == _TICKS_PER_CERTIFICATE_CHECK - 1:
            await asyncio.to_thread(self.renew)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # the same services may be served again
        self._services.stopping.clear()
        await super().startup([])
        for listener in sockets or []:
            listener.setblocking(False)
            listener.listen(self.config.backlog)
            self._keep(self._accept(listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.stopping.set()
        for task in self._tasks:
            task.cancel()
        await super().shutdown(sockets)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, peer = await loop.sock_accept(listener)
            except OSError:
                # no handle is left, or the client is gone
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            if self._connections.admit(peer[0]):
                self._keep(self._begin(line, peer[0]))
            else:
                ENDED_CONNECTIONS["too many connections"] += 1
                line.close()

    async def _begin(self, line: socket.socket, address: str) -> None:
        """Speak HTTP on an admitted connection, after its TLS handshake if it has one."""
        release = ExitStack()
        release.callback(self._connections.release, address)
        connection_state = {SAME_USER_STATE_KEY: cache(partial(is_same_user, line))}
        protocol = BoundedHttpProtocol(
            release.close,
            config=self.config,
            server_state=self.server_state,
            app_state={**self.lifespan.state, **connection_state},
        )
        tls = self.config.ssl
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, line, ssl=tls, ssl_handshake_timeout=HEAD_TIMEOUT_S if tls else None
            )
        except OSError:
            # also of a failed or late TLS handshake
            ENDED_CONNECTIONS["handshake"] += 1
            release.close()
            line.close()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def create_server(
    services: Services, host: str, port: int, encryption: TlsCertificate | None = None
) -> MapServer:
    """Return a uvicorn server of one process; encryption: over HTTPS.

    Tiles are too many for an access log: `/metrics` counts them.
    """
    config = uvicorn.Config(
        create_app(services),
        host=host,
        port=port,
        # nothing uses WebSockets, and their handshakes are bounded nowhere
        ws="none",
        access_log=False,
        # a warning for each malformed request fills the log: `/metrics` counts them
        log_level="error",
        server_header=False,
        # on every answer, tiles too: another site's page may read what CORS opens to it, and embed nothing
        headers=[("Cross-Origin-Resource-Policy", "same-origin")],
        proxy_headers=True,
        forwarded_allow_ips=list(services.trusted_proxies),
        timeout_graceful_shutdown=3,
        ssl_certfile=None if encryption is None else encryption.certificate,
        ssl_keyfile=None if encryption is None else encryption.key,
    )
    connections = Connections(_raise_open_files() - _SPARE_FILES, services.trusted_proxies)
    return MapServer(config, services, connections, encryption)


def _raise_open_files() -> int:
    """Raise this process's limit of open files, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def open_listener(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OptionUnusable where it cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python repeats the address behind it
        why = str(error.strerror).partition(" (")[0]
        raise OptionUnusable(
            _(
                "{host}, port {port}: cannot be listened on ({why}); is a map served there "
                "already? choose another --port or --host",
                host=host,
                port=port,
                why=why,
            )
        ) from error


def serve_until_stopped(
    services: Services, listener: socket.socket, encryption: TlsCertificate | None = None
) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM."""
    host, port = listener.getsockname()[:2]
    create_server(services, host, port, encryption).run(sockets=[listener])


# -- Server certificate: from the node's own authority, or from files ------------------------------


class TlsCertificate(Protocol):
    """Certificate that the server presents.

    certificate  file of the certificate and its chain (PEM)
    key          file of its key; None: in the same file
    fingerprint  SHA-256 by which clients may trust the server, 64 hex digits
    authority    certificate (PEM) of the node's own authority; None: it has none
    names        host names and addresses that the node's own authority certifies
    """

    certificate: Path
    key: Path | None
    fingerprint: str
    authority: bytes | None
    names: frozenset[str]

    def is_renewed(self) -> bool:
        """Return True if the files changed since the last call.

        Raises StorageFailed, OptionUnusable.
        """
        ...


class OwnTlsCertificate:
    """Certificate of the node's own authority, for all names of this machine."""

    key: Path | None = None
    authority: bytes | None

    def __init__(self, folder: Path, host: str, names: Iterable[str] = ()) -> None:
        """Load or issue the certificate. Raises DiskFull, StorageFailed."""
        self._folder, self._host, self._names = folder, host, frozenset(names)
        loaded = self._load_certificate()
        self.certificate, self.fingerprint, self.authority = loaded.path, loaded.fingerprint, loaded.authority
        self.names = loaded.names

    def _load_certificate(self) -> ServerCertificate:
        return issue_server_certificate(self._folder, list_host_names(self._host, self._names))

    def is_renewed(self) -> bool:
        loaded = self._load_certificate()
        self.names = loaded.names
        return loaded.is_new


class ExternalTlsCertificate:
    """Certificate files from elsewhere, which others renew."""

    authority: bytes | None = None
    names: frozenset[str] = frozenset()

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Load the files.

        Raises OptionUnusable unless they are a certificate and its key.
        """
        self.certificate, self.key = certificate, key
        self._stamp = self._file_stamps()
        self.fingerprint = self._compute_fingerprint()

    def is_renewed(self) -> bool:
        before, self._stamp = self._stamp, self._file_stamps()
        if before == self._stamp:
            return False
        self.fingerprint = self._compute_fingerprint()
        return True

    def _file_stamps(self) -> tuple[int, ...]:
        try:
            return tuple(one.stat().st_mtime_ns for one in (self.certificate, self.key) if one is not None)
        except OSError as error:
            raise self._build_unusable_error(str(error.strerror)) from error

    def _compute_fingerprint(self) -> str:
        try:
            # an empty password, as OpenSSL would prompt for one at a terminal that nobody sits at
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password=b"")
            text = self.certificate.read_text(encoding="ascii")
            begin = text.index("-----BEGIN CERTIFICATE-----")
            end = text.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end])).hexdigest()
        except (OSError, ValueError) as error:
            raise self._build_unusable_error(str(getattr(error, "reason", None) or error)) from error

    def _build_unusable_error(self, why: str) -> OptionUnusable:
        key = "" if self.key is None else f", {self.key}"
        return OptionUnusable(
            _(
                "{certificate}{key}: are not a certificate and its key without a password, "
                "both PEM ({why}); give both files, or none and --tls: the node then has an "
                "authority of its own",
                certificate=self.certificate,
                key=key,
                why=why,
            )
        )
