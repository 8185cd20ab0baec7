"""The quality report says what the record says, in both languages, and marks a drill on every page."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import typst

from flycam.errors import InputUnusable, NotFound, StorageFailed
from flycam.messages import Message, encode_message
from flycam.model.flight import DRILL_MARK
from flycam.model.records import FrameStatus
from flycam.model.text import format_area, format_number, format_percent, format_quantity
from flycam.model.time import format_minute
from flycam.mosaic.adjustment.bundle_adjustment import HeldOutEvidence, find_objection
from flycam.mosaic.amendments import drop_retired_reports
from flycam.mosaic.finish.report import ErrorFigures, ReportFigures
from flycam.reports import quality_report
from flycam.reports.layout import Facts, Heading, MapPlanes, build_report_sources, to_pdf
from flycam.reports.quality_content import (
    REJECTION_REASONS,
    STATE_NAMES,
    build_report_document,
    describe_verdict,
    draw_report_pictures,
)
from flycam.reports.quality_report import get_report, make_reports, write_report
from tests.reports.reported_house import STATS, Reported, make_reported
from tests.serve.world import make_workspace


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return make_reported(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="module")
def gathered(node: Reported) -> tuple[ReportFigures, MapPlanes]:
    return _gathered(node, node.real)


def _gathered(node: Reported, flight_id: str) -> tuple[ReportFigures, MapPlanes]:
    workspace = node.workspace
    flight = workspace.catalog.flights.flight(flight_id)
    record, mosaic = quality_report._finished(workspace, flight, None)
    kept = workspace.catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision)
    records = workspace.catalog.frames.list_for_flight(flight_id)
    planes = quality_report._planes(workspace, mosaic, record, records, kept, lambda *__: None)
    return quality_report.gather_figures(workspace, flight, mosaic, record, records, kept, planes), planes


def _text(html: bytes) -> str:
    """What a reader sees of a page."""
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", html.decode(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def _page(node: Reported, flight_id: str, language: str, tmp_path: Path) -> bytes:
    out = tmp_path / f"{language}.html"
    write_report(node.workspace, flight_id, out, language)
    return out.read_bytes()


def test_error_and_ground_are_those_of_the_tiles(gathered: tuple[ReportFigures, MapPlanes]) -> None:
    """By hand the error grows over each tile from 0.05 to 6 m, and the western half is the flight's own."""
    figures, planes = gathered
    errors = planes.error_m[planes.shown]
    assert errors.min() >= 0.05 and errors.max() <= 6.0
    assert figures.error.median_m == pytest.approx(float(np.median(errors)))
    assert figures.error.median_m == pytest.approx(3.0, abs=0.3)
    assert sum(figures.error_pct) == pytest.approx(100.0)
    assert figures.error_pct[-1] == pytest.approx(100.0 * float((errors > 5.0).mean()))
    assert 30.0 < figures.own_pct < 70.0
    assert figures.error_own is not None and figures.error_dem is not None
    assert figures.imaged_m2 == pytest.approx(float(planes.shown.sum()) * planes.pixel_m**2)


def test_every_frame_that_is_weak_or_missing_is_named_with_its_reason(node: Reported, tmp_path: Path) -> None:
    language = "vi"
    text = _text(_page(node, node.real, language, tmp_path))
    rejected = node.workspace.catalog.frames.list_for_flight(node.real, FrameStatus.REJECTED)
    assert rejected
    for one in rejected:
        name = one.header.provenance.source_name
        assert f"{name} {STATE_NAMES['rejected'].in_language(language)}" in text
        assert REJECTION_REASONS[one.reason].in_language(language) in text
    for state in ("weak", "carried", "left_out"):
        assert f"{node.names[state]} {STATE_NAMES[state].in_language(language)} " in text
    assert REJECTION_REASONS["left_out"].in_language(language) in text


def test_a_drill_is_marked_on_every_page(node: Reported, tmp_path: Path) -> None:
    assert "DIỄN TẬP" in _text(_page(node, node.drill, "en", tmp_path))
    assert "DIỄN TẬP" not in _text(_page(node, node.real, "vi", tmp_path))
    figures, planes = _gathered(node, node.drill)
    document = build_report_document(figures, planes, draw_report_pictures(figures, planes), "vi")
    assert document.mark == DRILL_MARK
    pages = _svg_pages(build_report_sources(document))
    assert len(pages) >= 2
    marks = [page.count('fill="#7a0f6b"') for page in pages]
    assert all(marks)  # the mark's own ground, in the header of every page
    unmarked = _svg_pages(build_report_sources(build_report_document(*_with_planes(node.real, node), "vi")))
    assert not any('fill="#7a0f6b"' in page for page in unmarked)


