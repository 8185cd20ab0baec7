"""What each command answers: one object for programs, and lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import shapely

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Coverage, DemRecord
from flycam.drill.drill import DrillReport
from flycam.frame.warning import sentence
from flycam.geodata.communes import CommuneImport
from flycam.geodata.dem_info import DemInfo
from flycam.ingest.diagnosis import Diagnosis, Problem, Rejection
from flycam.mosaic.export import Exported
from flycam.pipeline.batch import IngestReport
from flycam.pipeline.collect import CollectReport
from flycam.pipeline.coverage import flown_on
from flycam.pipeline.demo import DemoReport
from flycam.pipeline.doctor import Check
from flycam.pipeline.finish_report import FinishReport
from flycam.pipeline.inspection import InspectionReport
from flycam.pipeline.report import ReportFile
from flycam.pipeline.withdraw import WithdrawReport

Answer = Mapping[str, Any]
Answered = tuple[Answer, Sequence[str]]


def of_inspection(report: InspectionReport) -> Answered:
    """frames, usable, camera, problems[], and more."""
    seen, diagnosis = report.survey, report.survey.diagnosis
    rejected = [*seen.unreadable, *diagnosis.rejected]
    answer = {
        "frames": seen.read,
        "usable": len(diagnosis.headers),
        "rejected": dict(sorted(Counter(one.reason for one in rejected).items())),
        "camera": diagnosis.camera,
        "calibration": sorted({header.interior.calibration_id for header in diagnosis.headers}),
        "work_crs": diagnosis.work_crs,
        "vertical_datum": diagnosis.vertical_datum,
        "is_drill": diagnosis.is_drill,
        "takeoff": _takeoff(diagnosis),
        "problems": [
            {
                "code": problem.code,
                "severity": problem.severity.value,
                "sentence": problem.sentence_en,
                "sentence_vi": problem.sentence_vi,
                "frames": list(problem.frames),
            }
            for problem in diagnosis.problems
        ],
        "rejections": [_rejection(one) for one in rejected],
        "gaps": [
            {
                "kind": gap.kind.value,
                "area_m2": round(gap.area_m2, 1),
                "missing": gap.missing,
                "between": list(gap.between),
                "seen_by": gap.seen_by,
                "sentence": gap.sentence_en,
                "sentence_vi": gap.sentence_vi,
                "polygon": shapely.geometry.mapping(gap.polygon_lonlat),
            }
            for gap in diagnosis.gaps
        ],
        "relief": [
            {
                "zone": zone.zone,
                "ground_m": zone.ground_m,
                "photos": zone.photos,
                "height_above_ground_m": zone.height_above_ground_m,
                "gsd_m": zone.gsd_m,
                "views": zone.views,
                "side_overlap": zone.side_overlap,
            }
            for zone in diagnosis.relief
        ],
        "missing_names": list(diagnosis.missing_names),
        "refly": str(report.refly) if report.refly else None,
        "seconds": round(report.seconds, 3),
    }
    return answer, _inspection_lines(report)


def _rejection(one: Rejection) -> Answer:
    return {"name": one.name, "reason": one.reason, "sentence": one.message}


def _named(problem: Problem) -> str:
    """The sentence, after the first of the photos that it speaks of."""
    if not problem.frames:
        return problem.sentence_en
    more = f" and {len(problem.frames) - 1} more" if len(problem.frames) > 1 else ""
    return f"{problem.frames[0]}{more}: {problem.sentence_en}"


def _takeoff(diagnosis: Diagnosis) -> Answer | None:
    takeoff = diagnosis.takeoff
    if takeoff is None:
        return None
    return {
        "height_m": round(takeoff.height_m, 2),
        "sigma_m": round(takeoff.sigma_m, 2),
        "datum": takeoff.datum,
        "how": takeoff.how,
    }


def _inspection_lines(report: InspectionReport) -> list[str]:
    seen, diagnosis = report.survey, report.survey.diagnosis
    lines = [f"{len(diagnosis.headers)} of {seen.read} photos usable · {diagnosis.camera}"]
    lines += [f"  [{problem.severity.value}] {_named(problem)}" for problem in diagnosis.problems]
    lines += [f"  [left out] {one.message}" for one in (*seen.unreadable, *diagnosis.rejected)]
    lines += [f"  [gap] {gap.sentence_en}" for gap in diagnosis.gaps]
    lines += [
        f"  [{zone.zone}] ground {zone.ground_m[0]:.0f} to {zone.ground_m[1]:.0f} m: "
        f"{zone.height_above_ground_m[1]:.0f} m above ground, GSD {zone.gsd_m[1] * 100:.1f} cm"
        + (f", side overlap {zone.side_overlap:.0%}" if zone.side_overlap is not None else "")
        for zone in diagnosis.relief
    ]
    if report.refly:
        lines.append(f"ground to refly: {report.refly}")
    return lines


def of_ingest(report: IngestReport, catalog: Catalog) -> Answered:
    """flight_id, frames, gsd_m, communes, seconds."""
    names = catalog.boundaries.names(flown_on(report.flight))
    flight = report.flight
    answer = {
        "flight_id": flight.flight_id,
        "name": flight.name,
        "frames": {"read": report.survey.read, "used": report.used, "rejected": report.rejected},
        "new": report.new,
        "relaid": report.relaid,
        "mended": report.mended,
        "notes": [sentence(one) for one in report.notes],
        "notes_vi": [sentence(one, "vi") for one in report.notes],
        "gsd_m": round(flight.gsd_m, 4),
        "work_crs": flight.work_crs,
        "vertical_datum": flight.vertical_datum,
        "warnings": [sentence(one) for one in flight.warnings],
        "warnings_vi": [sentence(one, "vi") for one in flight.warnings],
        "rejections": [_rejection(one) for one in report.left_out],
        "problems": [_named(problem) for problem in report.survey.diagnosis.problems],
        "communes": [_commune(one, names) for one in report.communes],
        "seconds": round(report.seconds, 3),
    }
    lines = [
        f"{flight.name} ({flight.flight_id}): {report.used} frames, {report.new} new, "
        f"{flight.gsd_m * 100:.1f} cm, {report.seconds:.1f} s"
    ]
    lines += [f"  [{p.severity.value}] {_named(p)}" for p in report.survey.diagnosis.problems]
    lines += [f"  [left out] {one.message}" for one in report.left_out]
    lines += [f"  * {sentence(one)}" for one in report.notes]
    lines += [f"  ! {sentence(one)}" for one in flight.warnings]
    lines += [
        f"  {names[one.commune_code]} ({one.commune_code}): {one.covered_m2 / 1e4:.2f} ha, "
        f"{one.covered_pct:.1f} %"
        for one in report.communes
    ]
    return answer, lines


def _commune(one: Coverage, names: Mapping[str, str]) -> Answer:
    return {
        "code": one.commune_code,
        "name": names[one.commune_code],
        "covered_pct": round(one.covered_pct, 3),
        "area_m2": round(one.covered_m2, 1),
        "gsd_m": round(one.gsd_m, 4),
        "clip": one.clip_key,
    }


def of_withdrawal(report: WithdrawReport) -> Answered:
    """tiles, how many frames, and the finished revisions that are not shown any more."""
    name = report.flight.name
    answer = {
        "flight_id": report.flight.flight_id,
        "frames": report.frames,
        "tiles": report.tiles,
        "retired": list(report.retired),
    }
    lines = [f"{report.frames} frames withdrawn from {name}, {report.tiles} tiles written"]
    if report.retired:
        which = ", ".join(map(str, report.retired))
        lines.append(
            f"finished revision {which} held them and is not shown any more; run 'flycam finish {name}' again"
        )
    return answer, lines


def of_finish(report: FinishReport) -> Answered:
    """revision, tie_points, reprojection_px, sigma_xy_m, sigma_z_m, shift_m, seconds, and more.

    All figures are of the layer that the flight is shown by; the other layers are in `layers`.
    """
    main = report.main
    stats: Mapping[str, Any] = main.stats if main else {}
    answer = {
        "flight_id": report.flight.flight_id,
        "name": report.flight.name,
        "revision": main.revision if main else None,
        "new": report.layers[0].new,
        **{key: stats.get(key) for key in _FINISH_FIGURES},
        "layers": [
            {
                "layer": one.layer,
                "revision": one.record.revision if one.record else None,
                "new": one.new,
                "accepted": one.record.stats.get("accepted") if one.record else None,
                "why": one.why or (one.record.stats.get("why", "") if one.record else ""),
            }
            for one in report.layers
        ],
        "stage_seconds": stats.get("seconds"),
        "seconds": round(report.seconds, 3),
    }
    return answer, _finish_lines(report, stats)


_FINISH_FIGURES = (
    "accepted",
    "why",
    "notes",
    "frames",
    "tie_points",
    "observations",
    "reprojection_px",
    "held_out_px",
    "sigma_xy_m",
    "sigma_z_m",
    "shift_m",
    "shift_sigma_m",
    "check_m",
    "control",
    "surface",
)


def _finish_lines(report: FinishReport, stats: Mapping[str, Any]) -> list[str]:
    name, main = report.flight.name, report.main
    skipped = [f"  [left out] {one.layer}: {one.why}" for one in report.layers if one.record is None]
    if main is None:
        return [f"{name}: nothing was finished", *skipped]
    if not report.layers[0].new:
        return [f"{name}: revision {main.revision} stands; nothing has changed since it was made", *skipped]
    frames = stats["frames"]
    said = [f"  {sentence}" for sentence in (stats.get("control") or {}).get("said", ())]
    lines = [f"{name}: revision {main.revision} from {frames['used']} frames, {report.seconds:.0f} s"]
    if stats["accepted"]:
        lines.append(
            f"  {stats['tie_points']} tie points, reprojection {_metric(stats['reprojection_px'], 'px')} "
            f"(held out {_metric(stats['held_out_px'], 'px')}); within the block ± "
            f"{_metric(stats['sigma_xy_m'], 'm')} in plan, ± {_metric(stats['sigma_z_m'], 'm')} in height"
        )
        shift, unknown = stats["shift_m"], stats["shift_sigma_m"]
        lines.append(
            f"  the cameras moved by {_triple(shift)} m (east, north, up) on the whole; what stays unknown "
            f"of the block's place: ± {_triple(unknown)} m"
        )
    else:
        lines.append(f"  poses as recorded were kept: {stats['why']}")
    if stats["surface"]:
        lines.append(
            f"  surface of its own under {stats['surface']['supported_pct']:.0f} % of the ground, posts "
            f"every {stats['surface']['spacing_m']:.2g} m"
        )
    lines += said
    lines += [f"  {note}" for note in stats["notes"]]
    lines += [f"  [left out] {one['name']}: {one['sentence']}" for one in frames["left_out"]]
    return lines + skipped


def _metric(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{_hundredths(value)} {unit}"


def _triple(values: Sequence[float | None]) -> str:
    return ", ".join("unknown" if value is None else _hundredths(value) for value in values)


def _hundredths(value: float) -> str:
    """Two decimals, never "-0.00"."""
    return f"{round(value, 2) + 0.0:.2f}"


def of_export(exported: Exported) -> Answered:
    """path, crs, gsd_m, bounds."""
    rows, cols = exported.shape_px
    answer = {
        "path": str(exported.path),
        "crs": exported.crs,
        "gsd_m": exported.gsd_m,
        "bounds": list(exported.bounds),
    }
    return answer, [f"{exported.path}: {cols}×{rows} px, {exported.gsd_m} m, {exported.crs}"]


def of_report(written: ReportFile) -> Answered:
    """path, flight_id, revision, language, bytes."""
    answer = {
        "path": str(written.path),
        "flight_id": written.flight.flight_id,
        "revision": written.revision,
        "language": written.language,
        "bytes": written.bytes,
    }
    line = f"{written.path}: quality report of {written.flight.name}, revision {written.revision}"
    return answer, [line]


def of_dem(record: DemRecord, info: DemInfo) -> Answered:
    """dem_id, bounds, datum."""
    answer = {
        "dem_id": record.dem_id,
        "bounds": list(record.bounds_lonlat_deg),
        "datum": record.vertical_datum,
        "datum_source": info.datum_source,
        "hole_pct": round(100 * info.hole_fraction, 3),
        "warnings": list(info.warnings),
    }
    low, high = info.height_range_m
    line = (
        f"{record.name}: {low:.0f} to {high:.0f} m, {record.vertical_datum} ({info.datum_source}), "
        f"posts every {info.post_spacing_m:.1f} m"
    )
    return answer, [line, *(f"  ! {warning}" for warning in info.warnings)]


def of_dems(dems: Sequence[DemRecord]) -> Answered:
    """dems[]: what is registered, the latest first."""
    answer = {
        "dems": [
            {
                "dem_id": dem.dem_id,
                "name": dem.name,
                "bounds": list(dem.bounds_lonlat_deg),
                "datum": dem.vertical_datum,
                "post_spacing_m": round(dem.post_spacing_m[0], 3),
                "added_ns": dem.added_ns,
            }
            for dem in dems
        ]
    }
    lines = [
        f"{dem.dem_id}  {dem.name}: {dem.vertical_datum}, posts every {dem.post_spacing_m[0]:.1f} m"
        for dem in dems
    ]
    return answer, lines or ["no terrain is registered; add it with 'flycam dem add FILE'"]


def of_removed_dem(dem: DemRecord) -> Answered:
    """dem_id, name."""
    line = (
        f"{dem.name} is off the list; what was laid on it stays as it is, and 'flycam dem add' registers it "
        "again"
    )
    return {"dem_id": dem.dem_id, "name": dem.name}, [line]


def of_collect(report: CollectReport, *, dry_run: bool) -> Answered:
    """tiles, clips, freed_bytes, waiting, busy."""
    answer = {
        "tiles": report.tiles,
        "clips": report.clips,
        "freed_bytes": report.freed_bytes,
        "waiting": report.waiting,
        "busy": list(report.busy),
        "dry_run": dry_run,
    }
    lines = [
        f"{report.tiles} old tile states and {report.clips} old clips "
        f"{'would be' if dry_run else 'were'} deleted, {report.freed_bytes / 1e6:.1f} MB; {report.waiting} "
        "are within the grace"
    ]
    lines += [f"  ! {name}: is being written at this moment; collect again later" for name in report.busy]
    return answer, lines


def of_communes(found: CommuneImport) -> Answered:
    """added, repaired, overlaps_km2."""
    answer = {
        "added": len(found.communes),
        "repaired": len(found.repaired),
        "repairs": list(found.repaired),
        "removed": list(found.removed),
        "remarks": list(found.remarks),
        "overlaps_km2": round(found.overlaps_km2, 4),
        "overlaps_left_km2": round(found.overlaps_left_km2, 6),
    }
    lines = [
        f"{len(found.communes)} communes, {len(found.repaired)} repaired, "
        f"{found.overlaps_km2:.2f} km² claimed twice and settled"
    ]
    lines += [f"  {sentence}" for sentence in (*found.repaired, *found.removed, *found.remarks)]
    return answer, lines


def of_checks(checks: Sequence[Check]) -> Answered:
    """checks."""
    answer = {
        "checks": [
            {"name": c.name, "ok": c.ok, "sentence": c.sentence_en, "sentence_vi": c.sentence_vi}
            for c in checks
        ]
    }
    return answer, [f"{'ok' if c.ok else '!!'}  {c.name}: {c.sentence_en}" for c in checks]


def of_drill(report: DrillReport) -> Answered:
    """frames, dem, communes, truth."""
    answer = {
        "frames": report.frames,
        "photos": str(report.photos),
        "dem": str(report.dem),
        "communes": str(report.communes),
        "truth": str(report.truth),
    }
    return answer, [f"{report.frames} photos in {report.photos}"]


def of_demo(report: DemoReport, url: str) -> Answered:
    """flights, changes, url."""
    flights = (report.before, report.after)
    answer = {
        "flights": [one.flight.flight_id for one in flights],
        "changes": [],
        "url": url,
    }
    return answer, [f"{one.flight.name}: {one.used} frames, {one.seconds:.1f} s" for one in flights]
