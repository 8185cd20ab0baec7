"""Marks: a line for every change, photos of which only the pixels stay, and the export."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import shapely
from PIL import Image

from flycam.board.marks import (
    MAX_PHOTO_BYTES,
    MarkEdit,
    add_mark_photo,
    convert_mark_photo,
    export_marks,
    write_mark,
)
from flycam.catalog import board
from flycam.catalog.board import Marks
from flycam.errors import (
    CatalogUnavailable,
    InputUnusable,
    NotFound,
    OptionUnusable,
    SourceUnreadable,
    StoreConflict,
)
from flycam.model.board import MarkKind, MarkStatus
from flycam.model.flight import Event, EventKind
from flycam.model.records import MarkVersion
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.serve.world import LAT, LON, add_communes, make_workspace

EDIT = MarkEdit(
    mark_id="mark-0123456789abcdef",
    based_on=0,
    event_id="e1",
    kind=MarkKind.RESCUE,
    status=MarkStatus.OPEN,
    note="3 người <b>trên mái</b>\u0000\nnước dâng",
    places=[(LON, LAT)],
)
SQUARE = [(LON, LAT), (LON + 0.01, LAT), (LON + 0.01, LAT + 0.01), (LON, LAT + 0.01)]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    one = make_workspace(tmp_path / "house")
    one.catalog.flights.put_event(Event(event_id="e1", name="Bão", kind=EventKind.STORM, is_drill=False))
    return one


def jpeg(width: int = 3000, height: int = 2000, **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, "JPEG", **more)  # type: ignore[arg-type]
    return out.getvalue()


def test_every_change_is_a_line_and_a_line_in_the_audit_log(workspace: Workspace) -> None:
    first = write_mark(workspace, EDIT, "Lan")
    second = write_mark(workspace, replace(EDIT, based_on=1, status=MarkStatus.DONE), "Minh")
    assert workspace.catalog.marks.history(EDIT.mark_id) == [first, second]
    assert (first.note, second.author) == ("3 người <b>trên mái</b>\nnước dâng", "Minh")
    said = [(line.who, line.what, line.subject) for line in workspace.catalog.audit.lines()]
    assert said == [("Lan", "mark", EDIT.mark_id), ("Minh", "mark", EDIT.mark_id)]


def test_a_mark_is_not_written_where_its_line_in_the_audit_log_is_not(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between the two left a mark of which nobody knew who had made it."""

    def fails(*_: object) -> None:
        raise CatalogUnavailable("the disk is gone")

    monkeypatch.setattr(board, "write_entries", fails)
    with pytest.raises(CatalogUnavailable):
        write_mark(workspace, EDIT, "Lan")
    monkeypatch.undo()
    assert workspace.catalog.marks.current() == [] and workspace.catalog.audit.lines() == []
    assert write_mark(workspace, EDIT, "Lan").version == 1


