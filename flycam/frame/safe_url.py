"""An address as everybody may read it: cameras, servers and radios are given with passwords and keys in them.

What a sentence, a screen or a record says of an address tells one source from another and opens none.
"""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+:/+)([^/?#]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_LEFT_OUT = "…"
_KEY_IS_LAST = ("rtmp", "rtmps")


def strip_url_credentials(url: str) -> str:
    """The address without user, password, query and fragment; what is no address (a file's path) as it is.

    Parts of its path that hold "=" are left out, since cheap cameras take their password there, and the last
    part of an RTMP path, which is the stream's key. With "@" behind the host, where a password that was not
    escaped has its second half, nothing but the scheme is told.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return url
    scheme, authority, path, rest = found.groups()
    if "@" in path + rest:
        return scheme + _LEFT_OUT
    parts = [_LEFT_OUT if "=" in part else part for part in path.split("/")]
    if scheme.partition(":")[0].lower() in _KEY_IS_LAST and len(parts) > 1 and parts[-1]:
        parts[-1] = _LEFT_OUT
    return scheme + authority.rpartition("@")[2] + "/".join(parts)
