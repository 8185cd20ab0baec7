"""Certificate of the map's server: from the node's own authority, or from files."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from flycam.errors import OptionUnusable
from flycam.messages import _
from flycam.pipeline.certificate_authority import ServerCertificate, issue_server_certificate, list_host_names


class TlsCertificate(Protocol):
    """Certificate that the server presents.

    certificate  file of the certificate and its chain (PEM)
    key          file of its key; None: in the same file
    fingerprint  SHA-256 by which clients may trust the server, 64 hex digits
    authority    certificate (PEM) of the node's own authority; None: it has none
    names        host names and addresses that the node's own authority certifies
    """

    certificate: Path
    key: Path | None
    fingerprint: str
    authority: bytes | None
    names: frozenset[str]

    def is_renewed(self) -> bool:
        """Return True if the files changed since the last call.

        Raises StorageFailed, OptionUnusable.
        """
        ...


class OwnTlsCertificate:
    """Certificate of the node's own authority, for all names of this machine."""

    key: Path | None = None
    authority: bytes | None

    def __init__(self, folder: Path, host: str, names: Iterable[str] = ()) -> None:
        """Load or issue the certificate. Raises DiskFull, StorageFailed."""
        self._folder, self._host, self._names = folder, host, frozenset(names)
        held = self._load_certificate()
        self.certificate, self.fingerprint, self.authority = held.path, held.fingerprint, held.authority
        self.names = held.names

    def _load_certificate(self) -> ServerCertificate:
        return issue_server_certificate(self._folder, list_host_names(self._host, self._names))

    def is_renewed(self) -> bool:
        held = self._load_certificate()
        self.names = held.names
        return held.is_new


class ExternalTlsCertificate:
    """Certificate files from elsewhere, which somebody else renews."""

    authority: bytes | None = None
    names: frozenset[str] = frozenset()

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Load the files.

        Raises OptionUnusable unless they are a certificate and its key.
        """
        self.certificate, self.key = certificate, key
        self._stamp = self._file_stamps()
        self.fingerprint = self._compute_fingerprint()

    def is_renewed(self) -> bool:
        before, self._stamp = self._stamp, self._file_stamps()
        if before == self._stamp:
            return False
        self.fingerprint = self._compute_fingerprint()
        return True

    def _file_stamps(self) -> tuple[int, ...]:
        try:
            return tuple(one.stat().st_mtime_ns for one in (self.certificate, self.key) if one is not None)
        except OSError as error:
            raise self._build_unusable_error(str(error.strerror)) from error

    def _compute_fingerprint(self) -> str:
        try:
            # an empty password, as OpenSSL would ask for one at a terminal that nobody sits at
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password=b"")
            text = self.certificate.read_text(encoding="ascii")
            begin = text.index("-----BEGIN CERTIFICATE-----")
            end = text.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end])).hexdigest()
        except (OSError, ValueError) as error:
            raise self._build_unusable_error(str(getattr(error, "reason", None) or error)) from error

    def _build_unusable_error(self, why: str) -> OptionUnusable:
        key = "" if self.key is None else f", {self.key}"
        return OptionUnusable(
            _(
                "{certificate}{key}: are no certificate and its key without a password, both "
                "PEM ({why}); give both files, or none and --tls: the box then has an "
                "authority of its own",
                certificate=self.certificate,
                key=key,
                why=why,
            )
        )
