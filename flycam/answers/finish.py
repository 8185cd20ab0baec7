"""Answers of `finish` and `report`: a finished revision, and files made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flycam.answers.output import Output
from flycam.catalog.revision_stats import (
    get_refusal,
    list_control_doubts,
    list_control_notes,
    list_notes,
    put_in_words,
)
from flycam.frame.warning import NO_TERRAIN, describe_warning, describe_warning_briefly, parse_warning_code
from flycam.messages import Message, _, decode_message, join
from flycam.report.number_format import format_list, format_number

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.pipeline.finish.finish_report import FinishReport, LayerReport
    from flycam.pipeline.finish.quality_report import ReportFile


def format_finish(report: FinishReport) -> Output:
    """Return revision, tie_points, reprojection_px, sigmas, shift_m and more.

    Keys also are sigma_xy_m, sigma_z_m and seconds. All figures are of the layer by which the flight is
    shown; the other layers are in `layers`.
    """
    main = report.main
    stats: Mapping[str, Any] = main.stats if main else {}
    # what people should look into: doubts of control, and contradictions between the block and its metadata
    warnings = [*list_control_doubts(stats), *list_notes(stats), *_warnings(report)]
    besides = [describe_warning(one) for one in report.notes]
    answer = {
        "flight_id": report.flight.flight_id,
        "name": report.flight.name,
        "revision": main.revision if main else None,
        "new": report.layers[0].new,
        **put_in_words({key: stats.get(key) for key in _FINISH_FIGURES}),
        "warnings": [str(one) for one in warnings],
        "warnings_vi": [one.in_language("vi") for one in warnings],
        "done_besides": [str(one) for one in besides],
        "done_besides_vi": [one.in_language("vi") for one in besides],
        "layers": [
            {
                "layer": one.layer,
                "revision": one.record.revision if one.record else None,
                "new": one.new,
                "mended": one.repaired,
                "instead_of": one.instead_of,
                "accepted": one.record.stats.get("accepted") if one.record else None,
                "why": str(_why(one) or ""),
            }
            for one in report.layers
        ],
        "stage_seconds": stats.get("seconds"),
        "seconds": round(report.seconds, 3),
    }
    return answer, [*_lines(report, stats), *(join(["  * ", one], "") for one in besides)]


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
    "map_error_m",
    "windows",
    "control",
    "surface",
    "rolling_shutter",
)


def _why(one: LayerReport) -> Message | None:
    """Return why a layer was skipped, or its photos kept their recorded poses."""
    return one.why or (get_refusal(one.record.stats) if one.record else None)


def _lines(report: FinishReport, stats: Mapping[str, Any]) -> list[Message]:
    """Describe the result for people: the revision, then what is not in it."""
    name, main = report.flight.name, report.main
    skipped = [
        _("  [left out] {layer}: {why}", layer=one.layer, why=one.why)
        for one in report.layers
        if one.record is None
    ]
    if main is None:
        return [_("{name}: nothing was finished", name=name), *skipped]
    if not report.layers[0].new:
        return [_describe_standing(report, main.revision), *skipped]
    frames = stats["frames"]
    made = _(
        "{name}: revision {revision} from {used} frames, {seconds:.0f} s",
        name=name,
        revision=main.revision,
        used=frames["used"],
        seconds=report.seconds,
    )
    left_out = [
        _("  [left out] {name}: {why}", name=one["name"], why=decode_message(one["sentence"]))
        for one in frames["left_out"]
    ]
    return [
        made,
        *_placed(stats),
        *_map_error(stats),
        *_surface(stats),
        *_shutter(stats),
        *(join(["  ! ", one], "") for one in _warnings(report)),
        *(join(["  ", one], "") for one in (*list_control_notes(stats), *list_notes(stats))),
        *left_out,
        *skipped,
    ]


def _describe_standing(report: FinishReport, revision: int) -> Message:
    """Describe a revision that stands, and how many of its tiles were made again."""
    name, before = report.flight.name, report.layers[0].instead_of
    stands = (
        _(
            "{name}: revision {revision} stands; nothing has changed since it was made",
            name=name,
            revision=revision,
        )
        if before is None
        else _(
            "{name}: revision {revision} stands, and is on show again instead of revision {before}",
            name=name,
            revision=revision,
            before=before,
        )
    )
    if not (mended := sum(one.repaired for one in report.layers)):
        return stands
    return _(
        "{stands}; {count} of its tiles were lost or damaged and were made again", stands=stands, count=mended
    )


def _placed(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield how the frames were placed: by the adjustment, or as recorded."""
    if not stats["accepted"]:
        yield _("  poses as recorded were kept: {why}", why=get_refusal(stats) or "")
        return
    yield _(
        "  {ties} tie points, reprojection {error} (held out {held_out}); the cameras within the block "
        "± {plan} in plan, ± {height} in height",
        ties=stats["tie_points"],
        error=_metric(stats["reprojection_px"], "px"),
        held_out=_metric(stats["held_out_px"], "px"),
        plan=_metric(stats["sigma_xy_m"], "m"),
        height=_metric(stats["sigma_z_m"], "m"),
    )
    yield _(
        "  the cameras moved by {shift} m (east, north, up) on the whole; what stays unknown of the block's "
        "place: ± {unknown} m",
        shift=_triple(stats["shift_m"]),
        unknown=_triple(stats["shift_sigma_m"]),
    )