def _with_planes(flight_id: str, node: Reported) -> tuple[ReportFigures, MapPlanes, dict[str, bytes]]:
    figures, planes = _gathered(node, flight_id)
    return figures, planes, draw_report_pictures(figures, planes)


def _svg_pages(files: dict[str, bytes]) -> list[str]:
    made = typst.compile(files, format="svg", ignore_system_fonts=True)
    return [page.decode() for page in (made if isinstance(made, list) else [made])]


def test_paper_says_what_the_screen_says(node: Reported) -> None:
    """All text of the typeset pages comes from the document; a template that drops a block would lose it."""
    figures, planes, drawn = _with_planes(node.real, node)
    document = build_report_document(figures, planes, drawn, "vi")
    files = build_report_sources(document)
    probe = dict(files)
    probe["main.typ"] += b"\n#context [#metadata(counter(page).final().first()) <pages>]"
    pages = int(typst.query(probe, "<pages>", field="value", one=True, ignore_system_fonts=True))
    assert 2 <= pages <= 4
    html = typst.compile(files, format="svg", ignore_system_fonts=True)
    assert len(html) == pages
    assert to_pdf(document).startswith(b"%PDF-")
    headings = typst.query(files, "heading", ignore_system_fonts=True)
    named = [block.text for block in document.blocks if isinstance(block, Heading)]
    assert len(named) == 5 and all(f'"{text}"' in headings for text in named)
    figures_set = typst.query(files, "image", ignore_system_fonts=True)
    for name in drawn:
        assert f"{name}.svg" in figures_set


def test_the_same_revision_has_the_same_bytes(node: Reported, tmp_path: Path) -> None:
    workspace = node.workspace
    flight = workspace.catalog.flights.flight(node.real)
    record, mosaic = quality_report._finished(workspace, flight, None)
    made, error = make_reports(workspace, flight, mosaic, record)
    assert (made, error) == make_reports(workspace, flight, mosaic, record)
    assert set(made) == {"vi.html", "vi.pdf", "en.html", "en.pdf"}
    for name, key in made.items():
        assert key.startswith(f"products/{mosaic.mosaic_id}/r{mosaic.revision}/report-")
        language, kind = name.split(".")
        write_report(workspace, node.real, tmp_path / name, language)
        assert (tmp_path / name).read_bytes() == workspace.store.get(key)
        assert get_report(workspace, node.real, language, kind, mosaic.revision) == workspace.store.get(key)


def test_a_page_needs_no_other_file_and_no_script(node: Reported, tmp_path: Path) -> None:
    page = _page(node, node.real, "vi", tmp_path).decode()
    assert "<script" not in page
    addresses = re.findall(r'(?:src|href)="([^"]{1,30})|url\(([^)]{1,30})', page)
    assert addresses and all("".join(one).startswith("data:image/") for one in addresses)
    assert format_minute(_gathered(node, node.real)[0].made_ns) in page


def test_priors_that_were_kept_are_not_to_be_measured_on(gathered: tuple[ReportFigures, MapPlanes]) -> None:
    figures, planes = gathered
    why = encode_message(_objection(kept=0.2))
    nowhere = [None, None, None]
    kept = _changed(figures, accepted=False, why=why, shift_m=nowhere, shift_sigma_m=nowhere)
    assert str(describe_verdict(kept)).startswith("Do not measure")
    blocks = build_report_document(kept, planes, draw_report_pictures(kept, planes), "vi").blocks
    assert any("20%" in getattr(block, "text", "") for block in blocks)
    names = [name for block in blocks if isinstance(block, Facts) for name, __ in block.rows]
    assert "Đã dời cả khối" not in names


def test_the_verdict_follows_the_error(gathered: tuple[ReportFigures, MapPlanes]) -> None:
    figures, __ = gathered
    for median, p95, verdict in [
        (0.1, 0.4, "can measure"),
        (0.2, 3.0, "more than half"),
        (1.5, 4.0, "only approximate"),
        (3.0, 9.0, "Do not measure"),
    ]:
        changed = _changed(figures, error=ErrorFigures(median_m=median, p95_m=p95))
        assert verdict in str(describe_verdict(changed))


