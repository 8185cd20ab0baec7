"""Verification of the audit log: its chain of digests, and the signatures of its lines.

The chain finds what was changed, removed or inserted; but with write access to the database it can be made
anew from any line on. The signatures find that, because the key is not in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from flycam.catalog.audit_key import Signer, is_signed
from flycam.catalog.records import AuditRecord

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

        beyond  tells whether there are signatures of lines after the last
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
        if line.seq != self._last + 1 or line.digest != self.digest_of(self.before, line):
            return AuditFault.CHANGED
        signer = self.signer
        if signer is not None and line.seq == signer.after and line.digest != signer.digest:
            return AuditFault.CHANGED
        if not all(is_signed(key, line.seq, line.digest, signature) for key, signature in signatures):
            return AuditFault.FORGED
        for key, _ in signatures:
            self._signed.setdefault(key, []).append(line.seq)
        self._has_signed |= bool(signatures)
        if not self._must_be_signed(line.seq):
            return None
        if not signatures:
            return AuditFault.UNSIGNED
        known = self._known
        return AuditFault.UNKNOWN if known and not any(key in known for key, _ in signatures) else None

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
