"""`flycam upload`: send a memory card to a server, headers first.

It runs until every byte is acknowledged. Nothing is kept on this side. The server identifies the card by its
files' names, sizes and times, so the same command resumes after any interruption, also when the server has
another address now.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from flycam.errors import InputUnusable, NotFound, OptionUnusable, SourceUnreadable
from flycam.http.client import (
    Backoff,
    ConnectionLost,
    HttpReply,
    ServerConnection,
    build_no_progress_error,
    build_not_flycam_error,
    read_upload_offset,
    require_answer_shape,
)
from flycam.ingest.photos.photo_search import FileKind
from flycam.ingest.upload.memory_card import (
    CardFile,
    JsonObject,
    MemoryCard,
    SkippedFiles,
    UploadRequest,
    pack_heads,
)
from flycam.messages import Message, _, from_fields, join
from flycam.storage.files import compute_sha256
from flycam.workspace import Progress, ignore_progress

# bytes; a chunk costs the server two fsyncs, so chunks grow on a good line (decision 0019)
_FIRST_CHUNK, _MIN_CHUNK, _MAX_CHUNK = 512 << 10, 64 << 10, 8 << 20
_QUICK_S, _SLOW_S = 1.5, 6.0
_SENDERS = 4
# photos are processed before the videos are here
_ORDER = (FileKind.LOG, FileKind.PHOTO, FileKind.FILM)
_POLL_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadReport:
    """Result of sending a card.

    sent_bytes       acknowledged in this run
    skipped          files that are no photo, video or log, with the reason
    skipped_count    files that are on the card alone, for their name or size, or because they are unreadable
    skipped_reasons  for the first of them a sentence that names the file and the cure
    result           as `flycam ingest` answers
    preview          as the server's `preview` answers, from the headers; None: there was none
    """

    upload_id: str
    files: int
    bytes: int
    sent_bytes: int
    skipped: tuple[tuple[Path, str], ...]
    skipped_count: int
    skipped_reasons: tuple[Message, ...]
    result: JsonObject
    seconds: float
    preview: JsonObject | None = None


def send_card(
    sending: UploadRequest,
    progress: Progress = ignore_progress,
    on_preview: Callable[[JsonObject], None] = lambda _look: None,
    on_note: Callable[[Message], None] = lambda _why: None,
) -> UploadReport:
    """Send a card and wait until it is on the map of the server.

    on_preview  receives the preview of the headers, early, and again where a flight log that came later says
                more
    on_note     receives reasons for waiting

    Raises SourceUnreadable where no photo is found, AccessDenied, ServerUntrusted, InputUnusable (also where
    the flight cannot be processed: then the files are safe there), PeerUnavailable when the server stays
    unreachable.
    """
    began = time.monotonic()
    card = MemoryCard(sending)
    line = ServerConnection(
        sending.url, sending.token, sending.retry_timeout_s, sending.language, on_note, trust=sending.trust
    )
    answer = line.request_values(
        "POST", "/api/uploads", card.build_announcement(), Content_Type="application/json"
    )
    with require_answer_shape(line.url):
        upload_id, is_saved = str(answer["upload_id"]), bool(answer["saved"])
        parts = card.list_files(answer)
        here = sum(part.offset for part in parts)
    tell = _Teller(line, upload_id, on_preview)
    if not is_saved:
        parts = _send_log(line, upload_id, card, parts)
        parts = _send_heads(line, upload_id, parts, progress)
        _send_rest(line, upload_id, parts, progress, tell)
        _check_saved(line, upload_id, parts, progress, tell)
    outcome, missing = _wait_for_map(
        line, upload_id, progress, tell, SkippedFiles.from_errors(card.passed_over)
    )
    total = sum(part.size for part in parts)
    return UploadReport(
        upload_id=upload_id,
        files=len(parts),
        bytes=total,
        sent_bytes=total - here if not is_saved else 0,
        skipped=card.skipped,
        skipped_count=missing.count,
        skipped_reasons=missing.said,
        result=outcome,
        seconds=time.monotonic() - began,
        preview=tell.look,
    )


def read_token(path: Path) -> str:
    """Read the token in a file. Raises OptionUnusable."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionUnusable(
            _("{path}: the access token cannot be read; write it there as one line", path=path)
        ) from error


