"""What came of finishing a flight, and the files made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.answered import Answered

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.pipeline.finish_report import FinishReport
    from flycam.pipeline.report import ReportFile


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
                "mended": one.mended,
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
        mended = sum(one.mended for one in report.layers)
        again = f"; {mended} of its tiles were lost or damaged and were made again" if mended else ""
        stands = f"{name}: revision {main.revision} stands; nothing has changed since it was made{again}"
        return [stands, *skipped]
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
