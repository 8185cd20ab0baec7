from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely
import zstandard

from flycam.catalog.access import (
    RedactionRecord,
    select_active_redactions,
    select_revocation_requests,
)
from flycam.catalog.flights import to_placement
from flycam.errors import SourceUnreadable
from flycam.model.access import RedactionReason, RedactionStep
from flycam.model.flight import Classification
from flycam.model.records import Withdrawal
from flycam.sync import records as sync_records
from flycam.sync.records import FlightRecords, decode_flight_records, encode_flight_records
from tests.suites.catalog_suite import flight, frame, rejected
from tests.suites.retention_suite import GONE, HELD, LIFTED
from tests.sync.boxes import EVENT, MOSAIC, new_box, record

RECORDS = FlightRecords(
    event=EVENT,
    flight=flight(),
    mosaics=(MOSAIC,),
    frames=(frame(1), frame(2), rejected(3)),
    placements=(to_placement(frame(1), reason="other terrain", authority="lan", placed_ns=9),),
    withdrawals=(
        Withdrawal(frame_id="f" * 32, flight_id="f1", reason="nạn nhân", authority="lan", withdrawn_ns=3),
    ),
)


def harmed(change: Any, records: FlightRecords = RECORDS) -> bytes:
    """The records with something else in them."""
    values = json.loads(zstandard.ZstdDecompressor().decompress(encode_flight_records(records)))
    change(values)
    return zstandard.ZstdCompressor().compress(json.dumps(values).encode())


def spoil_orientation(values: Any, name: str, **spoiled: Any) -> None:
    """Put something else into the first photo's orientation, which is JSON within JSON."""
    header = values["frames"][0]["header"]
    header[name] = json.dumps({**json.loads(header[name]), **spoiled})


def to_base64(shape: shapely.Geometry) -> str:
    return b64encode(shapely.to_wkb(shape)).decode()


def test_hostile_names_are_shown_and_neither_lost_nor_raw() -> None:
    def named(values: Any) -> None:
        values["flight"]["name"] = "Bản Lầu\x1b]0;x\x07\n\u202e"
        values["event"]["name"] = "Bão\x9b2J"

    read = decode_flight_records(harmed(named), "x.fcb")
    assert read.flight.name == r"Bản Lầu\x1b]0;x\x07\n\u202e"
    assert read.event.name == r"Bão\x9b2J"
    assert decode_flight_records(encode_flight_records(read), "x.fcb") == read, "and so it is handed on"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("\u3164", r"\u3164"), (" \u2800\ufe0f", r" \u2800\ufe0f"), ("", None), (" \u3000", None)],
)
def test_a_name_that_draws_nothing_is_on_no_map(name: str, shown: str | None) -> None:
    def named(values: Any) -> None:
        values["flight"]["name"] = values["event"]["name"] = name

    read = decode_flight_records(harmed(named), "x.fcb")
    assert read.flight.name == (shown or read.flight.flight_id)
    assert read.event.name == (shown or read.event.event_id)
    assert decode_flight_records(encode_flight_records(read), "x.fcb") == read


MADE = RedactionRecord(
    mask_id="mask-0000000a",
    step=RedactionStep.MADE,
    frame_id=frame(1).frame_id,
    reason=RedactionReason.VICTIM,
    author="Lan",
    at_ns=4,
    wkb=shapely.to_wkb(shapely.box(1, 1, 9, 9)),
)
MASKED = replace(RECORDS, redactions=(MADE,))


POLE = shapely.box(104.0, 80.0, 105.0, 90.0)


def name_many_crs(values: Any) -> None:
    """A place for each of more frames than there are zones."""
    first = values["placements"][0]
    pose = json.loads(first["exterior"])
    values["placements"] = [
        {**first, "exterior": json.dumps({**pose, "work_crs": f"EPSG:{32600 + zone}"})}
        for zone in range(1, 21)
    ]


GRID_FILE = "+proj=utm +zone=48 +nadgrids=/etc/passwd"
INFINITE = shapely.Polygon([(1.0, 0.0), (1.0, 1.0), (float("inf"), 1.0), (float("inf"), 0.0)])
WORLD_OF_TILES = {"z": 19, "x_start": 0, "y_start": 0, "x_stop": 1 << 19, "y_stop": 1 << 19}
RETAINED = replace(RECORDS, holds=(HELD, replace(HELD, subject=EVENT.event_id)), purges=(GONE, LIFTED))


@pytest.mark.parametrize(
    "records", [RECORDS, replace(RECORDS, classification=Classification.RESTRICTED), MASKED, RETAINED]
)
def test_records_are_read_back_as_they_were_and_are_the_same_bytes_again(records: FlightRecords) -> None:
    data = encode_flight_records(records)
    assert decode_flight_records(data, "x.fcb") == records
    assert encode_flight_records(decode_flight_records(data, "x.fcb")) == data