def test_the_same_sent_twice_at_once_is_written_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look before either writes."""
    first = write_mark(workspace, EDIT, "Lan")
    photo = add_mark_photo(workspace, EDIT.mark_id, 1, jpeg(64, 64), "Lan")
    real = Marks.history
    behind: list[int] = []

    def late(marks: Marks, mark_id: str) -> list[MarkVersion]:
        return real(marks, mark_id)[: behind.pop() if behind else None]

    monkeypatch.setattr(Marks, "history", late)
    behind.append(0)
    assert write_mark(workspace, EDIT, "Lan") == first
    behind.append(1)
    assert add_mark_photo(workspace, EDIT.mark_id, 1, jpeg(64, 64), "Lan") == photo
    behind.append(1)
    with pytest.raises(StoreConflict):
        write_mark(workspace, replace(EDIT, based_on=1, note="khác"), "Minh")
    assert [line.what for line in workspace.catalog.audit.lines()] == ["mark", "mark"]


def test_a_change_of_what_is_no_longer_so_is_refused(workspace: Workspace) -> None:
    write_mark(workspace, EDIT, "Lan")
    with pytest.raises(StoreConflict):
        write_mark(workspace, replace(EDIT, based_on=2, note="khác"), "Minh")


def test_a_mark_stays_in_its_event(workspace: Workspace) -> None:
    write_mark(workspace, EDIT, "Lan")
    assert write_mark(workspace, replace(EDIT, based_on=1, event_id="e2"), "Lan").event_id == "e1"
    with pytest.raises(NotFound):
        write_mark(workspace, replace(EDIT, mark_id="mark-11111111", event_id="e2"), "Lan")


@pytest.mark.parametrize(
    "wrong",
    [
        {"mark_id": "../../etc"},
        {"places": []},
        {"places": SQUARE},
        {"places": [(181.0, 0.0)]},
        {"places": [(float("nan"), 0.0)]},
        {"kind": MarkKind.SECTOR},
        {"kind": MarkKind.SECTOR, "places": [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]]},
        {"kind": MarkKind.SECTOR, "places": [(LON, LAT)] * 3},
        {"kind": MarkKind.SECTOR, "places": SQUARE * 126},
        {"note": "x" * 1001},
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    workspace: Workspace, wrong: dict[str, object]
) -> None:
    with pytest.raises(InputUnusable):
        write_mark(workspace, replace(EDIT, **wrong), "Lan")  # type: ignore[arg-type]
    assert workspace.catalog.marks.stamp() == 0


def test_of_a_photo_only_the_pixels_are_kept(workspace: Workspace) -> None:
    write_mark(workspace, EDIT, "Lan")
    exif = Image.Exif()
    exif[0x0112] = 6  # taken upright
    exif[0x010E] = "<script>alert(1)</script>"
    sent = jpeg(exif=exif.tobytes()) + b"PK\x03\x04<script>"
    line = add_mark_photo(workspace, EDIT.mark_id, 1, sent, "Minh")
    assert (line.version, line.kind, line.author) == (2, MarkKind.RESCUE, "Minh")
    assert line.photo_sha256 is not None
    kept = workspace.store.get(keys.format_original_key(line.photo_sha256))
    assert b"script" not in kept
    with Image.open(io.BytesIO(kept)) as photo:
        assert (photo.format, photo.size) == ("JPEG", (1280, 1920))
        assert not photo.getexif()
    assert write_mark(workspace, replace(EDIT, based_on=2), "Lan").photo_sha256 == line.photo_sha256


def _png_head(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
        jpeg(64, 64)[:300],
        _png_head(60_000, 60_000),
        bytes(MAX_PHOTO_BYTES + 1),
    ],
    ids=["empty", "svg", "gif", "cut", "bomb", "large"],
)
def test_what_is_no_photo_or_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(SourceUnreadable, match="photo"):
        convert_mark_photo(data)


def test_marks_are_exported_in_both_coordinate_systems(workspace: Workspace, tmp_path: Path) -> None:
    add_communes(workspace)
    write_mark(workspace, EDIT, "Lan")
    write_mark(workspace, replace(EDIT, based_on=1, status=MarkStatus.REMOVED), "Lan")
    sector = replace(EDIT, mark_id="mark-22222222", kind=MarkKind.SECTOR, places=SQUARE)
    write_mark(workspace, sector, "Lan")
    assert export_marks(workspace, tmp_path / "a.geojson", "Bão") == 1
    (one,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert shapely.geometry.shape(one["geometry"]).equals(shapely.Polygon(SQUARE))
    place = one["properties"]["vn2000"]
    assert (place["crs"], place["central_meridian_deg"]) == ("EPSG:9208", 104.75)
    assert place["x_north_m"] == pytest.approx(2_423_000, abs=3_000)
    assert export_marks(workspace, tmp_path / "b.geojson", history=True) == 3
    with pytest.raises(NotFound):
        export_marks(workspace, tmp_path / "c.geojson", "không có")
    with pytest.raises(OptionUnusable):
        export_marks(workspace, tmp_path / "c.shp")
