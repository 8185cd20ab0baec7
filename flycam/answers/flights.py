"""What a flight is, what came of its photos, and what was taken out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import shapely

from flycam.answers.answered import Answer, Answered
from flycam.frame.warning import sentence
from flycam.pipeline.coverage import flown_on

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.catalog.catalog import Catalog
    from flycam.catalog.records import Coverage
    from flycam.ingest.diagnosis import Diagnosis, Problem, Rejection
    from flycam.pipeline.batch import IngestReport
    from flycam.pipeline.inspection import InspectionReport
    from flycam.pipeline.withdraw import WithdrawReport


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
    lines += [
        f"  [{p.severity.value}] {_named(p)}"
        for p in report.survey.diagnosis.problems
        if p.code not in _SAID_BELOW
    ]
    lines += [f"  [left out] {one.message}" for one in report.left_out]
    lines += [f"  * {sentence(one)}" for one in report.notes]
    lines += [f"  ! {sentence(one)}" for one in flight.warnings]
    lines += [
        f"  {names[one.commune_code]} ({one.commune_code}): {one.covered_m2 / 1e4:.2f} ha, "
        f"{one.covered_pct:.1f} %"
        for one in report.communes
    ]
    return answer, lines


_SAID_BELOW = frozenset({"no_terrain", "terrain_elsewhere"})
"""What is among the warnings of the flight itself too: told once."""


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
