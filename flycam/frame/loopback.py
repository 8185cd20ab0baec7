"""Recognition of hosts that are this machine and no other."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def is_loopback(host: str) -> bool:
    """Return True if a host is this machine alone: 127.0.0.0/8, ::1 or "localhost".

    IPv6 without brackets. False for any other name, whatever it resolves to now.
    """
    try:
        return parse_ip(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_ip(text: str) -> IPv4Address | IPv6Address:
    """Parse an address, IPv6 without brackets. Raises ValueError.

    An IPv4-mapped IPv6 address (::ffff:127.0.0.1) becomes its IPv4 address, about which Python versions
    differ.
    """
    ip = ip_address(text)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip
