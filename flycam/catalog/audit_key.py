"""Signing key of a node's audit log, and verification of the log.

The key is Ed25519 (RFC 8032), made before the first line that it signs. A file, readable by its owner only,
keeps it beside the last line that the log had when it was made: what was written before the key is pinned by
that digest, everything after it must be signed. Format: docs/formats/audit.md.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.errors import StorageFailed
from flycam.messages import _
from flycam.model.records import AuditRecord
from flycam.storage.files import make_folder, make_write_error, replace_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_SEED_BYTES = 32
_HEX = set("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing key as read from its file.

    public  the public key, 64 hex digits, by which others check signatures
    after   number of the log's last line when the key was made (0: none), and that line's digest
    """

    seed: bytes
    public: str
    after: int
    digest: str

    def sign(self, seq: int, digest: str) -> str:
        """Return the signature of a line (its number and digest), 128 hex digits."""
        return self.sign_message(encode_signed_line(seq, digest))

    def sign_message(self, message: bytes) -> str:
        """Return the signature of a message, 128 hex digits.

        It begins with words that say what it is: no signature then stands for anything else.
        """
        return _load_key(self.seed).sign(message).hex()


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedHead:
    """The audit log's last line as printed elsewhere: it vouches for all before it.

    key, signature  Ed25519 (RFC 8032), hex; "": not signed
    """

    seq: int
    digest: str
    key: str
    signature: str

    @property
    def head_argument(self) -> str:
        """Value for `flycam audit verify --head`."""
        return f"{self.seq}:{self.digest}"


