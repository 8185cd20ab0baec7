"""Answers about integrity: `verify`, `backup`, `restore`, `audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.messages import Message, _, join, ngettext, pgettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.audit_verification import SignedLines
    from flycam.pipeline.operations.audit_check import AuditVerification
    from flycam.pipeline.operations.backup import BackupReport
    from flycam.pipeline.operations.backup_folder import BackupManifest
    from flycam.pipeline.operations.restore import RestoreReport
    from flycam.pipeline.operations.verify import Damage, VerifyReport

_KINDS = {
    "photo": pgettext("stored object", "photo"),
    "dem": pgettext("stored object", "terrain file"),
    "layer": pgettext("stored object", "layer's file"),
    "mark_photo": pgettext("stored object", "photo of a mark"),
    "recording": pgettext("stored object", "recorded video"),
    "file": pgettext("stored object", "original file"),
    "terrain": pgettext("stored object", "recorded terrain"),
    "given": pgettext("stored object", "what another box gave"),
    "tile": pgettext("stored object", "tile"),
    "clip": pgettext("stored object", "commune clip"),
    "report": pgettext("stored object", "quality report"),
    "pack": pgettext("stored object", "meeting pack"),
}
_STATES = {"lost": pgettext("stored object", "lost"), "damaged": pgettext("stored object", "damaged")}
_MAX_LINES = 50


def format_verify(report: VerifyReport) -> Output:
    """Return the result of a verification.

    Keys: whole, objects, bytes, parts, left, let_go, mended, standing, damaged[], catalogue[], audit,
    seconds.
    """
    mended, standing = len(report.damages) - len(report.unrepaired), len(report.unrepaired)
    answer = {
        "whole": report.error is None,
        "objects": report.objects,
        "bytes": report.size,
        "parts": report.parts,
        "left": report.left,
        "let_go": report.purged,
        "mended": mended,
        "standing": standing,
        "damaged": [_damage(one) for one in report.damages],
        "catalogue": list(report.catalogue),
        "audit": _audit(report.audit),
        "seconds": round(report.seconds, 1),
    }
    lines = [
        ngettext(
            "{count} object, {size_mb:.1f} MB read back; mended: {mended}, not mended: {standing}",
            "{count} objects, {size_mb:.1f} MB read back; mended: {mended}, not mended: {standing}",
            report.objects,
            size_mb=report.size / 1e6,
            mended=mended,
            standing=standing,
        )
    ]
    if report.left:
        lines.append(
            ngettext(
                "{count} part was not read this time", "{count} parts were not read this time", report.left
            )
        )
    if report.purged:
        lines.append(
            ngettext(
                "{count} original was let go under the retention term, and is not lost",
                "{count} originals were let go under the retention term, and are not lost",
                report.purged,
            )
        )
    # remaining damage comes first: a long list of mended tiles must not hide it
    ordered = [*report.unrepaired, *(one for one in report.damages if one.advice is None)]
    lines += [_line(one) for one in ordered[:_MAX_LINES]]
    if len(ordered) > _MAX_LINES:
        lines.append(_("  … and {count} more (--json lists them)", count=len(ordered) - _MAX_LINES))
    return answer, lines


def _damage(one: Damage) -> dict[str, Any]:
    return {
        "key": one.item.key,
        "kind": one.item.kind.value,
        "name": one.item.name,
        "flight": one.flight,
        "flight_id": one.item.flight_id,
        "state": one.state.value,
        "mended": one.advice is None,
        **({"cure": None, "cure_vi": None} if one.advice is None else one.advice.to_fields("cure")),
    }


def _line(one: Damage) -> Message:
    name = " ".join(filter(None, (one.item.name, f"({one.flight})" if one.flight else ""))) or one.item.key
    outcome = join([_STATES[one.state], one.advice or _("made whole again")], ": ")
    return join(["  ok" if one.advice is None else "  !!", _KINDS[one.item.kind], name, outcome])


def format_backup(report: BackupReport) -> Output:
    """Return the result of a backup.

    Keys: path, objects, bytes, new, new_bytes, removed, missing[], outside[], audit_head, seconds.
    """
    manifest = report.manifest
    answer = {
        **_manifest(report.folder, manifest),
        "new": report.new,
        "new_bytes": report.new_bytes,
        "removed": report.removed,
        "seconds": round(report.seconds, 1),
    }
    first = ngettext(
        "{folder}: {count} object, {size_mb:.1f} MB; {new} of them new, {new_mb:.1f} MB",
        "{folder}: {count} objects, {size_mb:.1f} MB; {new} of them new, {new_mb:.1f} MB",
        manifest.objects,
        folder=report.folder,
        size_mb=manifest.size / 1e6,
        new=report.new,
        new_mb=report.new_bytes / 1e6,
    )
    if report.removed:
        gone = ngettext("{count} old one removed", "{count} old ones removed", report.removed)
        first = join([first, gone], "; ")
    outside = [
        _("  ! {path}: is used where it lies, and is not saved", path=path) for path in manifest.outside
    ]
    return answer, [first, *outside]


def format_backup_check(folder: Path, manifest: BackupManifest, bad: Sequence[str]) -> Output:
    """Return the content of a backup.

    Keys: path, objects, bytes, flights, missing[], outside[], audit_head, damaged[].
    """
    answer = {**_manifest(folder, manifest), "damaged": list(bad)}
    if bad:
        return answer, _format_damaged_names(bad)
    line = _(
        "{folder}: the backup is whole, {flights}, {objects}",
        folder=folder,
        flights=_count_flights(manifest.flights),
        objects=_count_objects(manifest.objects),
    )
    return answer, [line]


def format_restore(report: RestoreReport) -> Output:
    """Return the result of a restore.

    Keys: path, objects, bytes, flights, missing[], outside[], audit_head, written, left_out[], seconds.
    """
    manifest = report.manifest
    answer = {
        **_manifest(report.folder, manifest),
        "written": report.written,
        "left_out": list(report.unreadable),
        "seconds": round(report.seconds, 1),
    }
    line = _(
        "{flights}, {objects} restored from {folder}",
        flights=_count_flights(manifest.flights),
        objects=_count_objects(manifest.objects - len(report.unreadable)),
        folder=report.folder,
    )
    return answer, [line, *_format_damaged_names(report.unreadable)]


def _count_flights(count: int) -> Message:
    return ngettext("{count} flight", "{count} flights", count)


def _count_objects(count: int) -> Message:
    return ngettext("{count} object", "{count} objects", count)


def _format_damaged_names(names: Sequence[str]) -> list[str]:
    return [*(f"  !! {name}" for name in names[:_MAX_LINES]), *(["  …"] if len(names) > _MAX_LINES else [])]


def format_audit(proof: AuditVerification) -> Output:
    """Return the result of an audit log's verification.

    Keys: whole, lines, head, signature, key, signed_by[], first_bad, fault.
    """
    if proof.first_bad is not None:
        return _audit(proof), []
    said = ngettext(
        "{count} line, none was changed; the last (note it elsewhere): {noted}",
        "{count} lines, none was changed; the last (note it elsewhere): {noted}",
        0 if proof.head is None else proof.head.seq,
        noted="-" if proof.head is None else proof.head.head_argument,
    )
    return _audit(proof), [said, *(_signed(one, proof.key) for one in proof.check.signed_by)]


def _signed(one: SignedLines, own: str) -> Message:
    if one.key == own:
        whose = _("this box's key")
    else:
        whose = _("a key given") if one.is_known else _("an earlier key")
    return _(
        "  lines {first}-{last} signed by {whose}: {key}",
        first=one.first,
        last=one.last,
        whose=whose,
        key=one.key,
    )


def _audit(proof: AuditVerification) -> dict[str, Any]:
    head = proof.head
    return {
        "whole": proof.first_bad is None,
        "lines": 0 if head is None else head.seq,
        "head": None if head is None else head.head_argument,
        "signature": None if head is None else head.signature or None,
        "key": proof.key or None,
        "signed_by": [
            {"key": one.key, "first": one.first, "last": one.last, "lines": one.lines, "known": one.is_known}
            for one in proof.check.signed_by
        ],
        "first_bad": proof.first_bad,
        "fault": None if proof.check.fault is None else proof.check.fault.value,
    }


def _manifest(folder: Path, manifest: BackupManifest) -> dict[str, Any]:
    head = manifest.audit_head
    return {
        "path": str(folder),
        "made_ns": manifest.made_ns,
        "box": manifest.box,
        "flights": manifest.flights,
        "objects": manifest.objects,
        "bytes": manifest.size,
        "missing": list(manifest.missing),
        "outside": list(manifest.outside),
        "audit_head": None if head is None else f"{head[0]}:{head[1]}",
    }
