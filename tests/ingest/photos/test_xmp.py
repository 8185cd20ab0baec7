"""XMP packets: prefixes by namespace, attributes and elements, bombs and broken packets."""

from __future__ import annotations

import pytest

from flycam.ingest.photos.xmp import read_xmp
from tests.ingest.photos.handmade import DJI_SPACE, PIX4D_SPACE, SKYDIO_SPACE, dji_xmp, xmp_packet


def test_attributes_and_elements_are_the_same() -> None:
    one = xmp_packet({"drone-dji": DJI_SPACE}, {"drone-dji:GimbalYawDegree": "+45.00"})
    other = xmp_packet(
        {"drone-dji": DJI_SPACE}, {}, "<drone-dji:GimbalYawDegree>+45.00</drone-dji:GimbalYawDegree>"
    )
    assert read_xmp([one])[0] == read_xmp([other])[0] == {"drone-dji:GimbalYawDegree": "+45.00"}


@pytest.mark.parametrize("prefix", ["drone-dji", "a", "Camera"])
def test_the_address_decides_not_the_prefix(prefix: str) -> None:
    values, _ = read_xmp([xmp_packet({prefix: DJI_SPACE}, {f"{prefix}:RtkFlag": "50"})])
    assert values == {"drone-dji:RtkFlag": "50"}


def test_lists_become_text() -> None:
    bands = "<Camera:BandName><rdf:Seq><rdf:li>Red</rdf:li><rdf:li>NIR</rdf:li></rdf:Seq></Camera:BandName>"
    values, _ = read_xmp([xmp_packet({"Camera": PIX4D_SPACE}, {}, bands)])
    assert values == {"Camera:BandName": "Red, NIR"}


@pytest.mark.parametrize(
    "written",
    [
        '<s:CameraOrientationNED rdf:parseType="Resource"><s:Pitch>-7.5</s:Pitch></s:CameraOrientationNED>',
        '<s:CameraOrientationNED s:Pitch="-7.5"/>',
        '<s:CameraOrientationNED><rdf:Description s:Pitch="-7.5"/></s:CameraOrientationNED>',
        "<s:CameraOrientationNED><rdf:Description><s:Pitch>-7.5</s:Pitch></rdf:Description></s:CameraOrientationNED>",
    ],
)
def test_parts_of_a_structure_are_named_by_it(written: str) -> None:
    values, _ = read_xmp([xmp_packet({"s": SKYDIO_SPACE}, {}, written)])
    assert values["drone-skydio:CameraOrientationNEDPitch"] == "-7.5"


def test_first_packet_wins() -> None:
    values, _ = read_xmp([dji_xmp(RtkFlag=50), dji_xmp(RtkFlag=0, GimbalRollDegree=1)])
    assert values == {"drone-dji:RtkFlag": "50", "drone-dji:GimbalRollDegree": "1"}


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description
xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" drone-dji:RtkFlag="50">&d;</rdf:Description>
</rdf:RDF></x:xmpmeta>"""
OUTSIDE = BOMB.replace(b'<!ENTITY a "aaaaaaaaaa">', b'<!ENTITY a SYSTEM "file:///etc/hostname">')


@pytest.mark.parametrize("packet", [BOMB, OUTSIDE, BOMB[:-20], b"<!DOCTYPE x><" + BOMB])
def test_entities_are_ignored_whole_and_said(packet: bytes) -> None:
    values, remarks = read_xmp([packet])
    assert values == {}
    assert len(remarks) == 1


@pytest.mark.parametrize("packet", [b"", b"<_/>", b"<_></_>"])
def test_a_packet_without_values_is_said_to_be_so(packet: bytes) -> None:
    values, remarks = read_xmp([packet])
    assert values == {}
    assert len(remarks) == 1


def test_a_broken_packet_is_read_by_pattern_and_said() -> None:
    whole = dji_xmp(GimbalYawDegree="+45.00", Note="a & b", GimbalPitchDegree="-90.00")
    values, remarks = read_xmp([whole])
    assert values["drone-dji:GimbalYawDegree"] == "+45.00"
    assert values["drone-dji:GimbalPitchDegree"] == "-90.00"
    assert len(remarks) == 1
