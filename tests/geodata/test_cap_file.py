"""CAP as the standard has it: what is written is allowed, and the checker would see what is not."""

from __future__ import annotations

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.geodata.kml import CapEvent, encode_cap_alert
from tests.geodata.cap_schema import cap_faults

HOLED = shapely.MultiPolygon(
    [
        shapely.box(104.8, 21.9, 104.81, 21.91) - shapely.box(104.802, 21.902, 104.804, 21.904),
        shapely.box(104.82, 21.9, 104.83, 21.91),
    ]
)
texts = st.text(max_size=30)


def place(words: str = "Sạt lở", geocode: str = "99000", category: str = "Geo") -> CapEvent:
    return CapEvent(
        shape=HOLED,
        event=words,
        category=category,
        certainty="Observed",
        description=words,
        area=words,
        geocode=geocode,
    )


MESSAGE = encode_cap_alert("flycam-1", "Lào Cai, box", 10**18, "Bản nháp", [place(), place()], is_drill=False)


@given(texts, texts, texts, st.booleans(), st.integers(0, 4 * 10**18))
def test_whatever_is_said_the_message_is_allowed(
    sender: str, words: str, geocode: str, is_drill: bool, sent_ns: int
) -> None:
    places = [place(words, geocode, category) for category in ("Geo", "Met", "Other")]
    assert cap_faults(encode_cap_alert("flycam-1", sender, sent_ns, words, places, is_drill=is_drill)) == []
    assert cap_faults(encode_cap_alert("flycam-1", sender, sent_ns, words, [], is_drill=is_drill)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"<status>Draft</status>", b"", "alert/status: is there 0 times"),
        (b"<status>Draft</status>", b"<status>Nh\xc3\xa1p</status>", "alert/status: 'Nháp'"),
        (b"<scope>Restricted</scope>", b"", "alert/scope"),
        (b"<note>", b"<note/><note>", "alert/note: is there 2 times"),
        (b"<msgType>Alert</msgType><scope>", b"<scope>", "alert/msgType"),
        (b"<restriction>B\xe1\xba\xa3n nh\xc3\xa1p</restriction>", b"", "Restricted without restriction"),
        (b"<identifier>flycam-1<", b"<identifier>fly cam<", "alert/identifier"),
        (b"+07:00</sent>", b"Z</sent>", "alert/sent"),
        (b"<urgency>Unknown</urgency>", b"", "alert/info/urgency"),
        (b"<event>", b"<headline/><event>", "is a sequence"),
        (b"<category>Geo<", b"<category>Landslide<", "alert/info/category"),
        (b"<areaDesc>", b"<where>x</where><areaDesc>", "does not know"),
        (b"<polygon>21.9", b"<polygon>99.9", "alert/info/area/polygon"),
        (b" 21.900000,104.800000</polygon>", b"</polygon>", "alert/info/area/polygon"),
        (b"<valueName>commune</valueName>", b"", "alert/info/area/geocode/valueName"),
        (b"<areaDesc>", b'<areaDesc lang="vi">', "alert/info/area/areaDesc"),
        (b"</geocode>", b"</geocode><ceiling>9</ceiling>", "a ceiling without an altitude"),
        (b"cap:1.2", b"cap:1.1", "is no alert"),
    ],
)
def test_the_checker_sees_what_is_not_allowed(old: bytes, new: bytes, said: str) -> None:
    assert old in MESSAGE
    assert any(said in fault for fault in cap_faults(MESSAGE.replace(old, new)))
