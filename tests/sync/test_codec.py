from __future__ import annotations

import json
import struct
from base64 import b64encode
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.catalog.access import RestrictedArea
from flycam.catalog.changes import ChangeVersion, Comparison
from flycam.messages import _, encode_message, join
from flycam.model.flight import Event
from flycam.model.records import CommuneRecord, LayerFeatureRecord, LayerRecord
from flycam.sync.exchange import from_values, to_values
from tests.sync.boxes import EVENT
from tests.sync.common_world import AREA, MASTS, STORM_COMPARED, STORM_FOUND, TA_PHIN, decision, mast

DOUBT = _("live")
SAID = encode_message(DOUBT)


def nest_message(depth: int) -> Any:
    said = SAID
    for __ in range(depth):
        said = {"text": "{part}", "values": {"part": said}}
    return said


def nest_shape(levels: int, kind: int = 7) -> str:
    """Base64 of WKB: a point within as many collections."""
    point = shapely.to_wkb(shapely.Point(105.0, 21.0), byte_order=1)
    return b64encode(struct.pack("<BII", 1, kind, 1) * levels + point).decode()


RECORDS = [
    AREA,
    MASTS,
    replace(MASTS, valid_ns=-5),
    mast(1, 104.8),
    TA_PHIN,
    replace(TA_PHIN, valid_to=date(2026, 1, 2)),
    STORM_FOUND,
    replace(decision(STORM_FOUND, "step-1", 9), score=None, slope_deg=1.5, origins=("change-1", "change-2")),
    EVENT,
    replace(STORM_COMPARED, doubts=(join([_("{count} of {size:,.1f}", count=2, size=3.5), DOUBT]),)),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: type(one).__name__)
def test_a_record_comes_back_as_it_was_and_equal_ones_are_equal_bytes(record: Any) -> None:
    said = json.dumps(to_values(record), sort_keys=True)
    again = from_values(type(record), json.loads(said))
    assert again == record
    assert json.dumps(to_values(again), sort_keys=True) == said


@pytest.mark.parametrize(
    ("kind", "record", "field", "value"),
    [
        (LayerRecord, MASTS, "kind", "volcano"),
        (LayerRecord, MASTS, "features", True),
        (LayerRecord, MASTS, "added_ns", 1 << 63),
        (LayerRecord, MASTS, "bounds_lonlat_deg", [1.0, 2.0, 3.0]),
        (LayerRecord, MASTS, "bounds_lonlat_deg", [1.0, 2.0, 3.0, float("nan")]),
        (LayerRecord, MASTS, "name", None),
        (RestrictedArea, AREA, "roles", "admin"),
        (CommuneRecord, TA_PHIN, "valid_from", "2025-13-01"),
        (CommuneRecord, TA_PHIN, "area_m2", "12"),
        (LayerFeatureRecord, mast(0, 1.0), "wkb", "AAAA"),
        (LayerFeatureRecord, mast(0, 1.0), "wkb", "!"),
        # GEOS would follow these on its stack, and the process would end
        (LayerFeatureRecord, mast(0, 1.0), "wkb", nest_shape(1_000_000)),
        (LayerFeatureRecord, mast(0, 1.0), "wkb", nest_shape(1_000_000, kind=6)),
        (LayerFeatureRecord, mast(0, 1.0), "wkb", nest_shape(9)),
        (ChangeVersion, STORM_FOUND, "origins", [1]),
        (Event, EVENT, "is_drill", 0),
        (Comparison, STORM_COMPARED, "doubts", [["live", "trực tiếp"]]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{path.name}", "values": {"path": ""}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{path}", "values": {}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{size:>999999999}", "values": {"size": 1}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{size:.1f}", "values": {"size": "1"}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{part}{part}", "values": {"part": SAID}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{a}" * 9_000, "values": {"a": "x" * 9_000}}]),
        (Comparison, STORM_COMPARED, "doubts", [{**SAID, "vi": 1}]),
        (Comparison, STORM_COMPARED, "doubts", [{**SAID, "vi": "{path}"}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{a}", "values": {"a": 1}, "vi": "{a:>999999999}"}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{a}", "values": {"a": {**SAID, "vi": "{b}"}}}]),
        (
            Comparison,
            STORM_COMPARED,
            "doubts",
            [{"text": "a", "values": {"a": "x" * 9_000}, "vi": "{a}" * 9_000}],
        ),
        (Comparison, STORM_COMPARED, "doubts", [nest_message(9)]),
        (Comparison, STORM_COMPARED, "doubts", [nest_message(9999)]),
    ],
)
def test_a_value_of_another_type_is_refused(kind: Any, record: Any, field: str, value: Any) -> None:
    with pytest.raises(Exception) as refused:
        from_values(kind, {**to_values(record), field: value})
    assert type(refused.value).__module__ in ("builtins", "binascii", "shapely.errors")


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(105.0, 21.0, 300.0),
        shapely.LineString([(105.0, 21.0), (105.1, 21.0)]),
        shapely.box(105.0, 21.0, 105.2, 21.2).difference(shapely.box(105.05, 21.05, 105.1, 21.1)),
        shapely.MultiPolygon([shapely.box(at, 21.0, at + 0.1, 21.1) for at in (105.0, 105.2)]),
        shapely.GeometryCollection([shapely.MultiPoint([(1.0, 2.0), (3.0, 4.0)]), shapely.Point(5.0, 6.0)]),
    ],
    ids=lambda one: one.geom_type,
)
def test_a_shape_of_each_kind_is_read(shape: shapely.Geometry) -> None:
    thing = replace(mast(0, 1.0), wkb=shapely.to_wkb(shape))
    assert from_values(LayerFeatureRecord, to_values(thing)) == thing


@given(st.dictionaries(st.sampled_from(sorted(to_values(AREA))), st.none() | st.text() | st.integers()))
def test_what_lacks_a_field_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_values(RestrictedArea, values)
