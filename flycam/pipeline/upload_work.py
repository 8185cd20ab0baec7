"""What is done with an upload: a look at its heads, and its flight to the map.

`look` and `lay` run in a process of their own (`flycam upload-work`) and leave what they found in files
beside the upload, so that a picture that kills a decoder kills no server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flycam.ingest.metadata import PhotoMetadata
from flycam.pipeline.batch import IngestReport, ingest
from flycam.pipeline.inspection import InspectionReport, inspect_flight
from flycam.pipeline.opening import Labels
from flycam.pipeline.planning import Planned, ground_under, planned_on
from flycam.pipeline.survey import SurveyRequest
from flycam.pipeline.terrain import registered_dems
from flycam.pipeline.upload import ARRIVED, Manifest
from flycam.pipeline.upload_files import JOURNAL, PROGRESS, write_json
from flycam.pipeline.upload_journal import Journal
from flycam.pipeline.upload_preview import Preview, preview
from flycam.pipeline.workspace import Workspace

SMEARED_PX = 1.5
"""Smear from which small things on the ground (a person, a wire) are lost."""

_PROGRESS_S = 0.5
_LONGEST_STEP_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What the heads of a card's photos say.

    planned   photos that see ground, with it
    preview   their thumbnails on the ground; None where they have none
    smear_px  by frame id: how far the ground moves over the picture while it is exposed; absent where unknown
    """

    inspection: InspectionReport
    planned: tuple[Planned, ...]
    smear_px: dict[str, float]
    preview: Preview | None


def look(workspace: Workspace, folder: Path) -> Looked:
    """Read the heads that are there, and the flight's log if it is whole. Raises what `inspect_flight`
    raises; writes nothing."""
    request = _request(folder)
    if not _has_log(folder):
        request = replace(request, telemetry=None)
    dems = registered_dems(workspace)
    inspection = inspect_flight(request, dems, check_pixels=False)
    diagnosis = inspection.survey.diagnosis
    planned, _ = planned_on(diagnosis, ground_under(None, diagnosis, dems))
    photos = {str(photo.path): photo for photo in inspection.survey.photos}
    return Looked(
        inspection=inspection,
        planned=tuple(planned),
        smear_px=smears_px(planned, [photos[str(one.path)] for one in planned]),
        preview=preview(planned),
    )


def lay(workspace: Workspace, folder: Path) -> IngestReport:
    """The card to the map, as `flycam ingest` does it, in the sender's name. Raises what that raises."""
    manifest = Manifest.read(folder)
    labels = Labels(name=manifest.name, event=manifest.event)
    mine = replace(workspace, operator=manifest.owner)
    return ingest(mine, _request(folder), labels, FileProgress(folder))


def smears_px(planned: Sequence[Planned], photos: Sequence[PhotoMetadata]) -> dict[str, float]:
    """Speed over ground × exposure / GSD, pixels, by frame id.

    The speed is the aircraft's own where the photo states it, else the way to the next photo by the time it
    took, if that was less than half a minute. Turning is not counted, so it is at least this.
    """
    if not planned:
        return {}
    places = np.array([one.header.exterior_prior.projection_centre_m[:2] for one in planned])
    seconds = np.array([one.header.captured_ns for one in planned]) / 1e9
    way = np.hypot(*np.diff(places, axis=0, append=places[-1:]).T)
    took = np.diff(seconds, append=seconds[-1:])
    is_step = (took > 0.0) & (took < _LONGEST_STEP_S)
    between = np.where(is_step, way / np.where(is_step, took, 1.0), np.nan)
    stated = np.array([np.hypot(*p.speed_mps[:2]) if p.speed_mps else np.nan for p in photos])
    exposure = np.array([p.exposure_s or np.nan for p in photos])
    gsd = np.array([one.view.footprint.gsd_m for one in planned])
    smear = np.where(np.isfinite(stated), stated, between) * exposure / gsd
    known = np.flatnonzero(np.isfinite(smear)).tolist()
    return {planned[i].header.frame_id: float(smear[i]) for i in known}


class FileProgress:
    """Tells how far a recipe is in a file that is looked at now and then. Listens as `Progress`."""

    def __init__(self, folder: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / PROGRESS
        self._clock_s = clock_s
        self._said = ("", -np.inf)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = self._clock_s()
        if stage == self._said[0] and now - self._said[1] < _PROGRESS_S:
            return
        self._said = (stage, now)
        with suppress(OSError):  # on a full disk the flight matters, not the word of it
            write_json(self._path, {"stage": stage, "done": done, "total": total})


def _has_log(folder: Path) -> bool:
    manifest = Manifest.read(folder)
    reached = {number: value for word, number, value in Journal(folder / JOURNAL).lines if word == ARRIVED}
    return any(
        one.path == manifest.telemetry and reached.get(n) == str(one.size)
        for n, one in enumerate(manifest.files)
    )


def _request(folder: Path) -> SurveyRequest:
    manifest = Manifest.read(folder)
    card = folder / "card" / manifest.label
    telemetry = card / manifest.telemetry if manifest.telemetry else None
    return SurveyRequest(paths=(card,), telemetry=telemetry)
