"""What an ingest owes to photos that the catalogue knows already: their layer, and their withdrawal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from flycam.catalog.placement_rows import SET_ASIDE
from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.errors import InputUnusable
from flycam.frame.frame import Layer
from flycam.frame.warning import WITHDRAWN, warning
from flycam.ingest.layers import IN_VIETNAMESE
from flycam.pipeline.planning import Planned
from flycam.pipeline.workspace import Workspace

_VIETNAM = timezone(timedelta(hours=7))


def in_their_layers(
    workspace: Workspace, flight_id: str, planned: Sequence[Planned], asked: str | None
) -> list[Planned]:
    """The frames, those known before in the layer that is on record; reads only.

    A pixel of the map must not change its layer in silence, nor an empty mosaic be opened beside it. Raises
    InputUnusable where the operator's word `asked` is another than the record of a frame on the map.
    """
    before = {
        record.frame_id: record
        for record in workspace.catalog.frames.of_flight(flight_id)
        if record.status is not FrameStatus.REJECTED or record.reason == SET_ASIDE
    }
    known = [before[one.header.frame_id] for one in planned if one.header.frame_id in before]
    others = [
        one for one in known if one.status is not FrameStatus.WITHDRAWN and one.header.layer.value != asked
    ]
    if asked is not None and others:
        raise _too_late(workspace, flight_id, others, Layer(asked))
    layers = {record.frame_id: record.header.layer for record in known}
    return [
        replace(one, header=replace(one.header, layer=layers.get(one.header.frame_id, one.header.layer)))
        for one in planned
    ]


def withdrawals_said(workspace: Workspace, flight_id: str, frame_ids: Iterable[str]) -> list[str]:
    """One warning for each withdrawal (reason, authority, minute) that keeps some of these frames off."""
    here = set(frame_ids)
    found = Counter(
        (one.reason, one.authority, _minute(one.withdrawn_ns))
        for one in workspace.catalog.frames.withdrawals(flight_id)
        if one.frame_id in here
    )
    return [
        warning(WITHDRAWN, frames=count, reason=reason, authority=authority, at=at)
        for (reason, authority, at), count in found.items()
    ]


def _minute(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(_VIETNAM)
    return f"{moment:%Y-%m-%d %H:%M} (UTC+7)"


def _too_late(
    workspace: Workspace, flight_id: str, others: Sequence[FrameRecord], asked: Layer
) -> InputUnusable:
    name = workspace.catalog.flights.flight(flight_id).name
    layers = sorted({one.header.layer for one in others})
    first = others[0].header.provenance.source_name
    return InputUnusable(
        f"--layer {asked}: comes too late for {len(others)} of these photos (the first: {first}), which are "
        f"on the map as {', '.join(layers)} in the flight {name} and keep their layer; nothing was changed: "
        f"ingest them with --layer {asked} into a new data folder (--data), or run again without --layer",
        vi=f"--layer {asked}: đã muộn với {len(others)} ảnh (ảnh đầu: {first}), vì các ảnh này đã có trên "
        f"bản đồ ở lớp {', '.join(IN_VIETNAMESE[one] for one in layers)} của chuyến bay {name} và giữ nguyên "
        f"lớp; chưa thay đổi gì: hãy nạp chúng với --layer {asked} vào thư mục dữ liệu mới (--data), hoặc "
        "chạy lại không có --layer",
    )
