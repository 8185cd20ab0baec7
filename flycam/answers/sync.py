"""Answers of `bundle` and `sync`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.frame.text_normalization import format_decimal_comma

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.pipeline.installer import Installer
    from flycam.sync.bundle import BundleReadReport, BundleWriteReport
    from flycam.sync.reference_client import FetchReport
    from flycam.sync.transfer import SyncReport

_RECEIVED_NOUNS = {
    "area": ("restricted area", "restricted areas", "vùng hạn chế"),
    "mask": ("photo with masks", "photos with masks", "ảnh có vùng che"),
    "withdrawn": (
        "flight with withdrawn pictures",
        "flights with withdrawn pictures",
        "chuyến bay có ảnh bị rút",
    ),
    "changes": ("group of confirmed changes", "groups of confirmed changes", "nhóm thay đổi đã xác nhận"),
    "layer": ("layer", "layers", "lớp dữ liệu"),
    "communes": ("group of communes", "groups of communes", "nhóm xã, phường"),
    "terrain": ("terrain file", "terrain files", "tệp độ cao"),
}
"""Singular, plural, Vietnamese."""


def format_bundle_written(written: BundleWriteReport, path: Path, language: str = "en") -> Output:
    """Return what was written into a bundle.

    Keys: sent (bytes), left (0: everything requested is on the stick), bundle_id, flights, tiles, parts,
    readers[] (nodes that have the rest by their receipts), passed[] (keys of what is lost or damaged here and
    not on the stick).
    """
    vi = language == "vi"
    answer = {
        "sent": written.size_bytes,
        "left": 0,
        "bundle_id": written.bundle_id,
        "path": str(path),
        "flights": written.flights,
        "tiles": written.tiles,
        "originals": written.originals,
        "parts": written.parts,
        "written": written.written,
        "readers": list(written.readers),
        "passed": list(written.skipped),
    }
    megabytes = f"{written.size_bytes / 1e6:.1f}"
    if vi:
        line = (
            f"{path}: {written.flights} chuyến bay, {written.tiles} mảnh bản đồ, {written.originals} ảnh gốc;"
            f" {format_decimal_comma(megabytes)} MB trong {written.parts} tệp"
        )
    else:
        line = (
            f"{path}: {written.flights} flights, {written.tiles} tiles, {written.originals} originals;"
            f" {megabytes} MB in {written.parts} files"
        )
    lines = [line]
    if written.readers:
        names = ", ".join(written.readers)
        lines.append(
            f"đã bỏ qua phần mà {names} có theo biên nhận; cho máy chưa đọc gói nào: --all"
            if vi
            else f"left out: what these have by their receipts: {names}; for a box that has read none: --all"
        )
    return answer, lines + format_skipped(written.skipped, language)


def format_skipped(skipped: Collection[str], language: str = "en") -> list[str]:
    """List what is lost or damaged here and was not sent, with the cure.

    Empty if everything was whole.
    """
    if not skipped:
        return []
    count, first = len(skipped), next(iter(skipped))
    if language == "vi":
        return [
            f"{first}: mất hoặc hỏng ở máy này nên đã bỏ qua ({count} mục); hãy chạy flycam verify, phần sửa "
            "được sẽ đi cùng lần gửi sau"
        ]
    return [
        f"{first}: lost or damaged on this box and passed over ({count} in all); run flycam verify: what it "
        "mends goes with the next sync or bundle"
    ]


def format_installer(written: Installer, language: str = "en") -> Output:
    """Return path, wheels, bytes and manifest_sha256 of an installer.

    The installer prints manifest_sha256 too, before it installs.
    """
    answer = {
        "path": str(written.path),
        "wheels": written.wheels,
        "bytes": written.size_bytes,
        "manifest_sha256": written.manifest_sha256,
    }
    megabytes = f"{written.size_bytes / 1e6:.0f}"
    if language == "vi":
        first = (
            f"{written.path}: {written.wheels} gói, {megabytes} MB; cài: sh {written.path}/install.sh THƯ_MỤC"
        )
        return answer, [first, f"SHA-256 của manifest: {written.manifest_sha256}"]
    first = (
        f"{written.path}: {written.wheels} wheels, {megabytes} MB;"
        f" install: sh {written.path}/install.sh FOLDER"
    )
    return answer, [first, f"manifest SHA-256 {written.manifest_sha256}"]


def format_bundle_read(read: BundleReadReport, language: str = "en") -> Output:
    """Return what was read from a bundle.

    Keys: sent, left (0), box (the node that gave it), bundle_id, flights[], tiles (in it), known (those of
    them left out, because more of the same logs came before), lines (logged), receipt.

    apart[]    flights that could not be merged with those here: flight_id, name, sentence, sentence_vi
    unnamed[]  SHA-256 of photos that no flight here names: they were skipped
    """
    vi = language == "vi"
    answer = {
        "sent": 0,
        "left": 0,
        "box": read.box,
        "bundle_id": read.bundle_id,
        "flights": list(read.applied.flights),
        "tiles": read.tiles,
        "known": read.known,
        "lines": read.applied.lines,
        "receipt": None if read.receipt is None else str(read.receipt),
        "apart": [one.summary for one in read.applied.conflicts],
        "unnamed": list(read.applied.unreferenced),
    }
    lines = [
        f"đã nhận từ {read.box}: {len(read.applied.flights)} chuyến bay, {read.tiles - read.known} "
        "mảnh bản đồ"
        if vi
        else f"taken in from {read.box}: {len(read.applied.flights)} flights, {read.tiles - read.known} tiles"
    ]
    if read.known:
        lines.append(
            f"{read.known} mảnh bị bỏ qua vì trước đây đã nhận nhiều hơn từ {read.box}: đây là gói cũ, hoặc"
            " hai máy trùng tên (ổ đĩa được sao chép): khi đó hãy đặt tên riêng cho một máy bằng FLYCAM_BOX"
            " rồi ghi lại gói với --all"
            if vi
            else f"{read.known} tiles were left out, for more came from {read.box} before: this is an older"
            " bundle, or two boxes carry this name (a copied disk): then give one a name of its own with"
            " FLYCAM_BOX and write its bundle again with --all"
        )
    lines += [one.sentence_vi if vi else one.sentence for one in read.applied.conflicts]
    if count := len(read.applied.unreferenced):
        lines.append(
            f"{count} ảnh không thuộc chuyến bay nào ở đây nên đã bỏ qua; hãy cài cùng phiên bản cho hai máy"
            if vi
            else f"photos that no flight here names, passed over: {count}; bring both boxes to one version"
        )
    if read.receipt is None:
        lines.append(
            "không ghi được biên nhận lên USB: lần sau máy kia sẽ ghi lại toàn bộ"
            if vi
            else "no receipt could be written on the stick: the other box will write everything again"
        )
    else:
        lines.append(
            f"biên nhận: {read.receipt} (mang về máy kia, lần sau chỉ ghi phần mới)"
            if vi
            else f"receipt: {read.receipt} (carry it back: the next bundle holds only what is new)"
        )
    return answer, lines


def format_sync(sent: SyncReport, got: FetchReport, url: str, language: str = "en") -> Output:
    """Return what was sent to and received from a server.

    Sent: sent, left (bytes of tiles and photos that are not there), box (the receiving node), steps, tiles,
    views, originals, tile_bytes, ended_by ("", "budget", "metered"), apart[] as `bundle read` has it,
    passed[] as `bundle write` has it.

    Received: got (number of items, by kind), got_bytes, left_there (bytes), kept[] (name, sentence,
    sentence_vi of what this node did not take in).
    """
    vi = language == "vi"
    answer = {
        "sent": sent.sent_bytes,
        "left": sent.left_bytes,
        "box": sent.peer,
        "steps": sent.steps,
        "tiles": sent.tiles,
        "views": sent.views,
        "originals": sent.originals,
        "tile_bytes": sent.tile_bytes,
        "ended_by": sent.ended_by,
        "apart": list(sent.conflicts.values()),
        "passed": list(sent.skipped),
        "got": dict(sorted(got.item_counts.items())),
        "got_bytes": sent.received_bytes,
        "left_there": got.left_bytes,
        "kept": [
            {"name": one.name, "sentence": one.sentence, "sentence_vi": one.sentence_vi}
            for one in got.conflicts
        ],
    }
    megabytes, left = f"{sent.sent_bytes / 1e6:.2f}", f"{sent.left_bytes / 1e6:.1f}"
    if vi:
        line = (
            f"{url}: đã gửi {format_decimal_comma(megabytes)} MB, {sent.tiles} mảnh bản đồ, {sent.views} "
            f"ảnh xem sớm, {sent.originals} ảnh gốc"
        )
    else:
        line = (
            f"{url}: {megabytes} MB sent, {sent.tiles} tiles, {sent.views} early views,"
            f" {sent.originals} originals"
        )
    lines = [line, *_format_received(got, vi=vi)]
    if sent.ended_by == "budget" and not sent.step_bytes:
        lines.append(
            f"hạn mức --budget hết ngay khi hỏi bên kia còn thiếu gì; còn {format_decimal_comma(left)} MB: "
            "hãy đặt hạn mức lớn hơn"
            if vi
            else f"stopped: asking what is lacking there used the budget up; {left} MB are left: give a "
            "larger --budget"
        )
    elif sent.ended_by == "budget":
        lines.append(
            f"dừng vì hết hạn mức --budget; còn {format_decimal_comma(left)} MB, chạy lại để gửi tiếp"
            if vi
            else f"stopped: the budget is used up; {left} MB are left, the same command goes on"
        )
    elif sent.ended_by == "metered":
        lines.append(
            f"đường truyền tính tiền: còn {format_decimal_comma(left)} MB mảnh bản đồ chờ đường "
            "truyền khác hoặc USB"
            if vi
            else f"metered line: {left} MB of tiles wait for another line, or a stick"
        )
    lines += [one["sentence_vi" if vi else "sentence"] for one in sent.conflicts.values()]
    return answer, lines + format_skipped(sent.skipped, language)


def _format_received(got: FetchReport, *, vi: bool) -> list[str]:
    """List what the server sent, what remains there, and what was not taken in."""
    lines = []
    if got.item_counts:
        said = ", ".join(
            f"{count} {_RECEIVED_NOUNS[kind][2 if vi else count > 1]}"
            for kind, count in sorted(got.item_counts.items())
        )
        lines.append(f"đã nhận về: {said}" if vi else f"got from there: {said}")
    if comes := got.left_bytes - got.metered_bytes:
        lines.append(
            f"còn {_size(comes, vi=vi)} bên đó chưa nhận; chạy lại để nhận tiếp"
            if vi
            else f"{_size(comes, vi=vi)} there are still to come; the same command goes on"
        )
    if got.metered_bytes:
        lines.append(
            f"đường truyền tính tiền: còn {_size(got.metered_bytes, vi=vi)} dữ liệu độ cao bên đó; chạy lại "
            "không kèm --metered để nhận"
            if vi
            else f"metered line: {_size(got.metered_bytes, vi=vi)} of terrain there wait; the same command "
            "without --metered gets them"
        )
    return lines + [one.sentence_vi if vi else one.sentence for one in got.conflicts]


def _size(size_bytes: int, *, vi: bool) -> str:
    """Format a size in MB, below a tenth of one in kB."""
    said = f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"
    return format_decimal_comma(said) if vi else said
