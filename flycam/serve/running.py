"""Serve until told to stop."""

from __future__ import annotations

import socket

import uvicorn

from flycam.errors import OptionUnusable
from flycam.serve.app import create_app
from flycam.serve.services import Services


class _Server(uvicorn.Server):
    """Ends open event streams before it waits for its connections to close."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.stopping.clear()  # the same house may be served again
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._services.stopping.set()
        await super().shutdown(sockets)


def server_for(services: Services, host: str, port: int) -> uvicorn.Server:
    """A uvicorn server of one process. Tiles are too many for an access log: `/metrics` counts them."""
    config = uvicorn.Config(
        create_app(services),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=list(services.trusted_proxies),
        timeout_graceful_shutdown=3,
    )
    return _Server(config, services)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OptionUnusable where none can, or another does already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # Python repeats the address behind it
        raise OptionUnusable(
            f"{host}, port {port}: cannot be listened on ({why}); is a map served there already? "
            "choose another --port or --host",
            vi=f"{host}, cổng {port}: không mở được; có thể đang có bản đồ khác chạy ở đó; hãy chọn --port "
            "hoặc --host khác",
        ) from error


def serve(services: Services, listener: socket.socket) -> None:
    """Serve on a socket that listens until SIGINT or SIGTERM."""
    host, port = listener.getsockname()[:2]
    server_for(services, host, port).run(sockets=[listener])
