"""Photos that the catalogue knows already: originals, layer, pose and withdrawal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from flycam.catalog.placement_rows import SET_ASIDE_REASON
from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.catalog.retention_records import make_original_purged
from flycam.frame.frame import FrameHeader
from flycam.frame.timestamp import VIETNAM, format_day
from flycam.frame.warning import OPTIONS_IGNORED, ORIGINALS_PURGED, WITHDRAWN, encode_warning
from flycam.pipeline.executor import count_workers, map_ordered
from flycam.pipeline.original_store import find_purged, store_original
from flycam.pipeline.orthorectification.frame_plan import FrameFootprint
from flycam.pipeline.orthorectification.preflight import PreflightRequest
from flycam.pipeline.workspace import Workspace
from flycam.store import keys


def keep_recorded_layers(
    workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint], layer: str | None
) -> list[FrameFootprint]:
    """Return the frames, known ones in their recorded layer; reads only.

    A pixel of the map must not change its layer silently. The operator's `layer` moves frames that are on the
    map (`flycam.pipeline.orthorectification.layer_moves`); withdrawn ones stay as they were.
    """
    before = {
        record.frame_id: record
        for record in workspace.catalog.frames.list_for_flight(flight_id)
        if record.status is not FrameStatus.REJECTED or record.reason == SET_ASIDE_REASON
    }
    keeps = {
        frame_id: record.header.layer
        for frame_id, record in before.items()
        if layer is None or record.status is FrameStatus.WITHDRAWN
    }
    return [
        replace(one, header=replace(one.header, layer=keeps.get(one.header.frame_id, one.header.layer)))
        for one in planned
    ]


def store_missing_originals(workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint]) -> int:
    """Store photos of frames on the map whose originals are not here.

    They were lost, or another node sent the frames. Returns their number.
    """
    used = {one.frame_id for one in workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)}
    known = [one for one in planned if one.header.frame_id in used]
    hashes = [one.header.provenance.source_sha256 for one in known]
    workers = count_workers()
    are_here = map_ordered(
        workspace.store.exists, map(keys.format_original_key, hashes), workers, 4 * workers
    )
    lacking = [one for one, is_here in zip(known, are_here, strict=True) if not is_here]
    for one in lacking:
        store_original(workspace, one.path, one.header.provenance.source_sha256, durable=False)
    if lacking:
        workspace.store.flush()
    workspace.catalog.kept_originals.note(hashes)
    return len(lacking)


def list_unused_option_warnings(
    workspace: Workspace, flight_id: str, request: PreflightRequest, planned: Sequence[FrameFootprint]
) -> list[str]:
    """Return the warning if options would change frames that stay as they are.

    Call it once all reprocessed frames are recorded.
    """
    given = {
        "--camera": request.camera is not None,
        "--takeoff": request.takeoff is not None,
        "--height": request.height_mode != "auto",
        "--telemetry": request.telemetry is not None,
        "--clock-offset": request.clock_offset_s is not None,
    }
    options = " ".join(name for name, is_given in given.items() if is_given)
    if not options:
        return []
    used = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    recorded = {record.frame_id: record for record in used}
    others = sum(
        _is_placed_differently(recorded[frame.header.frame_id], frame)
        for frame in planned
        if frame.header.frame_id in recorded
    )
    return [encode_warning(OPTIONS_IGNORED, options=options, frames=others)] if others else []


def _is_placed_differently(record: FrameRecord, frame: FrameFootprint) -> bool:
    """Return True if a frame on the map has another camera or pose than this run's.

    The version is ignored.
    """
    if record.exterior is None:
        return False
    settled = replace(frame.header.exterior_prior, version=record.exterior.version)
    return (record.exterior, record.header.interior) != (settled, frame.header.interior)


def list_withdrawal_warnings(workspace: Workspace, flight_id: str, frame_ids: Iterable[str]) -> list[str]:
    """Return a warning for each withdrawal that concerns some of these frames.

    By reason, authority and minute.
    """
    here = set(frame_ids)
    found = Counter(
        (one.reason, one.authority, _minute(one.withdrawn_ns))
        for one in workspace.catalog.frames.withdrawals(flight_id)
        if one.frame_id in here
    )
    return [
        encode_warning(WITHDRAWN, frames=count, reason=reason, authority=authority, at=at)
        for (reason, authority, at), count in found.items()
    ]


def exclude_purged(workspace: Workspace, planned: Sequence[FrameFootprint]) -> list[FrameFootprint]:
    """Return the frames whose originals were not deleted under a retention term.

    A deleted photo's pixels stay on the map, and its bytes do not come back by a card. Raises OriginalPurged
    if no frame is left.
    """
    gone = find_purged(workspace, [one.header.provenance.source_sha256 for one in planned])
    left = [one for one in planned if one.header.provenance.source_sha256 not in gone]
    if not left and planned:
        first = planned[0].header.provenance
        raise make_original_purged(gone[first.source_sha256], first.source_name)
    return left


def list_purge_warnings(workspace: Workspace, headers: Iterable[FrameHeader]) -> list[str]:
    """Return a warning for each deletion of some of these photos.

    By author and day.
    """
    gone = find_purged(workspace, [one.provenance.source_sha256 for one in headers])
    days = ((one, format_day(one.at_ns)) for one in gone.values())
    found = Counter((one.author, one.box, day.in_language("en"), day.in_language("vi")) for one, day in days)
    return [
        encode_warning(ORIGINALS_PURGED, frames=count, authority=author, box=box, day=day, day_vi=day_vi)
        for (author, box, day, day_vi), count in found.items()
    ]


def _minute(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(VIETNAM)
    return f"{moment:%Y-%m-%d %H:%M} (UTC+7)"