class AuditKey:
    """The key kept in a file. Thread-safe.

    known  public keys of other nodes that write into the same log
    """

    def __init__(self, path: Path, known: Collection[str] = ()) -> None:
        self._path = path
        self.known = frozenset(known)
        self._lock = threading.Lock()
        self._signer: Signer | None = None

    def read(self) -> Signer | None:
        """Return the key; None while nothing was signed here.

        Raises StorageFailed (the file is no key).
        """
        with self._lock:
            self._signer = self._signer or self._kept()
            return self._signer

    def get_or_create(self, last_seq: int, last_digest: str) -> Signer:
        """Return the key, made now if missing for a log with this last line (0: none).

        The caller has the log alone, so no two processes make one for it. Raises DiskFull, StorageFailed.
        """
        signer = self.read()
        if signer is not None:
            return signer
        signer = _signer(secrets.token_bytes(_SEED_BYTES), last_seq, last_digest)
        with self._lock:
            self._keep(signer)
            self._signer = signer
        return signer

    def _kept(self) -> Signer | None:
        try:
            values = json.loads(self._path.read_bytes())
            return _signer(_bytes(values["seed"], _SEED_BYTES), int(values["after"]), str(values["digest"]))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed(
                _(
                    "{path}: the key of the audit log cannot be read ({strerror}); give this "
                    "account the right to read it",
                    path=self._path,
                    strerror=error.strerror,
                )
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StorageFailed(
                _(
                    "{path}: is not a key of an audit log as written; move it away and keep "
                    "it: a new key is made, and lines signed before are checked by 'flycam "
                    "audit verify --key'",
                    path=self._path,
                )
            ) from error

    def _keep(self, signer: Signer) -> None:
        """Write the key to disk, whole, before anything is signed by it."""
        values = {"seed": signer.seed.hex(), "after": signer.after, "digest": signer.digest}
        try:
            make_folder(self._path.parent)
            with replace_file(self._path, 0o600) as out:
                out.write(json.dumps(values).encode())
        except OSError as error:
            raise make_write_error(
                error,
                _(
                    "{path}: the key of the audit log cannot be written ({strerror}), and "
                    "nothing goes unsigned; free some space or make the folder writable, and "
                    "run again",
                    path=self._path,
                    strerror=error.strerror,
                ),
            ) from error


def encode_signed_line(seq: int, digest: str) -> bytes:
    """Return the bytes that are signed for a line.

    They begin with words that no other signed data begin with.
    """
    return f"flycam audit log\n{seq}:{digest}\n".encode()


def is_signed(public: str, seq: int, digest: str, signature: str) -> bool:
    """Return True if a signature is of this line by this key."""
    return is_message_signed(public, encode_signed_line(seq, digest), signature)


def is_message_signed(public: str, message: bytes, signature: str) -> bool:
    """Return True if a signature is of this message by this key.

    False also for what is no key or no signature, whatever it is: SQLite keeps bytes where text belongs.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  as below

    try:
        _load_public_key(public).verify(bytes.fromhex(signature), message)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_public_key(text: str) -> bool:
    """Return True if a text has the form of a printed public key."""
    return len(text) == 2 * _SEED_BYTES and not set(text) - _HEX


@lru_cache(maxsize=64)
def _load_public_key(public: str) -> Ed25519PublicKey:
    """Return the public key of 64 hex digits. Raises ValueError for an invalid one."""
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  as below

    return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))


@lru_cache(maxsize=4)
def _load_key(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  a command may write no line

    return ed25519.Ed25519PrivateKey.from_private_bytes(seed)


def _signer(seed: bytes, after: int, digest: str) -> Signer:
    public = _load_key(seed).public_key().public_bytes_raw().hex()
    return Signer(seed=seed, public=public, after=after, digest=digest)


def _bytes(text: str, count: int) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != count:
        raise ValueError(f"{len(data)} bytes, not {count}")
    return data


# -- Verification of the audit log: its chain of digests, and the signatures of its lines ----------
#
# The chain finds what was changed, removed or inserted; but with write access to the database it can be made
# anew from any line on. The signatures find that, because the key is not in the database.


Signatures = Mapping[int, Sequence[tuple[str, str]]]
"""(public key, signature) by number of the line."""


class AuditFault(StrEnum):
    """Fault of a line.

    CHANGED   it is missing, or it or one before it was changed, or the log was cut off before it
    FORGED    one of its signatures is of other data: it was rewritten after it was signed
    UNSIGNED  it is not signed, although lines were signed then
    UNKNOWN   it is signed by a key that this node does not know
    """

    CHANGED = "changed"
    FORGED = "forged"
    UNSIGNED = "unsigned"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedLines:
    """Lines that a key signed: how many, the first and the last.

    is_known  it is this node's key, or one that was given
    """

    key: str
    first: int
    last: int
    lines: int
    is_known: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCheck:
    """Result of a verification.

    first_bad  number of the first line with a fault; None: the log is intact
    """

    first_bad: int | None
    fault: AuditFault | None
    signed_by: tuple[SignedLines, ...]


@dataclass
class AuditVerifier:
    """Verifier that goes through a log, line by line.

    signer  this node's key; None if it has none: then a log may begin unsigned, and a key is unknown only if
            some were given
    keys    public keys that are known besides
    """

    digest_of: Callable[[str, AuditRecord], str]
    signer: Signer | None
    keys: Collection[str]
    before: str
    _signed: dict[str, list[int]] = field(default_factory=dict)
    _last: int = 0
    _has_signed: bool = False

    def run(
        self, chunks: Iterable[tuple[Sequence[AuditRecord], Signatures]], beyond: Callable[[int], bool]
    ) -> AuditCheck:
        """Verify all lines in order.

        beyond  returns whether there are signatures of lines after the last
        """
        for lines, signatures in chunks:
            for line in lines:
                fault = self._fault(line, signatures.get(line.seq, ()))
                if fault is not None:
                    return self._make_check(self._last + 1, fault)
                self._last, self.before = line.seq, line.digest
        if beyond(self._last) or (self.signer is not None and self.signer.after > self._last):
            return self._make_check(self._last + 1, AuditFault.CHANGED)
        return self._make_check(None, None)

    def _fault(self, line: AuditRecord, signatures: Sequence[tuple[str, str]]) -> AuditFault | None:
        try:
            digest = self.digest_of(self.before, line)
        except TypeError:  # bytes where SQLite kept text
            return AuditFault.CHANGED
        if line.seq != self._last + 1 or line.digest != digest:
            return AuditFault.CHANGED
        signer = self.signer
        if signer is not None and line.seq == signer.after and line.digest != signer.digest:
            return AuditFault.CHANGED
        if not all(is_signed(key, line.seq, line.digest, signature) for key, signature in signatures):
            return AuditFault.FORGED
        for key, __ in signatures:
            self._signed.setdefault(key, []).append(line.seq)
        self._has_signed |= bool(signatures)
        if not self._must_be_signed(line.seq):
            return None
        if not signatures:
            return AuditFault.UNSIGNED
        known = self._known
        return AuditFault.UNKNOWN if known and not any(key in known for key, __ in signatures) else None

    def _must_be_signed(self, seq: int) -> bool:
        return seq > self.signer.after if self.signer is not None else self._has_signed

    @property
    def _known(self) -> set[str]:
        return {*self.keys, *([self.signer.public] if self.signer is not None else [])}

    def _make_check(self, first_bad: int | None, fault: AuditFault | None) -> AuditCheck:
        known = self._known
        signed_by = tuple(
            SignedLines(
                key=key, first=numbers[0], last=numbers[-1], lines=len(numbers), is_known=key in known
            )
            for key, numbers in self._signed.items()
        )
        return AuditCheck(first_bad=first_bad, fault=fault, signed_by=signed_by)