def _map_error(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield the error of places, if the report measured it over the map."""
    error = stats.get("map_error_m")
    if error and error["median"] is not None:
        yield _(
            "  expected error of a place on the map (1 sigma, the common shift apart): up to {median} on "
            "half of it, {p95} on 95 %",
            median=_metric(error["median"], "m"),
            p95=_metric(error["p95"], "m"),
        )


def _surface(stats: Mapping[str, Any]) -> Iterator[Message]:
    if surface := stats["surface"]:
        yield _(
            "  surface of its own under {share} % of the ground, posts every {spacing} m",
            share=format_number(surface["supported_pct"], 0),
            spacing=format_number(surface["spacing_m"], 2),
        )


def _shutter(stats: Mapping[str, Any]) -> Iterator[Message]:
    if (rows := stats.get("rolling_shutter")) and rows["frames"]:
        yield _(
            "  rolling shutter taken into account in {count} frames: without it their outermost rows would "
            "be off by up to {most}",
            count=rows["frames"],
            most=_metric(rows["most_px"], "px"),
        )


def _warnings(report: FinishReport) -> list[Message]:
    """List what the revision could not determine.

    It is the ground beside its own surface, the shutter's readout, the place of photos that nothing ties; and
    photos whose recorded poses were wrong.
    """
    from flycam.pipeline.finish.readout_warnings import list_readout_warnings  # noqa: PLC0415  the recipe has loaded it

    ground = [one for one in report.flight.warnings if parse_warning_code(one) == NO_TERRAIN]
    readout = list_readout_warnings(report.main.stats) if report.main else ()
    return [
        *(describe_warning_briefly(one, finished=True) for one in ground),
        *(describe_warning(one) for one in readout),
        *(_misplaced(report.main.stats) if report.main else ()),
    ]


def _misplaced(stats: Mapping[str, Any]) -> Iterator[Message]:
    """Yield photos that were recorded at wrong or unknown places."""
    frames: Mapping[str, Any] = stats.get("frames") or {}
    if found := frames.get("resected"):
        yield _(
            "{names}: neighbours contradict the recorded position or heading (off by up to {moved}, "
            "{turned}°); both were found again from the pictures",
            names=format_list([one["name"] for one in found]),
            moved=_metric(max(one["moved_m"] for one in found), "m"),
            turned=format_number(max(one["turned_deg"] for one in found), 0),
        )
    if carried := frames.get("carried_names"):
        yield _(
            "{names}: could not be tied to any photo; laid as recorded, only where no other photo sees the "
            "ground: do not measure there, fly it again",
            names=format_list(carried),
        )


def _metric(value: float | None, unit: str) -> Message:
    number = format_number(value, 2)
    return number if value is None else join([number, unit])


def _triple(values: Sequence[float | None]) -> Message:
    """Format east, north, up; a decimal comma is not used as separator too."""
    east, north, up = (format_number(value, 2) for value in values)
    return _("{east}, {north}, {up}", east=east, north=north, up=up)


def format_report_file(written: ReportFile) -> Output:
    """Return path, flight_id, revision, language and bytes of a report."""
    answer = {
        "path": str(written.path),
        "flight_id": written.flight.flight_id,
        "revision": written.revision,
        "language": written.language,
        "bytes": written.bytes,
    }
    line = _(
        "{path}: quality report of {name}, revision {revision}",
        path=written.path,
        name=written.flight.name,
        revision=written.revision,
    )
    return answer, [line]