def _changed(figures: ReportFigures, error: ErrorFigures | None = None, **stats: object) -> ReportFigures:
    return replace(figures, error=error or figures.error, stats={**STATS, **stats})


@pytest.mark.parametrize(
    ("evidence", "value"),
    [
        ({"observations": 3}, ("count", 3)),
        ({"kept": 0.1}, ("share", 0.1)),
        ({"after_px": 3.0}, ("after_px", 3.0)),
        ({"position_sigmas": 99.0}, ("position", 99.0)),
    ],
)
def test_an_adjustment_is_refused_with_the_figure_that_speaks_against_it(
    evidence: dict[str, float], value: tuple[str, float]
) -> None:
    assert value in _objection(**evidence).values.items()


def _objection(**evidence: float) -> Message:
    believable = {"before_px": 2.0, "after_px": 1.0, "kept": 0.9, "position_sigmas": 1.0}
    usual = {**believable, "attitude_sigmas": 1.0, "observations": 9999}
    assert find_objection(HeldOutEvidence(**usual)) is None  # type: ignore[arg-type]
    found = find_objection(HeldOutEvidence(**{**usual, **evidence}))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_withdrawn_frame_takes_the_objects_of_its_report_along(node: Reported, tmp_path: Path) -> None:
    shutil.copytree(node.root, tmp_path / "house")
    workspace = make_workspace(tmp_path / "house")
    write_report(workspace, node.real, tmp_path / "report.pdf")
    record, mosaic = quality_report._finished(workspace, workspace.catalog.flights.flight(node.real), None)
    kept = workspace.catalog.revisions.get(mosaic.mosaic_id, record.revision).reports
    assert len(kept) == 4 and all(workspace.store.exists(key) for key in kept.values())
    used = workspace.catalog.frames.list_for_flight(node.real, FrameStatus.USED)
    workspace.catalog.revisions.retire_holding([used[-1].frame_id], "a face")
    with pytest.raises(NotFound):
        get_report(workspace, node.real, "en", "pdf", 1)
    assert drop_retired_reports(workspace, node.real) == 4
    assert not any(workspace.store.exists(key) for key in kept.values())
    assert drop_retired_reports(workspace, node.real) == 0


@pytest.mark.parametrize(
    ("message", "english", "vietnamese"),
    [
        (format_number(1234567.891, 2), "1,234,567.89", "1.234.567,89"),
        (format_number(-0.001, 2), "0.00", "0,00"),
        (format_number(None, 2), "unknown", "không rõ"),
        (format_quantity(float("nan"), "m"), "unknown", "không rõ"),
        (format_quantity(12.345, "m"), "12.3\N{NO-BREAK SPACE}m", "12,3\N{NO-BREAK SPACE}m"),
        (format_area(12345.0), "1.23\N{NO-BREAK SPACE}ha", "1,23\N{NO-BREAK SPACE}ha"),
        (
            format_area(12345.0, 20.0, is_lower_bound=True),
            "at least 1.23\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.01\N{NO-BREAK SPACE}ha",
            "ít nhất 1,23\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0,01\N{NO-BREAK SPACE}ha",
        ),
        (
            format_area(999.4, 0.2),
            "999\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}m²",
            "999\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}m²",
        ),
        (format_percent(0.4), "0.4\N{NO-BREAK SPACE}%", "0,4\N{NO-BREAK SPACE}%"),
    ],
)
def test_numbers_are_written_as_each_language_writes_them(
    message: Message, english: str, vietnamese: str
) -> None:
    assert (str(message), message.in_language("vi")) == (english, vietnamese)


def test_refusals_name_what_is_wrong_and_the_cure(node: Reported, tmp_path: Path) -> None:
    workspace = node.workspace
    with pytest.raises(InputUnusable, match=r"\.pdf or an \.html"):
        write_report(workspace, node.real, tmp_path / "report.docx")
    with pytest.raises(StorageFailed):
        write_report(workspace, node.real, tmp_path / "nowhere" / "report.pdf")
    with pytest.raises(NotFound):
        write_report(workspace, node.real, tmp_path / "report.pdf", "vi", 99)
    (live,) = {one.flight_id for one in workspace.catalog.flights.flights()} - {node.real, node.drill}
    with pytest.raises(NotFound):
        write_report(workspace, live, tmp_path / "report.pdf")
