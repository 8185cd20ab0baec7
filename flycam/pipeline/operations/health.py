"""Health checks before a flight: disk, store, catalogue, clock, terrain, communes."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flycam.drill.video_encoder import PACKAGES, PROGRAM, has_encoder
from flycam.errors import FlycamError
from flycam.frame.pluralization import correct_singular
from flycam.frame.text_normalization import format_decimal_comma
from flycam.frame.timestamp import format_minute, format_utc_offset
from flycam.pipeline.eviction import estimate_evictable
from flycam.pipeline.garbage_collection import DAY_S
from flycam.pipeline.operations.disk_encryption import is_encrypted
from flycam.pipeline.operations.interrupted_flights import list_interrupted_flights
from flycam.pipeline.operations.inventory import list_inventory_parts
from flycam.pipeline.operations.verify_ledger import VerifyLedger
from flycam.pipeline.power import SCARCE_PERCENT, Power
from flycam.pipeline.store_probe import check_store_writable
from flycam.pipeline.workspace import Workspace
from flycam.store.disk_space import LOW_SPACE_BYTES, RESERVED_BYTES

_BYTES_A_FLIGHT = 20 << 30
_OLD_BACKUP_S = 7 * DAY_S
_RELEASED = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    """One check; its sentence states the result and, if it is not well, the remedy.

    warns  it does not prevent a flight, but should be acted on
    """

    name: str
    ok: bool
    sentence_en: str
    sentence_vi: str
    warns: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sentence_en", correct_singular(self.sentence_en))


def run_health_checks(
    workspace: Workspace, data_dir: Path, store_dir: Path | None = None
) -> list[HealthCheck]:
    """Run all checks; none raises. store_dir: the folder of the store, if it is one."""
    places = [data_dir]
    if store_dir is not None and store_dir.stat().st_dev != data_dir.stat().st_dev:
        places.append(store_dir)
    checks = [_disk(data_dir), check_encryption(places), _power(workspace.power), _clock(workspace)]
    checks.append(_guarded("privacy", "quyền đọc", lambda: _privacy(workspace, data_dir, store_dir)))
    checks.append(_guarded("store", "kho lưu trữ", lambda: _store(workspace)))
    checks.append(_guarded("room", "chỗ trống", lambda: _room(workspace)))
    checks.append(_guarded("catalogue", "cơ sở dữ liệu", lambda: _catalogue(workspace)))
    checks.append(_guarded("accounts", "tài khoản", lambda: _accounts(workspace)))
    checks.append(_guarded("terrain", "mô hình độ cao", lambda: _terrain(workspace)))
    checks.append(_guarded("communes", "ranh giới xã", lambda: _communes(workspace)))
    checks.append(_guarded("readback", "đọc lại", lambda: _readback(workspace)))
    checks.append(_guarded("backup", "sao lưu", lambda: _backup(workspace)))
    checks.append(_guarded("unfinished", "việc dở dang", lambda: _unfinished(workspace)))
    checks.append(_film())
    return checks


def _guarded(name: str, name_vi: str, check: Callable[[], HealthCheck]) -> HealthCheck:
    try:
        return check()
    except FlycamError as error:
        return HealthCheck(
            name=name,
            ok=False,
            sentence_en=str(error),
            sentence_vi=f"{name_vi}: {error.message.in_language('vi')}",
        )


def _disk(data_dir: Path) -> HealthCheck:
    free = shutil.disk_usage(data_dir).free
    ok = free >= _BYTES_A_FLIGHT
    more, more_vi = (
        ("", "")
        if ok
        else ("; free some, a flight can need 20", "; cần giải phóng, một chuyến cần tới 20 GB")
    )
    return HealthCheck(
        name="disk",
        ok=ok,
        sentence_en=f"{free / 1e9:.0f} GB free at {data_dir}{more}",
        sentence_vi=f"còn trống {free / 1e9:.0f} GB tại {data_dir}{more_vi}",
    )


def _room(workspace: Workspace) -> HealthCheck:
    """Check how much could be evicted, and report the catalogue's reserve."""
    kept = f"{RESERVED_BYTES / 1e6:.0f} MB"
    if workspace.store.free_bytes() is None:
        return HealthCheck(
            name="room",
            ok=True,
            sentence_en="how much is free in the store, nobody can tell from here; ask whoever runs it. Of "
            f"the catalogue's disk the last {kept} are kept for the catalogue",
            sentence_vi="không biết được kho lưu trữ còn trống bao nhiêu; hãy hỏi người quản lý kho. Ổ đĩa "
            f"của cơ sở dữ liệu luôn chừa {kept} cuối cho cơ sở dữ liệu",
        )
    found = estimate_evictable(workspace)
    scarcest = workspace.find_fullest_disk()
    ok = scarcest is None or scarcest.free_bytes >= LOW_SPACE_BYTES
    mb, low = f"{found.size_bytes / 1e6:.1f} MB", f"{LOW_SPACE_BYTES / 1e9:.1f}"
    said, said_vi = "nothing is here that could be freed", "chưa có gì giải phóng được"
    if found.size_bytes:
        said = (
            f"{mb} could be freed without losing anything: {found.tiles} old tile states, {found.clips} old "
            f"clips, {found.copies} local copies ('flycam collect')"
        )
        said_vi = (
            f"có thể giải phóng {format_decimal_comma(mb)} mà không mất gì: {found.tiles} mảnh bản đồ cũ, "
            f"{found.clips} bản cắt cũ, {found.copies} bản sao cục bộ ('flycam collect')"
        )
    said += f"; flights free such things themselves below {low} GB"
    said += f", and the last {kept} are kept for the catalogue"
    said_vi += f"; dưới {format_decimal_comma(low)} GB thì chuyến bay tự giải phóng"
    said_vi += f", {kept} cuối luôn chừa cho cơ sở dữ liệu"
    if not ok and scarcest is not None:
        said += f"; {scarcest.name} is low: see to a larger disk"
        said_vi += f"; {scarcest.name} sắp đầy: cần ổ đĩa lớn hơn"
    return HealthCheck(name="room", ok=ok, sentence_en=said, sentence_vi=said_vi)


