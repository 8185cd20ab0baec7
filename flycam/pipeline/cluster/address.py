"""Address of a cluster's scheduler, and the certificate that lets a machine into the cluster.

Anyone who can speak to a scheduler or a worker can run any program as its user: Dask unpickles what arrives.
So TCP, which has no authentication, is for loopback alone; between machines it is TLS, and each end shows a
certificate of the cluster's own authority and demands one (decision 0030).
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from flycam.errors import OptionUnusable
from flycam.frame.loopback import is_loopback, parse_ip
from flycam.messages import _

_ADDRESS = re.compile(r"([a-z]+)://([a-z0-9.-]+|\[[0-9a-f:]+\]):(\d{1,5})")
_EVERYWHERE = (ip_network("0.0.0.0/8"), ip_network("::/128"))
_MAX_PORT = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerAddress:
    """Address of a scheduler, checked by `parse_scheduler_address`.

    host         a name or an address, IPv6 without brackets
    certificate  file (PEM) of key, certificate and authority that each end shows and demands; None: TCP
    """

    host: str
    port: int
    certificate: Path | None = None

    @property
    def protocol(self) -> str:
        return "tcp" if self.certificate is None else "tls"

    def __str__(self) -> str:
        return f"{self.protocol}://{bracket_host(self.host)}:{self.port}"


def bracket_host(host: str) -> str:
    """Format a host for an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_scheduler_address(text: str, certificate: Path | None) -> SchedulerAddress:
    """Parse FLYCAM_CLUSTER, with FLYCAM_CLUSTER_CERTIFICATE for tls://.

    Raises OptionUnusable.
    """
    found = _ADDRESS.fullmatch(text.lower())
    protocol, host, port = found.groups() if found else ("", "", "0")
    host = host.strip("[]")
    is_address = protocol in ("tcp", "tls") and 0 < int(port) <= _MAX_PORT
    if not is_address or _is_everywhere(host):
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER: {text}: give the address by which others reach the "
                "scheduler, such as tls://10.0.0.5:8786, or tcp://127.0.0.1:8786 on one "
                "machine",
                text=text[:80],
            )
        )
    # never resolved: a resolver may know it as another machine
    if host == "localhost":
        host = "127.0.0.1"
    if protocol == "tcp" and not is_loopback(host):
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER: {text}: over tcp whoever reaches that port could run any "
                "program there; write tls:// and name the file of 'flycam worker "
                "--make-certificate FILE' in FLYCAM_CLUSTER_CERTIFICATE on every machine. "
                "tcp is for 127.0.0.1 alone",
                text=text[:80],
            )
        )
    if protocol == "tls" and certificate is None:
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER_CERTIFICATE: {text} needs it: make a file once with 'flycam "
                "worker --make-certificate FILE', copy it to every machine, and name it "
                "there",
                text=text[:80],
            )
        )
    return SchedulerAddress(host=host, port=int(port), certificate=certificate if protocol == "tls" else None)


def _is_everywhere(host: str) -> bool:
    """Return True if a host is a wildcard to listen on, which nobody can reach."""
    try:
        address = parse_ip(host)
    except ValueError:
        # as the system parses what is no name: "0" and "0x0" are 0.0.0.0
        try:
            address = ip_address(socket.inet_aton(host))
        except OSError:
            return False
    return any(address in network for network in _EVERYWHERE)
