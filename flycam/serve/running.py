"""Serve until told to stop."""

from __future__ import annotations

import uvicorn

from flycam.serve.app import create_app
from flycam.serve.services import Services


def server_for(services: Services, host: str, port: int) -> uvicorn.Server:
    """A uvicorn server of one process. Tiles are too many for an access log: `/metrics` counts them."""
    config = uvicorn.Config(
        create_app(services),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def serve(services: Services, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    server_for(services, host, port).run()