def _send_log(
    line: ServerConnection, upload_id: str, card: MemoryCard, parts: list[CardFile]
) -> list[CardFile]:
    """Send the flight log first and complete.

    Without it photos may have no position for a preview.
    """
    reached: dict[int, int] = {}
    for part in parts:
        if part.path == card.log:
            _send_file(line, upload_id, part, reached)
    return [_advance_offset(part, reached) for part in parts]


def _advance_offset(part: CardFile, reached: Mapping[int, int]) -> CardFile:
    return replace(part, offset=reached.get(part.number, part.offset))


def _send_heads(
    line: ServerConnection, upload_id: str, parts: list[CardFile], progress: Progress
) -> list[CardFile]:
    """Send the headers of all photos that have none there, many in one request."""
    reached: dict[int, int] = {}
    photos = [part for part in parts if part.kind is FileKind.PHOTO]
    done = sum(part.offset > 0 for part in photos)
    for numbers, body in pack_heads([part for part in photos if not part.offset]):
        reply = line.request_values(
            "POST",
            f"/api/uploads/{upload_id}/heads",
            body,
            Content_Type="application/vnd.flycam.heads",
            Content_Encoding="gzip",
        )
        with require_answer_shape(line.url):
            reached.update(zip(reply["numbers"], map(int, reply["offsets"]), strict=True))
        done += len(numbers)
        progress("heads", done, len(photos))
    return [_advance_offset(part, reached) for part in parts]


def _send_rest(
    line: ServerConnection,
    upload_id: str,
    parts: list[CardFile],
    progress: Progress,
    tell: Callable[[], None],
) -> None:
    """Send all other bytes, several files at a time: logs, photos, videos, by number."""
    total = sum(part.size for part in parts)
    reached = {part.number: part.offset for part in parts}
    with ThreadPoolExecutor(_SENDERS, thread_name_prefix="send") as pool:
        running: set[Future[None]] = {
            pool.submit(_send_file, line, upload_id, part, reached)
            for part in sorted(parts, key=lambda part: _ORDER.index(part.kind))
            if part.offset < part.size
        }
        try:
            while True:
                done, running = wait(running, _POLL_S)
                for one in done:
                    one.result()
                progress("send", sum(reached.values()) >> 10, total >> 10)
                tell()
                if not running:
                    return
        except BaseException:
            # otherwise the pool would wait for whole files
            line.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Teller:
    """Reports the preview as soon as the server has it; look: the last one reported."""

    def __init__(self, line: ServerConnection, upload_id: str, report: Callable[[JsonObject], None]) -> None:
        self._line = line
        self._where = f"/api/uploads/{upload_id}/look"
        self._told = report
        self.look: JsonObject | None = None

    def __call__(self) -> None:
        if self.look is not None and not self.look.get("awaits_logs"):
            return
        try:
            look = self._line.request_once("GET", self._where)
        except (ConnectionLost, NotFound):
            return
        if look.status != 200 or not isinstance(look.json, dict):
            return
        is_news = self.look is None or _drop_timestamps(self.look) != _drop_timestamps(look.json)
        self.look = look.json
        if is_news:
            self._told(look.json)


def _drop_timestamps(look: JsonObject) -> JsonObject:
    """Drop the fields that differ between previews of the same headers."""
    return {key: value for key, value in look.items() if key not in ("awaits_logs", "seconds")}


