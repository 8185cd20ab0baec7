"""The quality report's address: kinds, languages, revisions, and who may see it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flycam.http.guards import Services
from flycam.reports.quality_report import write_report
from tests.reports.reported_house import Reported, make_reported
from tests.serve.running import running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    node = make_reported(tmp_path_factory.mktemp("reported"))
    write_report(node.workspace, node.real, tmp_path_factory.mktemp("out") / "report.pdf")
    return node


@pytest.fixture(scope="module")
def reports(node: Reported) -> Iterator[httpx.Client]:
    with (
        running(Services(workspace=node.workspace)) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


def test_page_and_paper_are_those_that_are_kept(
    node: Reported, reports: httpx.Client, tmp_path: Path
) -> None:
    language = "en"
    for kind, media_type in (("html", "text/html; charset=utf-8"), ("pdf", "application/pdf")):
        answer = reports.get(f"/api/flights/{node.real}/report", params={"kind": kind, "language": language})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media_type
        out = tmp_path / f"report.{kind}"
        write_report(node.workspace, node.real, out, language)
        assert answer.content == out.read_bytes()
    assert (
        f'<html lang="{language}">'
        in reports.get(f"/api/flights/{node.real}/report", params={"language": language}).text
    )


def test_the_page_may_run_nothing_and_fetch_nothing(node: Reported, reports: httpx.Client) -> None:
    answer = reports.get(f"/api/flights/{node.real}/report")
    (sheet,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    known = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert answer.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{known}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    assert " style=" not in answer.text
    paper = reports.get(f"/api/flights/{node.real}/report", params={"kind": "pdf"})
    assert "style-src 'none'" in paper.headers["content-security-policy"]


def test_a_revision_or_layer_that_is_not_there_is_not_found(node: Reported, reports: httpx.Client) -> None:
    address = f"/api/flights/{node.real}/report"
    assert reports.get(address, params={"revision": 1, "layer": "colour"}).status_code == 200
    assert reports.get(address, params={"revision": 7}).status_code == 404
    assert reports.get(address, params={"layer": "thermal"}).status_code == 404
    assert reports.get(address, params={"language": "fr"}).status_code == 422


def test_a_flight_without_a_report_says_how_to_make_it(node: Reported, reports: httpx.Client) -> None:
    answer = reports.get(f"/api/flights/{node.drill}/report")
    assert answer.status_code == 404