def check_encryption(
    places: Sequence[Path], probe: Callable[[Path], bool | None] = is_encrypted
) -> HealthCheck:
    """Check disk encryption.

    An unencrypted disk is a warning only, as it does not prevent a flight. It matters for where the node may
    be taken. Reports the worst known state of the node's data places.
    """
    found = [(place, probe(place)) for place in places]
    clear = [str(place) for place, told in found if told is False]
    unknown = [str(place) for place, told in found if told is None]
    if clear:
        sentence_en = (
            f"the disk is NOT encrypted ({', '.join(clear)}): who takes this machine can read all pictures "
            "and marks; encrypt it before it leaves the office"
        )
        sentence_vi = (
            f"ổ đĩa CHƯA mã hoá ({', '.join(clear)}): ai lấy máy này sẽ đọc được mọi hình và dấu; hãy mã hoá "
            "trước khi mang đi"
        )
    elif unknown:
        sentence_en = (
            f"whether the disk is encrypted ({', '.join(unknown)}) cannot be told here; look in the system's "
            "settings"
        )
        sentence_vi = (
            f"không biết được ổ đĩa ({', '.join(unknown)}) có mã hoá hay không; hãy xem trong cài đặt hệ "
            "thống"
        )
    else:
        sentence_en, sentence_vi = "the disk is encrypted", "ổ đĩa có mã hoá"
    return HealthCheck(
        name="encryption", ok=True, sentence_en=sentence_en, sentence_vi=sentence_vi, warns=bool(clear)
    )


def _privacy(workspace: Workspace, data_dir: Path, store_dir: Path | None) -> HealthCheck:
    """Check whether other accounts of this machine can read the node's data.

    A warning only. A node may be shared on purpose.
    """
    catalogue, saved = workspace.catalog.folder, workspace.catalog.audit.last("backup")
    elsewhere = [
        store_dir,
        None if catalogue is None else Path(workspace.catalog.place),
        None if saved is None else Path(saved.subject),
    ]
    places = [data_dir, *(one for one in elsewhere if one and not one.is_relative_to(data_dir))]
    found = [place for place in places if _is_open(place)]
    said, said_vi = "only this account can read what is kept", "chỉ tài khoản này đọc được dữ liệu"
    if found:
        where, cure = ", ".join(map(str, found)), shlex.join(("chmod", "-R", "go-rwx", *map(str, found)))
        said = (
            f"other accounts of this machine may read {where}: pictures, marks, hashes of tokens; unless "
            f"that is meant: {cure}"
        )
        said_vi = (
            f"tài khoản khác trên máy này có thể đọc {where}: ảnh, dấu, mã băm của mã truy cập; nếu không "
            f"cố ý, hãy chạy: {cure}"
        )
    return HealthCheck(name="privacy", ok=True, sentence_en=said, sentence_vi=said_vi, warns=bool(found))


