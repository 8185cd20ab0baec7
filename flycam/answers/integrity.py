"""Answers about integrity: `verify`, `backup`, `restore`, `audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.frame.text_normalization import format_decimal_comma

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.audit_verification import SignedLines
    from flycam.pipeline.operations.audit_check import AuditVerification
    from flycam.pipeline.operations.backup import BackupReport
    from flycam.pipeline.operations.backup_folder import BackupManifest
    from flycam.pipeline.operations.restore import RestoreReport
    from flycam.pipeline.operations.verify import Damage, VerifyReport

_KINDS = {
    "photo": ("photo", "ảnh gốc"),
    "dem": ("terrain file", "tệp mô hình độ cao"),
    "layer": ("layer's file", "tệp lớp dữ liệu"),
    "mark_photo": ("photo of a mark", "ảnh của dấu thực địa"),
    "recording": ("recorded video", "video đã ghi"),
    "file": ("original file", "tệp gốc"),
    "terrain": ("recorded terrain", "mô hình độ cao đã lưu"),
    "given": ("what another box gave", "dữ liệu máy khác gửi"),
    "tile": ("tile", "mảnh bản đồ"),
    "clip": ("commune clip", "bản cắt theo xã"),
    "report": ("quality report", "báo cáo chất lượng"),
    "pack": ("meeting pack", "gói họp"),
}
_STATES = {"lost": ("lost", "bị mất"), "damaged": ("damaged", "bị hỏng")}
_MAX_LINES = 50


def format_verify(report: VerifyReport, language: str = "en") -> Output:
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
    vi = language == "vi"
    size = _megabytes(report.size, vi=vi)
    if vi:
        first = f"đã đọc lại {report.objects} mục, {size}; {mended} mục đã dựng hoặc lấy lại, {standing} chưa"
        left = f"còn {report.left} phần chưa đọc lần này"
        let_go = f"{report.purged} bản gốc đã xoá theo thời hạn lưu giữ (không phải bị mất)"
    else:
        first = f"{report.objects} objects, {size} read back; mended: {mended}, not mended: {standing}"
        left = f"{report.left} parts were not read this time"
        let_go = f"{report.purged} originals were let go under the retention term, and are not lost"
    # remaining damage comes first: a long list of mended tiles must not hide it
    ordered = [*report.unrepaired, *(one for one in report.damages if one.advice is None)]
    told = [*([left] if report.left else []), *([let_go] if report.purged else [])]
    lines = [first, *told, *(_line(one, vi=vi) for one in ordered[:_MAX_LINES])]
    if len(ordered) > _MAX_LINES:
        more = len(ordered) - _MAX_LINES
        lines.append(f"  … và {more} mục nữa (--json)" if vi else f"  … and {more} more (--json lists them)")
    return answer, lines


def _megabytes(size: int, *, vi: bool) -> str:
    said = f"{size / 1e6:.1f} MB"
    return format_decimal_comma(said) if vi else said


def _damage(one: Damage) -> dict[str, Any]:
    return {
        "key": one.item.key,
        "kind": one.item.kind.value,
        "name": one.item.name,
        "flight": one.flight,
        "flight_id": one.item.flight_id,
        "state": one.state.value,
        "mended": one.advice is None,
        "cure": None if one.advice is None else one.advice.en,
        "cure_vi": None if one.advice is None else one.advice.vi,
    }


def _line(one: Damage, *, vi: bool) -> str:
    kind, state = _KINDS[one.item.kind][vi], _STATES[one.state][vi]
    name = " ".join(filter(None, (one.item.name, f"({one.flight})" if one.flight else ""))) or one.item.key
    if one.advice is None:
        return f"  ok {kind} {name} {state}: {'đã khôi phục' if vi else 'made whole again'}"
    return f"  !! {kind} {name} {state}: {one.advice.vi if vi else one.advice.en}"


def format_backup(report: BackupReport, language: str = "en") -> Output:
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
    vi = language == "vi"
    whole, new = _megabytes(manifest.size, vi=vi), _megabytes(report.new_bytes, vi=vi)
    if vi:
        first = f"{report.folder}: {manifest.objects} mục, {whole}, trong đó mới {report.new} mục, {new}"
    else:
        first = f"{report.folder}: {manifest.objects} objects, {whole}; {report.new} of them new, {new}"
    if report.removed:
        gone = (
            f"đã xoá ở đó {report.removed} mục không còn dùng" if vi else f"{report.removed} old ones removed"
        )
        first += f"; {gone}"
    outside = "nằm ngoài kho nên không được sao lưu" if vi else "is used where it lies, and is not saved"
    return answer, [first, *(f"  ! {path}: {outside}" for path in manifest.outside)]


def format_backup_check(
    folder: Path, manifest: BackupManifest, bad: Sequence[str], language: str = "en"
) -> Output:
    """Return the content of a backup.

    Keys: path, objects, bytes, flights, missing[], outside[], audit_head, damaged[].
    """
    answer = {**_manifest(folder, manifest), "damaged": list(bad)}
    if bad:
        return answer, _format_damaged_names(bad)
    if language == "vi":
        line = f"{folder}: bản sao lưu còn nguyên vẹn, {manifest.flights} chuyến bay, {manifest.objects} mục"
    else:
        line = f"{folder}: the backup is whole, {manifest.flights} flights, {manifest.objects} objects"
    return answer, [line]


def format_restore(report: RestoreReport, language: str = "en") -> Output:
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
    objects = manifest.objects - len(report.unreadable)
    if language == "vi":
        line = f"đã khôi phục {manifest.flights} chuyến bay, {objects} mục từ {report.folder}"
    else:
        line = f"{manifest.flights} flights, {objects} objects restored from {report.folder}"
    return answer, [line, *_format_damaged_names(report.unreadable)]


def _format_damaged_names(names: Sequence[str]) -> list[str]:
    return [*(f"  !! {name}" for name in names[:_MAX_LINES]), *(["  …"] if len(names) > _MAX_LINES else [])]


def format_audit(proof: AuditVerification, language: str = "en") -> Output:
    """Return the result of an audit log's verification.

    Keys: whole, lines, head, signature, key, signed_by[], first_bad, fault.
    """
    vi = language == "vi"
    if proof.first_bad is not None:
        return _audit(proof), []
    lines = 0 if proof.head is None else proof.head.seq
    noted = "-" if proof.head is None else proof.head.head_argument
    if vi:
        said = [f"nhật ký {lines} dòng, không dòng nào bị sửa; dòng cuối (ghi lại nơi khác): {noted}"]
    else:
        said = [f"{lines} lines, none was changed; the last (note it elsewhere): {noted}"]
    return _audit(proof), [*said, *(_signed(one, proof.key, vi=vi) for one in proof.check.signed_by)]


def _signed(one: SignedLines, own: str, *, vi: bool) -> str:
    lines = f"{one.first}-{one.last}"
    if vi:
        whose = "khoá của máy này" if one.key == own else "khoá đã cho" if one.is_known else "khoá trước đây"
        return f"  dòng {lines} ký bằng {whose}: {one.key}"
    whose = "this box's key" if one.key == own else "a key given" if one.is_known else "an earlier key"
    return f"  lines {lines} signed by {whose}: {one.key}"


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
