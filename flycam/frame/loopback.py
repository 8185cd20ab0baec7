"""Which hosts are this machine and no other."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def is_loopback(host: str) -> bool:
    """Return whether a host, IPv6 without brackets, is this machine alone: 127.0.0.0/8, ::1 or "localhost".

    Any other name is not, whatever it resolves to now.
    """
    try:
        return parse_ip(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_ip(text: str) -> IPv4Address | IPv6Address:
    """Parse an address, IPv6 without brackets. Raises ValueError.

    One of IPv4 that is spelled in IPv6 (::ffff:127.0.0.1) is that of IPv4, about which Pythons differ.
    """
    ip = ip_address(text)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip
