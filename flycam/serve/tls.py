"""The certificate that the map is served with: the box's own authority's, or files from elsewhere."""

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
    """What is shown to whoever connects.

    certificate  file of the certificate and what vouches for it (PEM)
    key          file of its key; None: in the same file
    fingerprint  SHA-256 that others may believe the server by, 64 hex digits
    authority    certificate (PEM) of the box's own authority; None: it has none
    names        what the box's own authority vouches for: host names and addresses
    """

    certificate: Path
    key: Path | None
    fingerprint: str
    authority: bytes | None
    names: frozenset[str]

    def is_renewed(self) -> bool:
        """Whether the files are others than when it was asked last. Raises StorageFailed, OptionUnusable."""
        ...


class OwnTlsCertificate:
    """Of the box's own authority, under all that this machine is called as it is asked."""

    key: Path | None = None
    authority: bytes | None

    def __init__(self, folder: Path, host: str, names: Iterable[str] = ()) -> None:
        """Raises DiskFull, StorageFailed."""
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
    """Files from elsewhere, which somebody else renews."""

    authority: bytes | None = None
    names: frozenset[str] = frozenset()

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Raises OptionUnusable where they are no certificate and the key to it."""
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
            # a key under a password would be asked for at a terminal that nobody sits at
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
