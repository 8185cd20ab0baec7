"""Signing key of a node's audit log: Ed25519 (RFC 8032), made before the first line that it signs.

A file, readable by its owner only, keeps it beside the last line that the log had when it was made: what was
written before the key is pinned by that digest, everything after it must be signed. Format:
docs/formats/audit.md.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.errors import DiskFull, StorageFailed
from flycam.messages import _
from flycam.store.disk_space import DISK_FULL_ERRNOS
from flycam.store.fsync import make_folder, sync_path

if TYPE_CHECKING:
    from Crypto.Signature.eddsa import EdDSASigScheme

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
        from Crypto.Signature import eddsa  # noqa: PLC0415  a command that writes no line need not load it

        key = eddsa.import_private_key(self.seed)
        return eddsa.new(key, "rfc8032").sign(encode_signed_line(seq, digest)).hex()


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
            said = json.loads(self._path.read_bytes())
            return _signer(_bytes(said["seed"], _SEED_BYTES), int(said["after"]), str(said["digest"]))
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
                    "{path}: is no key of an audit log as it was written; move it away and "
                    "keep it: a new key is made, and lines signed before are checked by "
                    "'flycam audit verify --key'",
                    path=self._path,
                )
            ) from error

    def _keep(self, signer: Signer) -> None:
        """Write the key to disk, whole, before anything is signed by it."""
        said = {"seed": signer.seed.hex(), "after": signer.after, "digest": signer.digest}
        part = self._path.with_name(f"{self._path.name}.part")
        try:
            make_folder(self._path.parent)
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump(said, out)
                out.flush()
                os.fsync(out.fileno())
            part.replace(self._path)
            sync_path(self._path.parent)
        except OSError as error:
            kind = DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed
            raise kind(
                _(
                    "{path}: the key of the audit log cannot be written ({strerror}), and "
                    "nothing goes unsigned; free some space or make the folder writable, and "
                    "run again",
                    path=self._path,
                    strerror=error.strerror,
                )
            ) from error


def encode_signed_line(seq: int, digest: str) -> bytes:
    """Return the bytes that are signed for a line.

    They begin with words that no other signed data begin with.
    """
    return f"flycam audit log\n{seq}:{digest}\n".encode()


def is_signed(public: str, seq: int, digest: str, signature: str) -> bool:
    """Return True if a signature is of this line by this key.

    False also for what is no key or no signature.
    """
    try:
        _verifier(public).verify(encode_signed_line(seq, digest), bytes.fromhex(signature))
    except ValueError:
        return False
    return True


def is_public_key(text: str) -> bool:
    """Return True if a text has the form of a printed public key."""
    return len(text) == 2 * _SEED_BYTES and not set(text) - _HEX


@lru_cache(maxsize=64)
def _verifier(public: str) -> EdDSASigScheme:
    """Return the verifier of a public key. Raises ValueError for an invalid one."""
    from Crypto.Signature import eddsa  # noqa: PLC0415  as above

    return eddsa.new(eddsa.import_public_key(bytes.fromhex(public)), "rfc8032")


def _signer(seed: bytes, after: int, digest: str) -> Signer:
    from Crypto.Signature import eddsa  # noqa: PLC0415  as above

    public = eddsa.import_private_key(seed).public_key().export_key(format="raw")
    return Signer(seed=seed, public=bytes(public).hex(), after=after, digest=digest)


def _bytes(text: str, count: int) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != count:
        raise ValueError(f"{len(data)} bytes, not {count}")
    return data