def _send_file(line: ServerConnection, upload_id: str, part: CardFile, reached: dict[int, int]) -> None:
    """Send one file from its offset to its end, in chunks of some seconds."""
    where = f"/files/{upload_id}/{part.number}"
    chunk, at = _FIRST_CHUNK, part.offset
    in_vain = Backoff(line.sleep, build_no_progress_error(line.url))
    with part.open() as file:
        while at < part.size:
            data = os.pread(file.fileno(), min(chunk, part.size - at), at)
            if not data:
                raise SourceUnreadable(
                    _("{path}: became shorter while it was sent; run the same command again", path=part.path)
                )
            began, sent_from = time.monotonic(), at
            try:
                reply: HttpReply | None = _patch(line, where, data, at)
            except ConnectionLost:
                reply = None
            elapsed_s = time.monotonic() - began
            if reply is not None and reply.status == 204:
                at = _read_offset(line, reply)
                chunk = min(2 * chunk, _MAX_CHUNK) if elapsed_s < _QUICK_S else chunk
            else:
                at = _read_offset(line, line.request("HEAD", where))
            if reply is None or elapsed_s > _SLOW_S:
                chunk = max(chunk // 2, _MIN_CHUNK)
            elif reply.status == 423:
                # an older connection of ours, not timed out on the server yet
                time.sleep(_POLL_S)
            elif reply.status not in (204, 409, 460):
                line.report_wait(
                    line.get_error_message(reply)
                    # such as a full disk, which somebody there must resolve
                )
                time.sleep(_POLL_S)
            elif at <= sent_from:
                in_vain.wait(at)
            reached[part.number] = at


def _read_offset(line: ServerConnection, reply: HttpReply) -> int:
    at = read_upload_offset(reply.headers)
    if at is None:
        raise build_not_flycam_error(line.url)
    return at


def _patch(line: ServerConnection, where: str, data: bytes, at: int) -> HttpReply:
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return line.request_once(
        "PATCH",
        where,
        data,
        Content_Type="application/offset+octet-stream",
        Upload_Offset=str(at),
        Upload_Checksum=f"sha256 {digest}",
    )


def _check_saved(
    line: ServerConnection,
    upload_id: str,
    parts: list[CardFile],
    progress: Progress,
    tell: Callable[[], None],
) -> None:
    """Wait until all is stored there, and compare its hashes with the local files."""
    while True:
        status = line.request_values("GET", f"/api/uploads/{upload_id}")
        with require_answer_shape(line.url):
            is_saved, stored = bool(status["saved"]), int(status["stored"])
        if is_saved:
            break
        progress("keep", stored, len(parts))
        tell()
        line.report_server_wait(status)
        time.sleep(_POLL_S)
    progress("keep", len(parts), len(parts))
    answer = line.request_values("GET", f"/api/uploads/{upload_id}/files")
    with require_answer_shape(line.url):
        hashes_there = [one["sha256"] for one in answer["parts"]]
        pairs = list(zip(parts, hashes_there, strict=True))
    for part, hash_there in pairs:
        if compute_sha256(part.path) != hash_there:
            raise InputUnusable(
                _(
                    "{path}: changed while it was sent: the server holds other bytes; check "
                    "the card and send the folder again",
                    path=part.path,
                )
            )


def _wait_for_map(
    line: ServerConnection,
    upload_id: str,
    progress: Progress,
    tell: Callable[[], None],
    unsent: SkippedFiles,
) -> tuple[JsonObject, SkippedFiles]:
    """Wait until the flight is on the map; return its result and the files the server lacks.

    unsent  files of the card that were not even announced

    The server's own are read last: a file is found damaged when it is stored, not when it is announced.
    Raises InputUnusable where the flight cannot be processed.
    """
    while True:
        status = line.request_values("GET", f"/api/uploads/{upload_id}")
        tell()
        with require_answer_shape(line.url):
            stage, outcome = str(status["stage"]), dict(status["laid"] or {})
            said = tuple(map(from_fields, status["passed_over_said"]))
            missing = unsent.combine(SkippedFiles(count=int(status["passed_over"]), said=said))
            reason = from_fields(outcome) if stage == "failed" else None
            at = status["progress"]
            made = at and (str(at["stage"]), int(at["done"]), int(at["total"]))
        if stage == "laid":
            return outcome, missing
        if reason is not None and missing.count:
            raise InputUnusable(join((*missing.said, reason), "; "))
        if reason is not None:
            raise InputUnusable(_("all files are safe on the server, but: {laid}", laid=reason))
        if made:
            progress(*made)
        line.report_server_wait(status)
        time.sleep(_POLL_S)