def _is_open(place: Path) -> bool:
    """Return True if group or others have access.

    False on file systems without modes (FAT).
    """
    try:
        if not stat.S_IMODE(place.stat().st_mode) & 0o077:
            return False
        with tempfile.TemporaryFile(dir=place if place.is_dir() else place.parent) as file:
            return not stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
    except OSError:  # missing, or not writable by this account
        return place.exists()


def _power(power: Power) -> HealthCheck:
    told = power.battery
    ok = told is None or not told.is_in_use or told.percent >= SCARCE_PERCENT
    if told is None:
        said, said_vi = "no battery is told of", "máy không báo có pin"
    elif not told.is_in_use:
        said, said_vi = f"on mains, battery {told.percent:.0f} %", f"dùng điện lưới, pin {told.percent:.0f} %"
    else:
        said, said_vi = f"on battery, {told.percent:.0f} %", f"đang dùng pin, {told.percent:.0f} %"
        if told.remaining_s is not None:
            hours = f"{told.remaining_s / 3600:.1f}"
            said, said_vi = (
                f"{said}, {hours} h left",
                f"{said_vi}, còn khoảng {format_decimal_comma(hours)} giờ",
            )
    if power.is_low:
        said, said_vi = f"{said}; low power is on: one core", f"{said_vi}; đang tiết kiệm điện: dùng một nhân"
    if not ok:
        said, said_vi = f"{said}; charge it", f"{said_vi}; hãy sạc"
    return HealthCheck(name="power", ok=ok, sentence_en=said, sentence_vi=said_vi)


def _clock(workspace: Workspace) -> HealthCheck:
    ok = datetime.fromtimestamp(workspace.clock_ns() / 1e9, UTC) >= _RELEASED
    now, zone = format_minute(workspace.clock_ns()), format_utc_offset(workspace.clock_ns())
    return HealthCheck(
        name="clock",
        ok=ok,
        sentence_en=f"the clock says {now} ({zone})" + ("" if ok else "; it is wrong, set it"),
        sentence_vi=f"giờ máy là {now} ({zone})" + ("" if ok else "; sai giờ, hãy chỉnh lại"),
    )


def _store(workspace: Workspace) -> HealthCheck:
    check_store_writable(workspace)
    return HealthCheck(
        name="store",
        ok=True,
        sentence_en="the store keeps and returns what is written",
        sentence_vi="kho lưu trữ ghi và đọc tốt",
    )


def _catalogue(workspace: Workspace) -> HealthCheck:
    count = len(workspace.catalog.flights.flights())
    return HealthCheck(
        name="catalogue",
        ok=True,
        sentence_en=f"the catalogue opens and holds {count} flights",
        sentence_vi=f"cơ sở dữ liệu mở được, có {count} chuyến bay",
    )


def _unfinished(workspace: Workspace) -> HealthCheck:
    """List what a kill or a power cut left, each with the command that completes it."""
    left = list_interrupted_flights(workspace)
    return HealthCheck(
        name="unfinished",
        ok=not left,
        sentence_en="; ".join(one.sentence_en for one in left) or "nothing was left half-done",
        sentence_vi="; ".join(one.sentence_vi for one in left) or "không có việc nào dở dang",
    )


