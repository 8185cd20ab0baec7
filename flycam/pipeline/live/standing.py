"""Frames of a film that are on the map already: completed where a run was cut off, laid again where more is
known now.

A film is read again in full, but what is on the map lies where it lies: it is replayed from its own recorded
pose and terrain, and is laid again by the rules of any flight (`pipeline.laying.relay`). Besides, a film
whose clocks' difference was unknown is laid again, all of it, by a run that knows it; by a log that tells
other places it is laid again on the operator's word alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.errors import FrameRejected
from flycam.frame.flight import Flight, FlightState, is_plane
from flycam.frame.frame import FrameHeader, picture_pts_ns
from flycam.frame.terraincodec import made_of
from flycam.frame.warning import COMPLETED, warning
from flycam.geometry.terrain import TerrainGrid
from flycam.pipeline.coverage import cover_communes
from flycam.pipeline.film_frames import Film
from flycam.pipeline.laying.opening import Labels, close_flight, flight_on_record, open_flight, state_of
from flycam.pipeline.laying.planning import Planned
from flycam.pipeline.laying.rectification import ground_views
from flycam.pipeline.laying.refolding import live_mosaics, refold_mosaic
from flycam.pipeline.laying.relay import NO_RELAY, Relay, carry_out, plan_relay
from flycam.pipeline.live.agreement import require_same_places
from flycam.pipeline.live.given import LiveRequest, shown_log
from flycam.pipeline.live.ground import FixedGround
from flycam.pipeline.live.telemetry import PoseAt
from flycam.pipeline.workspace import Progress, Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What became of the frames that were on the map.

    relaid  frames laid again; notes: what is to be said, as `flycam.frame.warning` keeps it
    """

    relaid: int = 0
    notes: tuple[str, ...] = ()


def settle_standing(
    workspace: Workspace,
    flight_id: str,
    film: Film,
    request: LiveRequest,
    pose_at: PoseAt,
    ground: FixedGround | None,
    clock_warnings: Sequence[str],
    progress: Progress,
) -> Standing:
    """Complete and lay again what is on the map of a film, on the terrain and by the log of this run.

    pose_at         the pose at a PTS (ns) of the film; raises FrameRejected where there is none
    ground          under the film; None: nothing is laid again, for the clock is not known yet
    clock_warnings  what this run has to say of the clock; empty where it is known

    Raises LogContradicted where the log tells other places than the record, and nobody asked to lay the film
    again; InputUnusable if a stored original does not read, StorageTrouble (run again: it completes).
    """
    before = flight_on_record(workspace, flight_id)
    used = workspace.catalog.frames.of_flight(flight_id, FrameStatus.USED)
    if before is None or not used:
        return Standing()
    at_ns = workspace.clock_ns()
    was_cut = before.state is FlightState.INGESTING
    filmed = film.pictures_in(flight_id, used)  # photos of the card, and its other films, may lie beside
    if not filmed and not was_cut:
        return Standing()
    seen = _Seen() if ground is None else _seen(filmed, film, pose_at, ground.terrain)
    again = NO_RELAY
    if ground is not None:
        was_unknown = any(film.is_doubted_by(flight_id, one) for one in before.warnings)
        if not (request.relay or was_unknown):
            now = {one.header.frame_id: one.header.exterior_prior for one in seen.planned}
            here = [one for one in filmed if one.frame_id in now]
            log = shown_log(request.telemetry)
            require_same_places(film.name, log, here, [now[one.frame_id] for one in here])
        again = _relay(
            workspace,
            before,
            filmed,
            seen,
            ground,
            clock_warnings,
            was_unknown=was_unknown,
            asked=request.relay,
        )
    if not again.is_due and not was_cut:
        return Standing(notes=again.notes)
    flight = before
    if again.is_due and ground is not None:
        flight = _opened(workspace, flight_id, film, seen.planned, ground, again)
        others = [one for one in flight.warnings if not film.is_doubted_by(flight_id, one)]
        flight = replace(flight, warnings=tuple(dict.fromkeys((*others, *clock_warnings))))
        carry_out(workspace, flight_id, again, at_ns)
    _fold(workspace, flight_id, again, was_cut=was_cut, progress=progress)
    cover_communes(workspace, flight, progress, changed=True)
    close_flight(workspace, flight, state_of(workspace, flight_id))
    completed = (warning(COMPLETED, frames=len(used)),) if was_cut else ()
    return Standing(relaid=len(again.frames), notes=(*again.notes, *completed))


@dataclass(frozen=True, slots=True)
class _Seen:
    """Frames on the map as this run would lay them; those it could not, each with its error."""

    planned: list[Planned] = field(default_factory=list)
    refused: list[tuple[FrameHeader, FrameRejected]] = field(default_factory=list)


def _relay(
    workspace: Workspace,
    before: Flight,
    used: Sequence[FrameRecord],
    seen: _Seen,
    ground: FixedGround,
    clock_warnings: Sequence[str],
    *,
    was_unknown: bool,
    asked: bool,
) -> Relay:
    """What is to be laid again. Poses of a known clock are not given up for those of an unknown one, unless
    the operator `asked`: it is said what is missing."""
    terrain = ground.terrain
    if clock_warnings and not was_unknown and not asked:
        is_other = {made_of(str(record.dem_id)) for record in used} != {terrain.dem_id}
        return Relay(notes=tuple(clock_warnings) if is_other else ())
    onto_plane = is_plane(terrain.vertical_datum) and not is_plane(before.vertical_datum)
    asked = asked or (was_unknown and not clock_warnings and not onto_plane)
    return plan_relay(
        workspace, before.flight_id, (), seen.planned, seen.refused, terrain, ground.names, asked=asked
    )


def _seen(used: Iterable[FrameRecord], film: Film, pose_at: PoseAt, terrain: TerrainGrid) -> _Seen:
    headers: list[FrameHeader] = []
    seen = _Seen()
    for record in used:
        try:
            pose = pose_at(picture_pts_ns(record.header.provenance.source_name))
        except FrameRejected as error:
            seen.refused.append((record.header, error))
            continue
        headers.append(replace(record.header, interior=film.interior, exterior_prior=pose))
    for header, view in zip(headers, ground_views(headers, terrain) if headers else (), strict=True):
        if isinstance(view, FrameRejected):
            seen.refused.append((header, view))
        else:
            name = header.provenance.source_name
            seen.planned.append(Planned(header=header, view=view, path=Path(film.name).parent / name))
    return seen


def _opened(
    workspace: Workspace,
    flight_id: str,
    film: Film,
    planned: Sequence[Planned],
    ground: FixedGround,
    again: Relay,
) -> Flight:
    opened = open_flight(
        workspace,
        flight_id,
        planned,
        ground.terrain,
        Labels(),
        ground.names,
        again,
        default_name=film.title,
        work_crs=film.work_crs,
        is_drill=film.is_drill,
    )
    return opened.flight


def _fold(workspace: Workspace, flight_id: str, again: Relay, *, was_cut: bool, progress: Progress) -> None:
    """The tiles made what the recorded frames make them; after a cut nobody knows which are, so all."""
    everywhere = workspace.catalog.frames.of_flight(flight_id, FrameStatus.USED) if was_cut else []
    for mosaic in live_mosaics(workspace, flight_id):
        also = [r.tiles for r in everywhere if r.tiles is not None and r.header.layer == mosaic.layer]
        refold_mosaic(workspace, mosaic, progress, also=[*also, *again.tiles(mosaic.layer)], check=True)
