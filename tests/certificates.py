"""Certificates as people bring them from elsewhere, and a server that shows one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def self_signed(
    folder: Path, begins: datetime = NOW - DAY, ends: datetime = NOW + DAY, address: str = "127.0.0.1"
) -> tuple[Path, Path, str]:
    """(certificate, key, fingerprint) of a certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    certificate, private = folder / "given.crt", folder / "given.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private, made.fingerprint(hashes.SHA256()).hex()


class _Answers(BaseHTTPRequestHandler):
    """What it was asked, and with which token, goes to the server's list."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        authority = self.server.authority if path == "/authority.crt" else b"{}"  # type: ignore[attr-defined]
        self.send_response(404 if authority is None else 200)
        self.send_header("Content-Length", str(len(authority or b"")))
        self.end_headers()
        self.wfile.write(authority or b"")

    def log_message(self, *_: object) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Handshakes that the client breaks off are what is tested."""


Asked = list[tuple[str, str | None]]


@contextmanager
def showing(
    certificate: Path, key: Path | None = None, authority: bytes | None = None
) -> Iterator[tuple[str, Asked]]:
    """(its address, what it is asked) of a server on loopback with this certificate."""
    server = _Quiet(("127.0.0.1", 0), _Answers)
    server.asked, server.authority = [], authority  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