def _readback(workspace: Workspace) -> HealthCheck:
    """Report when `verify` last found the data intact; no flight waits for it."""
    flights = workspace.catalog.flights.flights()
    ledger, parts = VerifyLedger(workspace.cache_dir, workspace.clock_ns()), list_inventory_parts(flights)
    times = [ns for part in parts if (ns := ledger.get_read_time(part))]
    since = format_minute(min(times, default=0))
    if not flights:
        said, said_vi = "nothing is kept yet that could be read back", "chưa có gì cần đọc kiểm tra lại"
    elif len(times) == len(parts):
        said = f"all that is kept was read back whole since {since}"
        said_vi = f"toàn bộ dữ liệu đã được đọc lại và còn nguyên vẹn, từ {since}"
    elif times:
        share = 100 * len(times) // len(parts)
        said = f"{share} % of what is kept was read back whole since {since}; the rest: flycam verify"
        said_vi = (
            f"{share} % dữ liệu đã được đọc lại và còn nguyên vẹn, từ {since}; phần còn lại: flycam verify"
        )
    else:
        said = "what is kept was never read back: flycam verify"
        said_vi = "dữ liệu chưa được đọc kiểm tra lại lần nào: flycam verify"
    return HealthCheck(name="readback", ok=True, sentence_en=said, sentence_vi=said_vi)


def _backup(workspace: Workspace) -> HealthCheck:
    """Check the age of the last backup.

    A warning only, as it does not prevent a flight.
    """
    line = workspace.catalog.audit.last("backup")
    if line is not None:
        said = f"last saved {format_minute(line.at_ns)} in {line.subject}"
        said_vi = f"lần cuối {format_minute(line.at_ns)}, vào {line.subject}"
        is_old = workspace.clock_ns() - line.at_ns > _OLD_BACKUP_S * 1e9
    else:
        said, said_vi = "never saved", "chưa sao lưu lần nào"
        is_old = bool(workspace.catalog.flights.flights())
    if is_old:
        said += "; save it on another disk: flycam backup DIR"
        said_vi += "; hãy sao lưu sang ổ đĩa khác: flycam backup THƯ_MỤC"
    return HealthCheck(name="backup", ok=True, sentence_en=said, sentence_vi=said_vi, warns=is_old)


def _accounts(workspace: Workspace) -> HealthCheck:
    """Count the accounts; a node without any is ready for flights all the same."""
    count = len(workspace.catalog.accounts.all())
    said, said_vi = f"{count} accounts", f"có {count} tài khoản"
    if not count:
        said = "none yet: only this machine is let in; the first is made on the map: flycam account code"
        said_vi = "chưa có: chỉ máy này xem được; tạo tài khoản đầu tiên trên bản đồ: flycam account code"
    return HealthCheck(name="accounts", ok=True, sentence_en=said, sentence_vi=said_vi)


def _terrain(workspace: Workspace) -> HealthCheck:
    dems = workspace.catalog.terrain.dems()
    names = ", ".join(sorted(dem.name for dem in dems))
    return HealthCheck(
        name="terrain",
        ok=bool(dems),
        sentence_en=f"{len(dems)} terrain files: {names}"
        if dems
        else "no terrain is registered, so slopes will be misplaced; add it with 'flycam dem add FILE'",
        sentence_vi=f"{len(dems)} tệp độ cao: {names}"
        if dems
        else "chưa có mô hình độ cao, vị trí trên sườn dốc sẽ lệch; thêm bằng 'flycam dem add TỆP'",
    )


def _communes(workspace: Workspace) -> HealthCheck:
    count = len(workspace.catalog.boundaries.communes())
    return HealthCheck(
        name="communes",
        ok=count > 0,
        sentence_en=f"{count} communes"
        if count
        else "no commune boundaries; add them with 'flycam communes add FILE'",
        sentence_vi=f"{count} xã, phường"
        if count
        else "chưa có ranh giới xã; thêm bằng 'flycam communes add TỆP'",
    )


def _film() -> HealthCheck:
    """Look for the video encoder; only exercises need it, so the check never fails."""
    here = has_encoder()
    return HealthCheck(
        name="film",
        ok=True,
        sentence_en=f"{PROGRAM} is here: 'flycam drill --video' can film"
        if here
        else f"no {PROGRAM}, which only 'flycam drill --video' needs: install {PACKAGES}",
        sentence_vi=f"có {PROGRAM}: 'flycam drill --video' quay được"
        if here
        else f"chưa có {PROGRAM}, chỉ cần cho 'flycam drill --video': cài {PACKAGES}",
    )
