"""Audit log: entries, and verification for `flycam audit verify` and `verify`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flycam.catalog.audit_key import AuditCheck, AuditFault, SignedHead
from flycam.errors import DataDamaged
from flycam.messages import _
from flycam.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditVerification:
    """Result of verifying the audit log.

    head: its last line with signature; check: the result; key: this node's public key ("": none).
    """

    head: SignedHead | None
    check: AuditCheck
    key: str

    @property
    def first_bad(self) -> int | None:
        """Number of the first line with a fault; None: the log is intact."""
        return self.check.first_bad


def record_audit_entry(workspace: Workspace, what: str, subject: str, detail: str = "") -> None:
    """Append an action on this node to the audit log. Raises CatalogUnavailable."""
    who = workspace.operator or workspace.box
    workspace.catalog.audit.append(who, what, subject, detail, at_ns=workspace.clock_ns())


def verify_audit_log(
    workspace: Workspace, known_head: tuple[int, str] | None = None, keys: Collection[str] = ()
) -> AuditVerification:
    """Verify the audit log.

    known_head  number and digest (or its first digits) of a line that was noted elsewhere: that line must be
                unchanged, which also finds a log that was cut off
    keys        public keys (64 hex digits) of other nodes whose lines are known to be theirs
    """
    audit = workspace.catalog.audit
    check = audit.verify_chain(keys)
    if check.first_bad is None and known_head is not None:
        number, digest = known_head
        line = next(iter(audit.lines(since=number - 1, limit=1)), None)
        if line is None or line.seq != number or not line.digest.startswith(digest.lower()):
            check = AuditCheck(first_bad=number, fault=AuditFault.CHANGED, signed_by=check.signed_by)
    return AuditVerification(head=audit.signed_head(), check=check, key=audit.key())


def make_audit_error(proof: AuditVerification) -> DataDamaged | None:
    """Make the error for an audit log that is not intact."""
    number, fault = proof.check.first_bad, proof.check.fault
    if number is None or fault is None:
        return None
    return DataDamaged(_("audit log: line {number} {why}", number=number, why=_DESCRIPTIONS[fault]))


_KEEP = _(
    "so nothing from there on is proven; keep this data folder as it is, and compare with the last backup"
)
_DESCRIPTIONS = {
    AuditFault.CHANGED: _("is missing or was changed, {keep}", keep=_KEEP),
    AuditFault.FORGED: _("is not what was signed: it was rewritten, {keep}", keep=_KEEP),
    AuditFault.UNSIGNED: _("is not signed, although this node signs every line, {keep}", keep=_KEEP),
    AuditFault.UNKNOWN: _(
        "is signed by a key that this node does not know; if another node writes into "
        "this database, name the key that it prints in FLYCAM_AUDIT_KEYS; if none "
        "does, keep this data folder as it is, and compare with the last backup"
    ),
}
