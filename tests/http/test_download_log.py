"""Who takes what away is in the audit log, once a minute however often it is asked for."""

from __future__ import annotations

from pathlib import Path

import httpx

from flycam.http.guards import Services
from tests.serve.offering import VIEWER, make_offering
from tests.serve.running import running
from tests.serve.world import REAL


def test_a_clipped_map_and_a_file_of_changes_that_are_taken_away_are_on_record(tmp_path: Path) -> None:
    offering = make_offering(tmp_path)
    audit = offering.workspace.catalog.audit
    before = len(audit.lines())
    cog = f"/cog/{offering.mosaic}/2/99000.tif"
    by = {"Authorization": f"Bearer {VIEWER}"}
    services = Services(workspace=offering.workspace)
    with running(services) as url, httpx.Client(base_url=url, timeout=60) as one:
        assert one.head(cog, headers=by).status_code == 200
        assert len(audit.lines()) == before, "nothing was taken away"
        for asked in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=1-"}):
            assert one.get(cog, headers={**by, **asked}).status_code in (200, 206)
        for form in ("csv", "csv", "kmz"):
            address = f"/api/changes/export?event={REAL}&format={form}"
            assert one.get(address, headers=by).status_code == 200
        assert one.get("/api/changes/export?event=none", headers=by).status_code == 404
    lines = [(said.who, said.what, said.subject, said.detail) for said in audit.lines()[before:]]
    flight = offering.workspace.catalog.flights.flight(offering.world.after)
    assert lines == [
        ("Lan", "map exported", f"{offering.mosaic} r2 99000", flight.name),
        ("Lan", "changes exported", REAL, "changes.csv"),
        ("Lan", "changes exported", REAL, "changes.kmz"),
    ]
