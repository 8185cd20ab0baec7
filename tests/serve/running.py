"""A real server on loopback for as long as a test needs it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flycam.serve.running import server_for
from flycam.serve.services import Services


@contextmanager
def running(services: Services, port: int = 0) -> Iterator[str]:
    """The server's address, "http://127.0.0.1:PORT"; a port given is that of a server started again."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    port = listener.getsockname()[1]
    server = server_for(services, "127.0.0.1", port)
    server.config.timeout_graceful_shutdown = 1  # a page that still listens to /events is not waited for
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
