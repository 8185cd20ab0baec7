"""Answers about a node: checks, accounts, and freed disk space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.answers.tokens import format_ending_lines
from flycam.frame.secret_text import SecretText

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.access_records import Descendants
    from flycam.catalog.records import Account
    from flycam.pipeline.disk_space import DiskVolume, Freed
    from flycam.pipeline.garbage_collection import CollectReport
    from flycam.pipeline.operations.health import HealthCheck


def format_collect(report: CollectReport, *, dry_run: bool, language: str = "en") -> Output:
    """Return tiles, clips, freed_bytes, local_bytes, waiting and busy."""
    answer = {
        "tiles": report.tiles,
        "clips": report.clips,
        "freed_bytes": report.freed_bytes,
        "local_bytes": report.local_bytes,
        "waiting": report.within_grace,
        "busy": list(report.busy),
        "dry_run": dry_run,
    }
    tiles, clips, waiting = report.tiles, report.clips, report.within_grace
    freed, local = f"{report.freed_bytes / 1e6:.1f} MB", f"{report.local_bytes / 1e6:.1f} MB"
    if language == "vi":
        first = (
            f"{'sẽ xoá' if dry_run else 'đã xoá'} {tiles} mảnh bản đồ cũ và {clips} bản cắt cũ, {freed}, "
            f"cùng {local} bản sao cục bộ; {waiting} mục chưa hết hạn giữ"
        )
        busy = "đang được ghi; hãy dọn lại sau"
    else:
        first = (
            f"{tiles} old tile states and {clips} old clips {'would be' if dry_run else 'were'} deleted, "
            f"{freed}, and {local} of local copies; {waiting} are within the grace"
        )
        busy = "is being written at this moment; collect again later"
    return answer, [first, *(f"  ! {name}: {busy}" for name in report.busy)]


def format_freed_space(
    freed: Freed, places: Sequence[DiskVolume], language: str = "en", *, dry_run: bool = False
) -> Output:
    """Return what an eviction freed.

    Keys: tiles, clips, copies, freed_bytes, places[] (name, free_bytes), dry_run.
    """
    answer = {
        "tiles": freed.tiles,
        "clips": freed.clips,
        "copies": freed.copies,
        "freed_bytes": freed.size_bytes,
        "places": [{"name": one.name, "free_bytes": one.free_bytes} for one in places],
        "dry_run": dry_run,
    }
    mb = f"{freed.size_bytes / 1e6:.1f} MB"
    if language == "vi":
        first = (
            f"{'có thể xoá' if dry_run else 'đã xoá'} {freed.tiles} mảnh bản đồ cũ, {freed.clips} bản cắt cũ "
            f"và {freed.copies} bản sao cục bộ, {mb}: đều là thứ làm lại được"
        )
        told = [f"  {one.name}: còn trống {one.free_bytes / 1e9:.1f} GB" for one in places]
        untold = "  không biết kho lưu trữ và cơ sở dữ liệu còn trống bao nhiêu"
    else:
        first = (
            f"{freed.tiles} old tile states, {freed.clips} old clips and {freed.copies} local copies "
            f"{'could be' if dry_run else 'were'} deleted, {mb}: all of it can be made again"
        )
        told = [f"  {one.name}: {one.free_bytes / 1e9:.1f} GB free" for one in places]
        untold = "  how much is free where store and database lie, nobody can tell"
    return answer, [first, *(told or [untold])]


def format_account(account: Account, token: str, names: Mapping[str, str]) -> Output:
    """Return name, role, communes[] (codes) and token of an account.

    names  of communes by code
    """
    line = SecretText(f"{_account_line(account, names)}: {token}")
    return {**_account(account), "token": token}, [line]


def format_accounts(accounts: Sequence[Account], names: Mapping[str, str], language: str = "en") -> Output:
    """Return accounts[]: name, role, communes[] (codes).

    names  of communes by code
    """
    none = "chưa có tài khoản nào" if language == "vi" else "no accounts"
    lines = [_account_line(one, names) for one in accounts]
    return {"accounts": [_account(one) for one in accounts]}, lines or [none]


def format_removed_account(account: Account, made: Descendants, language: str = "en") -> Output:
    """Return name, role and communes[] of a removed account, and what ended with it.

    guest_links[], tokens[]: ids (tokens: of other accounts).
    """
    links, vi = made.guest_ids, language == "vi"
    ended = (
        f"{account.name}: đã xoá tài khoản; mã, phiên đăng nhập và {len(links)} liên kết khách hết hiệu lực"
        if vi
        else f"{account.name}: removed; the tokens, the sessions and {len(links)} guest links end"
    )
    said = {**_account(account), "guest_links": list(links), "tokens": made.ids["tokens"]}
    return said, [ended, *format_ending_lines(made, language)]


def _account(account: Account) -> dict[str, Any]:
    return {"name": account.name, "role": account.role.value, "communes": list(account.communes)}


def _account_line(account: Account, names: Mapping[str, str]) -> str:
    where = "".join(f", {names.get(code, code)}" for code in account.communes)
    return f"{account.name} ({account.role.value}{where})"


_NAMES_VI = {
    "disk": "ổ đĩa",
    "room": "chỗ trống",
    "encryption": "mã hoá",
    "privacy": "quyền đọc",
    "power": "điện",
    "clock": "đồng hồ",
    "store": "kho lưu trữ",
    "catalogue": "cơ sở dữ liệu",
    "accounts": "tài khoản",
    "terrain": "mô hình độ cao",
    "communes": "ranh giới xã",
    "film": "bộ nén video",
    "readback": "đọc lại",
    "backup": "sao lưu",
    "unfinished": "việc dở dang",
}


def _mark(check: HealthCheck) -> str:
    return "!!" if not check.ok else "!" if check.warns else "ok"


def format_checks(checks: Sequence[HealthCheck], language: str = "en") -> Output:
    """Return checks and ready.

    The last line says whether this machine is ready for a flight.
    """
    answer = {
        "ready": all(c.ok for c in checks),
        "checks": [
            {
                "name": c.name,
                "ok": c.ok,
                "warns": c.warns,
                "sentence": c.sentence_en,
                "sentence_vi": c.sentence_vi,
            }
            for c in checks
        ],
    }
    vi = language == "vi"
    names = {c.name: _NAMES_VI[c.name] if vi else c.name for c in checks}
    lines = [f"{_mark(c):2}  {names[c.name]}: {c.sentence_vi if vi else c.sentence_en}" for c in checks]
    amiss = ", ".join(names[c.name] for c in checks if not c.ok)
    if vi:
        lines.append(f"CHƯA SẴN SÀNG: xem lại {amiss} ở trên" if amiss else "SẴN SÀNG cho chuyến bay")
    else:
        lines.append(f"NOT READY: see {amiss} above" if amiss else "READY for a flight")
    return answer, lines
