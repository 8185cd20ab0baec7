"""A real server on loopback for as long as a test needs it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flycam.http.guards import Services
from flycam.operations.certificate_authority import TlsCertificate
from flycam.serve.app import MapServer, create_server
from tests.waiting import ENOUGH_S, until


@contextmanager
def running(services: Services, port: int = 0, encryption: TlsCertificate | None = None) -> Iterator[str]:
    """The server's address, "http://127.0.0.1:PORT"; a port given is that of a server started again."""
    with running_server(services, port, encryption) as (url, _):
        yield url


@contextmanager
def running_server(
    services: Services, port: int = 0, encryption: TlsCertificate | None = None
) -> Iterator[tuple[str, MapServer]]:
    """The same, and the server itself."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    port = listener.getsockname()[1]
    server = create_server(services, "127.0.0.1", port, encryption)
    server.config.timeout_graceful_shutdown = 1  # a page that still listens to /events is not waited for
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until(lambda: server.started, every_s=0.01)
    try:
        yield f"{'https' if encryption else 'http'}://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        thread.join(ENOUGH_S)
