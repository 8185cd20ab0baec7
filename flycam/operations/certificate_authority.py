"""Certificate of the server, a node's own authority, and a separate one for a cluster.

It permits HTTPS where no public authority can be reached.

Two files in a folder of their own, readable by their owner only, each written atomically: the authority (key
and certificate) is made once; the server's certificate is made anew when its names no longer match this
machine, or its end comes near. Decision 0032.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import ssl
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flycam.errors import OptionUnusable, StorageFailed
from flycam.messages import _
from flycam.model.text import is_printable
from flycam.storage.files import make_folder, make_write_error, replace_file, sync_path

AUTHORITY, SERVER, PUBLIC = "authority.pem", "server.pem", "authority.crt"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Start of validity of all certificates: the time that a clock which was never set shows, on either machine.
"""
_NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5
_WRITTEN = datetime(2026, 11, 1, tzinfo=UTC)
"""Time of writing of this program; a clock before it is wrong."""
_LASTS, _RENEWED = timedelta(days=825), timedelta(days=275)
_MEMBER = frozenset({"flycam-cluster"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerCertificate:
    """A server's certificate, and what others need to trust it.

    path         file with key, certificate and the authority's certificate (PEM)
    authority    the authority's certificate (PEM), for those who are to trust it
    fingerprint  SHA-256 of that certificate (DER), 64 hex digits
    names        host names and addresses that the server's certificate is for
    is_new       the server's certificate was made by this call
    """

    path: Path
    authority: bytes
    fingerprint: str
    names: frozenset[str]
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        private = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return private + self.certificate.public_bytes(Encoding.PEM)


def issue_server_certificate(
    folder: Path, names: Collection[str], now: datetime | None = None
) -> ServerCertificate:
    """Return a server's certificate, issued by the folder's own authority.

    It is for these names and addresses. What is missing is made, and is durable before this returns. Raises
    DiskFull, StorageFailed (the authority's file is damaged).
    """
    now = now or datetime.now(UTC)
    _make(folder)
    authority = _authority(folder)
    wanted = frozenset(filter(None, map(_spelled, names)))
    path = folder / SERVER
    pair = _read(path)
    made = pair is None or not _is_good(pair.certificate, authority, wanted, now)
    if pair is None or made:
        # without a set clock no end can be computed
        end = now + _LASTS if now >= _WRITTEN else _NO_END
        pair = _issued(authority, wanted, end, [ExtendedKeyUsageOID.SERVER_AUTH])
        # key and certificate in one file, so that no power cut parts them (decision 0032)
        _write(path, pair.pem() + authority.certificate.public_bytes(Encoding.PEM))
    return ServerCertificate(
        path=path,
        authority=authority.certificate.public_bytes(Encoding.PEM),
        fingerprint=authority.certificate.fingerprint(hashes.SHA256()).hex(),
        names=_names_of(pair.certificate),
        is_new=made,
    )


def make_member_certificate(folder: Path, file: Path) -> str:
    """Write the file that lets a machine join a cluster; an existing one stays.

    Its authority, in `folder`, is the cluster's own: no certificate of a map server gives access. It has no
    end, like an SSH key: a cluster must not stop in a storm two years later. Another authority shuts out all
    members of this one.

    Returns the authority's fingerprint, SHA-256 in hex. Raises OptionUnusable where the file is something
    else, DiskFull, StorageFailed.
    """
    _make(folder)
    authority = _authority(folder)
    if not file.exists():
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        member = _issued(authority, _MEMBER, _NO_END, purposes)
        _write(file, member.pem() + authority.certificate.public_bytes(Encoding.PEM))
    pair = _read(file)
    if pair is None or not _is_issued_by(pair.certificate, authority):
        raise OptionUnusable(
            _(
                "{file}: is there already and no certificate of this cluster; name a file "
                "that is not there yet",
                file=file,
            )
        )
    return authority.certificate.fingerprint(hashes.SHA256()).hex()


def list_network_addresses() -> frozenset[str]:
    """Return this machine's network addresses, without link-local IPv6."""
    addresses = {
        one.address.partition("%")[0]
        for of_card in psutil.net_if_addrs().values()
        for one in of_card
        if one.family in (socket.AF_INET, socket.AF_INET6)
    }
    return frozenset(one for one in addresses if not ip_address(one).is_link_local or "." in one)


def list_host_names(host: str, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the names by which others reach this machine.

    These are host name, network addresses, `host` and `more`. `host` is the name that it is served under,
    `more` what its owner adds. No resolver is queried.
    """
    name = socket.gethostname().partition(".")[0]
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), name, f"{name}.local", host, *more}
    return frozenset(names - {"0.0.0.0", "::", ""}) | list_network_addresses()  # noqa: S104  left out, not listened on


def _authority(folder: Path) -> _Pair:
    path = folder / AUTHORITY
    if not path.exists():
        # never overwritten: others may trust it already
        _write(path, _new_authority().pem(), alone=True)
    pair = _read(path)
    if pair is None:
        raise StorageFailed(
            _(
                "{path}: is not an authority as written; put it back from a copy, or move it "
                "away: a new one is made, and all who trusted this one must be given its "
                "fingerprint",
                path=path,
            )
        )
    public = folder / PUBLIC
    shown = pair.certificate.public_bytes(Encoding.PEM)
    if not public.is_file() or public.read_bytes() != shown:
        _write(public, shown, mode=0o644)
    return pair


def _new_authority() -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # the mark tells two nodes of one name apart: browsers match an authority by its subject
    mark = hashlib.sha256(_subject_key(key).digest).hexdigest()[:8]
    name = _called(f"flycam {socket.gethostname()[:40]} {mark}")
    builder = _builder(key, name, name, _NO_END)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    # path_length 0: it signs servers, but no other authority
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _issued(
    authority: _Pair, names: frozenset[str], end: datetime, purposes: Iterable[x509.ObjectIdentifier]
) -> _Pair:
    """Issue an authority's certificate for an end entity, which signs nothing itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate.subject
    builder = _builder(key, _called("flycam"), issuer, end)
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    alternatives = [_general(name) for name in sorted(names)]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    builder = builder.add_extension(of_issuer, critical=False)
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name, end: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(_BEGINNING).not_valid_after(end)
    return builder.add_extension(_subject_key(key), critical=False)


def _is_good(certificate: x509.Certificate, authority: _Pair, names: frozenset[str], now: datetime) -> bool:
    """Check that it is issued by this authority for all these names, and lasts.

    One without an end is replaced once the clock is set.
    """
    end = certificate.not_valid_after_utc
    lasts = now + _RENEWED < end <= now + _LASTS if now >= _WRITTEN else end > now
    return lasts and names <= _names_of(certificate) and _is_issued_by(certificate, authority)


def _is_issued_by(certificate: x509.Certificate, authority: _Pair) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # noqa: BLE001  whatever is wrong with it, it is none
        return False
    return True


def _names_of(certificate: x509.Certificate) -> frozenset[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(
        [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    )


def _spelled(name: str) -> str:
    """Return a name or address as certificates spell it; "" if they cannot hold it."""
    with suppress(ValueError):
        return str(ip_address(name))
    return name.lower() if name.isascii() and is_printable(name) and " " not in name else ""


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _subject_key(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _read(path: Path) -> _Pair | None:
    """Read a certificate and its key; None if the file is missing or unusable."""
    try:
        data = path.read_bytes()
        key = load_pem_private_key(data, None)
        certificate = x509.load_pem_x509_certificates(data)[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    except (ValueError, TypeError, IndexError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return _Pair(certificate, key)


def _make(folder: Path) -> None:
    try:
        make_folder(folder)
        folder.chmod(0o700)
    except OSError as error:
        raise _unusable(folder, error) from error


def _write(path: Path, data: bytes, mode: int = 0o600, *, alone: bool = False) -> None:
    """Write a file durably and atomically; alone: an existing file stays."""
    try:
        if alone:
            # if two processes make one at once, both use the first
            part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            with replace_file(part, mode) as out:
                out.write(data)
            with suppress(FileExistsError):
                path.hardlink_to(part)
            part.unlink()
            sync_path(path.parent)
        else:
            with replace_file(path, mode) as out:
                out.write(data)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> StorageFailed:
    return make_write_error(
        error,
        _(
            "{path}: a certificate cannot be kept there ({strerror}); free some space or "
            "give this account the right to that folder",
            path=path,
            strerror=error.strerror,
        ),
    )


# -- Server certificate: from the node's own authority, or from files ------------------------------


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
        loaded = self._load_certificate()
        self.certificate, self.fingerprint, self.authority = loaded.path, loaded.fingerprint, loaded.authority
        self.names = loaded.names

    def _load_certificate(self) -> ServerCertificate:
        return issue_server_certificate(self._folder, list_host_names(self._host, self._names))

    def is_renewed(self) -> bool:
        loaded = self._load_certificate()
        self.names = loaded.names
        return loaded.is_new


class ExternalTlsCertificate:
    """Certificate files from elsewhere, which others renew."""

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
            # an empty password, as OpenSSL would prompt for one at a terminal that nobody sits at
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
                "{certificate}{key}: are not a certificate and its key without a password, "
                "both PEM ({why}); give both files, or none and --tls: the node then has an "
                "authority of its own",
                certificate=self.certificate,
                key=key,
                why=why,
            )
        )
