from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
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
        (ChangeVersion, STORM_FOUND, "origins", [1]),
        (Event, EVENT, "is_drill", 0),
        (Comparison, STORM_COMPARED, "doubts", [["live", "trực tiếp"]]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{path.name}", "values": {"path": ""}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{path}", "values": {}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{size:>999999999}", "values": {"size": 1}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{size:.1f}", "values": {"size": "1"}}]),
        (Comparison, STORM_COMPARED, "doubts", [{"text": "{part}{part}", "values": {"part": SAID}}]),
        (Comparison, STORM_COMPARED, "doubts", [nest_message(9)]),
        (Comparison, STORM_COMPARED, "doubts", [nest_message(9999)]),
    ],
)
def test_a_value_of_another_type_is_refused(kind: Any, record: Any, field: str, value: Any) -> None:
    with pytest.raises(Exception) as refused:
        from_values(kind, {**to_values(record), field: value})
    assert type(refused.value).__module__ in ("builtins", "binascii", "shapely.errors")


@given(st.dictionaries(st.sampled_from(sorted(to_values(AREA))), st.none() | st.text() | st.integers()))
def test_what_lacks_a_field_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_values(RestrictedArea, values)
