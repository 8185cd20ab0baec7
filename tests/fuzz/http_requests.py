"""Bytes for an HTTP server: requests that are right, and what is left of them once they were spoiled.

Heads, lengths, chunks and trailers are spoiled where it matters, then bytes anywhere. What is made hangs on
the generator of chance alone.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import zstandard

END = b"\r\n"
_MB = bytes(1 << 20)
_JSON = (b"Content-Type", b"application/json")
_BODIES = (
    json.dumps({"files": [{"path": "a.jpg", "size": 9, "modified_ms": 1}]}).encode(),
    json.dumps(
        {"format": 1, "box": "b", "records": [], "terrain": [], "originals": [], "mosaics": []}
    ).encode(),
    b'{"name":"' + b"\xe1\xba\xa3" * 300 + b'"}',
    b"[" * 4000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b"9" * 6000,
    b'{"x":1e999,"y":"\\ud800"}',
    gzip.compress(_MB * 8),
    zstandard.ZstdCompressor(level=19).compress(_MB * 8),
    b"",
    b"x" * 70_000,
)
_FORM = b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nc\r\n--x--\r\n'
_HEADS: tuple[tuple[bytes, bytes], ...] = (
    (b"Expect", b"100-continue"),
    (b"Expect", b"a miracle"),
    (b"Connection", b"close"),
    (b"Connection", b"keep-alive, Upgrade, \x0b"),
    (b"Upgrade", b"websocket"),
    (b"Upgrade", b"h2c"),
    (b"HTTP2-Settings", b"AAMAAABkAAQAAP__"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Content-Encoding", b"gzip"),
    (b"Content-Encoding", b"zstd"),
    (b"Content-Encoding", b"br, br, gzip, identity, \xff"),
    (b"Accept-Encoding", b"gzip;q=0.0001, zstd;q=-1, *;q=nan"),
    (b"Accept", b"text/html;" + b"q=1;" * 800),
    (b"Accept-Language", b"vi-" * 2000),
    (b"Range", b"bytes=0-0,-1,5-2," + b"1-2," * 900),
    (b"If-None-Match", b'W/"' + b'","' * 2000),
    (b"If-Modified-Since", b"Thu, 99 Foo 99999 99:99:99 GMT"),
    (b"Cookie", b"a=b; " * 3000),
    (b"Authorization", b"Bearer " + b"A" * 5000),
    (b"Authorization", b"Basic \xff\xfe"),
    (b"Content-Length", b"5"),
    (b"Content-Length", b"-1"),
    (b"Content-Length", b"+5"),
    (b"Content-Length", b"5, 5"),
    (b"Content-Length", b"9" * 40),
    (b"Content-Length", b"0x5"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Transfer-Encoding", b"xchunked, gzip, chunked"),
    (b"Transfer-Encoding", b"chunked, identity"),
    (b"Upload-Offset", b"0"),
    (b"Upload-Length", b"9" * 30),
    (b"Upload-Metadata", b"filename " + b"QQ==" * 900),
    (b"Tus-Resumable", b"1.0.0"),
    (b"X-Forwarded-For", b"1.2.3.4, " * 900),
    (b"X-Forwarded-Proto", b"https\x00"),
    (b"Host", b"a\tb"),
    (b"Host", b"[::1"),
    (b"Origin", b"null"),
    (b"Te", b"trailers"),
    (b"Trailer", b"Content-Length"),
    (b"Content-Type", b"multipart/form-data; boundary=x"),
    (b"Content-Type", b"application/x-www-form-urlencoded"),
    (b"Content-Type", b"application/json; charset=utf-7"),
    (b"", b"nameless"),
    (b"A" * 70_000, b"b"),
    (b"a b", b"c"),
    (b"Obs", b"folded\r\n\t and folded\r\n again"),
    (b"Nul", b"a\x00b"),
    (b"Bare", b"a\rb\nc"),
)
_TARGETS = (
    *(b"/", b"/healthz", b"/api/flights", b"/api/openapi.json", b"/metrics", b"/api/uploads", b"/files/x/0"),
    *(b"/tiles/m/14/1/1", b"/tiles/m/99999999999999999999/-1/1", b"/assets/none.js", b"/api/sync"),
    *(b"/api/sync/steps/" + b"0" * 64, b"/kml", b"/wmts?request=GetCapabilities", b"/stac", b"/ogc"),
    *(b"*", b"http://127.0.0.1/healthz", b"https://u:p@[::1]:99999/healthz", b"127.0.0.1:80", b"//healthz"),
    *(b"/%00", b"/%ff%fe", b"/../../etc/passwd", b"/" + b"a/" * 8000, b"/?" + b"a=b&" * 8000),
    *(b"/\xc3\xa9", b"/a b", b""),
    *(b"/?lang=" + b"%25" * 6000, b"/api/events?page=nan&page=", b"/api/coordinates?text=" + b"9" * 9000),
)  # fmt: skip
_METHODS = (
    *(
        b"GET",
        b"HEAD",
        b"POST",
        b"PUT",
        b"PATCH",
        b"DELETE",
        b"OPTIONS",
        b"TRACE",
        b"CONNECT",
        b"PRI",
        b"get",
    ),
    *(b"M-SEARCH", b"A" * 5000, b"G\x00T", b""),
)
_VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.10",
    b"HTTP/",
    b"ICY",
    b"",
)
_SIZES = (
    b"-1",
    b"0x5",
    b"5;" + b"a=b;" * 3000,
    b"f" * 17,
    b"7fffffffffffffff",
    b" 5",
    b"5 ",
    b"",
    b"g",
    b"00000000005",
)


@dataclass(frozen=True)
class RawRequest:
    """A request in parts; chunks: sizes as they are said, and bytes; None: the body goes as it is."""

    method: bytes = b"GET"
    target: bytes = b"/healthz"
    version: bytes = b"HTTP/1.1"
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Host", b"127.0.0.1"),)
    body: bytes = b""
    chunks: tuple[tuple[bytes, bytes], ...] | None = None
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    ends: bytes = END

    def to_bytes(self) -> bytes:
        """As it goes over a line."""
        line = b" ".join((self.method, self.target, self.version))
        head = [line, *(name + b": " + value for name, value in self.headers), b"", b""]
        tail = self.body
        if self.chunks is not None:
            tail = b"".join(size + self.ends + data + self.ends for size, data in self.chunks)
            trailers = [name + b": " + value for name, value in self.trailers]
            tail += self.ends.join([b"0", *trailers, b"", b""])
        return self.ends.join(head) + tail


Spoil = Callable[[RawRequest, Random], RawRequest]


def _with_header(one: RawRequest, chance: Random) -> RawRequest:
    place = chance.randint(0, len(one.headers))
    return replace(one, headers=(*one.headers[:place], chance.choice(_HEADS), *one.headers[place:]))


def _with_many_headers(one: RawRequest, chance: Random) -> RawRequest:
    name = b"X" * chance.choice([1, 40])
    return replace(one, headers=(*one.headers, *((name, b"y"),) * chance.choice([50, 400, 6000])))


def _with_a_long_value(one: RawRequest, chance: Random) -> RawRequest:
    letter = bytes([chance.choice([0x41, 0x20, 0x2C, 0xFF])])
    return replace(
        one, headers=(*one.headers, (b"X-Long", letter * chance.choice([4_000, 60_000, 2_000_000])))
    )


def _in_chunks(one: RawRequest, chance: Random) -> RawRequest:
    size = chance.choice([1, 7, 4096])
    pieces = [one.body[at : at + size] for at in range(0, min(len(one.body), 400 * size), size)]
    chunks = [(b"%x" % len(piece), piece) for piece in pieces]
    if chance.random() < 0.4:
        chunks.insert(
            chance.randint(0, len(chunks)), (chance.choice(_SIZES), b"x" * chance.choice([0, 5, 9]))
        )
    trailers = tuple(chance.choices(_HEADS, k=chance.choice([0, 0, 1, 3])))
    if chance.random() < 0.1:
        trailers = ((b"X", b"y"),) * 20_000
    headers = tuple(one_ for one_ in one.headers if one_[0] != b"Content-Length")
    headers = (*headers, (b"Transfer-Encoding", b"chunked"))
    return replace(one, chunks=tuple(chunks), trailers=trailers, headers=headers)


_SPOILS: Sequence[Spoil] = (
    _with_header,
    _with_header,
    _with_header,
    _with_many_headers,
    _with_a_long_value,
    _in_chunks,
    _in_chunks,
    lambda one, chance: replace(one, version=chance.choice(_VERSIONS)),
    lambda one, chance: replace(one, method=chance.choice(_METHODS)),
    lambda one, chance: replace(one, target=chance.choice(_TARGETS)),
    lambda one, chance: replace(one, headers=one.headers[:0]),
    lambda one, chance: replace(one, body=one.body[: chance.randint(0, len(one.body))]),
    lambda one, chance: replace(one, ends=chance.choice([b"\n", b"\r", b"\r\r\n", b"\n\n"])),
)


def make_request(chance: Random) -> RawRequest:
    """A request that is right."""
    headers: list[tuple[bytes, bytes]] = [(b"Host", b"127.0.0.1")]
    target = chance.choice(_TARGETS[:16])
    if chance.random() < 0.4:
        return RawRequest(target=target, headers=tuple(headers))
    body = chance.choice((*_BODIES, _FORM))
    kind = (b"Content-Type", b"multipart/form-data; boundary=x") if body is _FORM else _JSON
    headers += [kind, (b"Content-Length", str(len(body)).encode())]
    method = chance.choice([b"POST", b"PUT", b"PATCH", b"DELETE"])
    return RawRequest(method=method, target=target, headers=tuple(headers), body=body)


def make_bytes(chance: Random) -> bytes:
    """One or several requests, one behind the other, spoiled or not."""
    requests = []
    for _ in range(chance.choice([1, 1, 1, 2, 8, 60])):
        one = make_request(chance)
        for _ in range(chance.choice([0, 1, 1, 2, 4])):
            one = chance.choice(_SPOILS)(one, chance)
        requests.append(one.to_bytes())
    data = bytearray(b"".join(requests))
    for _ in range(chance.choice([0, 0, 1, 8])):
        place = chance.randrange(max(len(data), 1))
        spoiled = chance.choice(
            [b"", b"\x00", b"\r\n", b"\n", bytes([chance.randrange(256)]), chance.randbytes(40)]
        )
        data[place : place + chance.choice([0, 1, 1, 300])] = spoiled
    return bytes(data)
