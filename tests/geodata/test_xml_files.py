"""KMZ and CAP hold whatever people wrote, and stay files that others open."""

from __future__ import annotations

from unicodedata import category

import defusedxml.ElementTree
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from flycam.geodata.kml import CapEvent, encode_cap_alert, escape_xml

SHAPE = shapely.MultiPolygon(
    [shapely.box(104.8, 21.9, 104.81, 21.91) - shapely.box(104.802, 21.902, 104.804, 21.904)]
)
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
KML = "{http://www.opengis.net/kml/2.2}"
texts = st.text(max_size=30)


def _kept(text: str) -> str:
    """What of a text XML can hold, control characters apart."""
    return "".join(c for c in text if c in "\n\t" or not (category(c) in ("Cc", "Cs") or c in "\ufffe\uffff"))


@given(texts)
@example('<b>&amp;"\x00\ud800]]>')
def test_text_is_read_back_as_it_was_written(text: str) -> None:
    root = defusedxml.ElementTree.fromstring(f'<a b="{escape_xml(text)}">{escape_xml(text)}</a>')
    assert (root.text or "") == _kept(text)


@given(texts, texts, st.booleans())
def test_cap_is_read_and_never_actual(sender: str, words: str, is_drill: bool) -> None:
    place = CapEvent(
        shape=SHAPE,
        event=words,
        category="Geo",
        certainty="Observed",
        description=words,
        area=words,
        geocode="",
    )
    root = defusedxml.ElementTree.fromstring(
        encode_cap_alert("flycam-1", sender, 0, words, [place], is_drill=is_drill)
    )
    assert root.findtext(f"{CAP}status") == ("Exercise" if is_drill else "Draft")
    said = root.findtext(f"{CAP}sender", "")
    assert said and not set(said) & set(" ,<&\n\t")
    assert (root.findtext(f"{CAP}info/{CAP}description") or "") == _kept(words)


@pytest.mark.parametrize("is_drill", [False, True])
def test_a_cap_polygon_has_latitude_first_and_is_closed(is_drill: bool) -> None:
    place = CapEvent(
        shape=SHAPE,
        event="Sạt lở",
        category="Geo",
        certainty="Observed",
        description="",
        area="",
        geocode="1",
    )
    root = defusedxml.ElementTree.fromstring(
        encode_cap_alert("flycam-1", "box", 0, "", [place], is_drill=is_drill)
    )
    (ring,) = [one.text.split() for one in root.iter(f"{CAP}polygon")]
    assert ring[0] == ring[-1] and len(ring) == 5, "the hole is left out: the area named is never too small"
    assert all(21.8 < float(pair.split(",")[0]) < 22.0 for pair in ring)
