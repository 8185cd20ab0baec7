"""A meeting pack is the same wherever the house lies: folder and SQLite, or S3 and PostgreSQL."""

from __future__ import annotations

import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.model.flight import Event, EventKind
from flycam.reports.briefing.workflow import PackReport, PackRequest, write_briefing_pack
from flycam.storage.stores import open_store
from flycam.workspace import Workspace
from tests.serve.world import REAL, add_communes, add_flight, make_workspace


def _packed(workspace: Workspace, out: Path) -> PackReport:
    workspace.catalog.flights.put_event(
        Event(event_id=REAL, name="Bão", kind=EventKind.STORM, is_drill=False)
    )
    add_communes(workspace)
    flight = add_flight(workspace, REAL, "Nậm Lúc / tổ 1", "2024-09-10 03:15", shift=(0, 0), storm=True)
    return write_briefing_pack(workspace, PackRequest(flights=(flight,)), out)


@pytest.mark.soak
@pytest.mark.s3
@pytest.mark.postgres
def test_the_province_packs_what_a_box_packs(s3_url: str, postgres_url: str, tmp_path: Path) -> None:
    at_home = _packed(make_workspace(tmp_path / "box"), tmp_path / "pack of the box")
    with open_catalog(postgres_url) as catalog, closing(open_store(s3_url)) as store:
        far = Workspace(store=store, catalog=catalog, box="province", cache_dir=tmp_path / "cache")
        there = _packed(far, tmp_path / "pack of the province")
    names = [[path.relative_to(one.out) for path in one.files] for one in (at_home, there)]
    assert names[0] == names[1]
    assert (at_home.flights, at_home.communes) == (there.flights, there.communes)
    for name in ("ban-do-1.pmtiles", "nguon-anh.csv", "anh/overview.jpg", "anh/commune-1.jpg"):
        assert (at_home.out / name).read_bytes() == (there.out / name).read_bytes(), name
    earths = []
    for one in (at_home, there):
        with zipfile.ZipFile(one.out / "ban-do.kmz") as archive:
            earths.append({name: archive.read(name) for name in archive.namelist()})
    assert earths[0] == earths[1]
