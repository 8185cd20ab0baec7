"""Which hosts are this machine and no other."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether a host, IPv6 without brackets, is this machine alone: 127.0.0.0/8, ::1 or "localhost".

    Any other name is not, whatever it resolves to now.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