def test_a_stick_that_tells_of_a_taking_back_uncovers_nothing_until_it_is_done_here(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({1})
    box.catalog.redactions.append([made := replace(MADE, frame_id=record(1).frame_id)])
    older = box.write(tmp_path)
    back = replace(made, step=RedactionStep.REVOKED, author="Minh", at_ns=2)  # by a clock that is behind
    box.catalog.redactions.append([back])
    newer = box.write(tmp_path)
    province.read(older)
    province.read(newer)
    assert select_active_redactions(box.catalog.redactions.lines()) == []
    assert select_active_redactions(province.catalog.redactions.lines()) == [made]
    assert [one.author for one in select_revocation_requests(province.catalog.redactions.lines())] == ["Minh"]
    own = replace(back, author="Hoa", at_ns=3)
    province.catalog.redactions.append([own])
    province.read(older)
    province.read(newer)
    assert select_active_redactions(province.catalog.redactions.lines()) == [], (
        "an older bundle revives nothing"
    )
    said = [line.what for line in province.catalog.audit.lines() if line.subject == made.mask_id]
    assert sorted(said) == ["mask made", "mask taking back asked"]
    box.read(province.write(tmp_path))
    third = new_box(tmp_path, "third")
    third.read(province.write(tmp_path))
    assert select_active_redactions(third.catalog.redactions.lines()) == [made], "each box decides for itself"
    assert {one.author for one in select_revocation_requests(third.catalog.redactions.lines())} == {
        "Minh",
        "Hoa",
    }


@pytest.mark.parametrize(
    ("records", "change"),
    [
        (RECORDS, lambda values: values.pop("withdrawals")),
        (RECORDS, lambda values: values["frames"][0].pop("status")),
        (RECORDS, lambda values: values["frames"][0].update(status="flown")),
        (RECORDS, lambda values: values["flight"].update(gsd_m=float("nan"))),
        (RECORDS, lambda values: values["frames"][0].update(gsd_m=float("inf"))),
        (RECORDS, lambda values: values["flight"].update(name="a\x00b")),
        (RECORDS, lambda values: values["flight"].update(name="\ud800")),
        (RECORDS, lambda values: values["flight"].update(warnings=[1])),
        (RECORDS, lambda values: values["flight"].update(warnings=[{"a": 1}])),
        (RECORDS, lambda values: values["flight"].update(warnings=1)),
        (RECORDS, lambda values: values["flight"].update(warnings="no_terrain")),
        (RECORDS, lambda values: values["flight"].update(warnings=["\ud800"])),
        (RECORDS, lambda values: values["flight"].update(warnings=["x" * (4 << 20)])),
        (RECORDS, lambda values: values["flight"].update(warnings=["x"] * 1001)),
        (RECORDS, lambda values: values["frames"][0]["header"].update(captured_ns="today")),
        (RECORDS, lambda values: values["frames"][0]["header"].update(captured_ns=True)),
        (RECORDS, lambda values: values["frames"][0].update(footprint_wkb="AAAA")),
        (RECORDS, lambda values: values["frames"][0].update(flight_id="another")),
        (RECORDS, lambda values: values["mosaics"][0].update(revision=1)),
        (RECORDS, lambda values: values["mosaics"][0].update(base_zoom=60)),
        (RECORDS, lambda values: values["mosaics"][0].update(min_zoom=-1)),
        (RECORDS, lambda values: values["flight"].update(bounds_lonlat_deg=[-1e300, 20.0, 1e300, 22.0])),
        (RECORDS, lambda values: values["flight"].update(bounds_lonlat_deg=[106.0, 20.0, 104.0, 22.0])),
        (RECORDS, lambda values: values["flight"].update(bounds_lonlat_deg=[104.0, -90.0, 106.0, 90.0])),
        (RECORDS, lambda values: values["frames"][0].update(footprint_wkb=to_base64(INFINITE))),
        (RECORDS, lambda values: values["frames"][0].update(footprint_wkb=to_base64(POLE))),
        (RECORDS, lambda values: values["placements"][0].update(footprint_wkb=to_base64(POLE))),
        (RECORDS, lambda values: spoil_orientation(values, "interior", size=[4000])),
        (RECORDS, lambda values: spoil_orientation(values, "interior", focal=["x", 1.0])),
        (RECORDS, lambda values: spoil_orientation(values, "interior", focal=[float("nan"), 1.0])),
        (RECORDS, lambda values: spoil_orientation(values, "interior", calibration_id=[1])),
        (RECORDS, lambda values: spoil_orientation(values, "exterior_prior", rotation=[[1.0], [1.0], [1.0]])),
        (RECORDS, lambda values: spoil_orientation(values, "exterior_prior", centre=[1.0, 2.0, "x"])),
        (RECORDS, lambda values: spoil_orientation(values, "exterior_prior", work_crs={"a": 1})),
        (RECORDS, lambda values: spoil_orientation(values, "exterior_prior", work_crs="nan")),
        (RECORDS, lambda values: spoil_orientation(values, "exterior_prior", work_crs="EPSG:4326")),
        (RECORDS, lambda values: spoil_orientation(values, "exterior_prior", work_crs=GRID_FILE)),
        (RECORDS, name_many_crs),
        (RECORDS, lambda values: values["flight"].update(work_crs="nan")),
        (RECORDS, lambda values: values["flight"].update(work_crs=GRID_FILE)),
        (RECORDS, lambda values: values["frames"][0].update(tiles=WORLD_OF_TILES)),
        (RECORDS, lambda values: values["placements"][0].update(tiles=WORLD_OF_TILES)),
        (RECORDS, lambda values: values["frames"][0].update(tiles={**WORLD_OF_TILES, "x_stop": 1 << 62})),
        (RECORDS, lambda values: values["frames"][0].update(tiles={**WORLD_OF_TILES, "z": 1 << 40})),
        (RECORDS, lambda values: values["flight"].update(name=None)),
        (RECORDS, lambda values: values["flight"].update(event_id="another")),
        (RECORDS, lambda values: values["frames"][0]["header"].update(captured_ns=1 << 63)),
        (RECORDS, lambda values: values["flight"].update(gsd_m=10**400)),
        (RECORDS, lambda values: values.update(classification="secret")),
        (RETAINED, lambda values: values["holds"][0].update(subject="another flight")),
        (RETAINED, lambda values: values["holds"][0].update(step="boredom")),
        (RETAINED, lambda values: values["holds"][0].update(reason="")),
        (RETAINED, lambda values: values["holds"][0].update(reason="a\x00b")),
        (RETAINED, lambda values: values["purges"][0].update(sha256="../../etc")),
        (RETAINED, lambda values: values["purges"][0].update(flight_id="another")),
        (RETAINED, lambda values: values["purges"][0].update(kind="boredom")),
        (RETAINED, lambda values: values["purges"][0].update(name="x" * 501)),
        (RETAINED, lambda values: values["purges"][0].pop("at_ns")),
        (MASKED, lambda values: values["redactions"][0].update(reason="boredom")),
        (MASKED, lambda values: values["redactions"][0].update(frame_id=frame(9).frame_id)),
        (MASKED, lambda values: values["redactions"][0].update(wkb="AAAA")),
    ],
)
def test_what_the_catalogue_could_not_hold_is_refused_by_the_name_of_its_file(
    records: FlightRecords, change: Any
) -> None:
    with pytest.raises(SourceUnreadable, match=r"x\.fcb"):
        decode_flight_records(harmed(change, records), "x.fcb")


def of_another_flight(values: Any, flight_id: str) -> None:
    """The same flight under another id, wherever that stands."""
    for rows in ([values["flight"]], *(values[name] for name in _OF_THE_FLIGHT)):
        for row in rows:
            row["flight_id"] = flight_id


_OF_THE_FLIGHT = ("mosaics", "frames", "placements", "withdrawals")
_CLIMBING = ("/home/nobody", "../../..", "..", "", "a/b", "a\\b", "a\nb", "é" * 150)


@pytest.mark.parametrize("climbing", _CLIMBING)
@pytest.mark.parametrize(
    "change",
    [
        of_another_flight,
        lambda values, name: (values["event"].update(event_id=name), values["flight"].update(event_id=name)),
        lambda values, name: values["mosaics"][0].update(mosaic_id=name),
        lambda values, name: values["frames"][0]["header"].update(frame_id=name),
        lambda values, name: values["placements"][0].update(frame_id=name),
        lambda values, name: values["withdrawals"][0].update(frame_id=name),
        lambda values, name: values["withdrawals"][0].update(flight_id=name),
        lambda values, name: values["frames"][0].update(dem_id=name or "."),
        lambda values, name: values["placements"][0].update(dem_id=name or "."),
        lambda values, name: values["frames"][0]["header"]["provenance"].update(source_sha256=name or "."),
    ],
)
def test_an_id_that_climbs_out_of_its_folder_is_refused(change: Any, climbing: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"x\.fcb"):
        decode_flight_records(harmed(lambda values: change(values, climbing)), "x.fcb")


@pytest.mark.parametrize("data", [b"", b"{}", encode_flight_records(RECORDS)[:-3]])
def test_bytes_that_are_no_records_are_refused(data: bytes) -> None:
    with pytest.raises(SourceUnreadable):
        decode_flight_records(data, "x.fcb")


def test_a_bomb_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_records, "MAX_RECORDS_BYTES", 100)
    with pytest.raises(SourceUnreadable, match="bytes"):
        decode_flight_records(encode_flight_records(RECORDS), "x.fcb")
