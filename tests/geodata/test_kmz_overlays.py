"""A KMZ is read back as KML, with its pictures and outlines, whatever is in a name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import shapely
from defusedxml import ElementTree

from flycam.geodata.kml import GroundOverlay, Placemark, write_kmz

NS = {"k": "http://www.opengis.net/kml/2.2"}


def test_pictures_and_outlines_are_read_back(tmp_path: Path) -> None:
    bounds = (104.79, 21.89, 104.81, 21.91)
    picture = GroundOverlay(
        name="<Nậm Lúc> & trước bão",
        description="Bão số 3",
        picture=b"PNG",
        bounds_lonlat_deg=bounds,
        begin="2024-09-10T03:15:00Z",
        end="2024-09-10T03:16:00Z",
    )
    hole = shapely.box(104.795, 21.895, 104.8, 21.9)
    holed = shapely.box(*bounds).difference(hole)
    marks = [
        Placemark(name="xã", description="", shape=shapely.MultiPolygon([holed])),
        Placemark(name="dấu", description="", shape=shapely.Point(104.8, 21.9)),
    ]
    path = tmp_path / "a.kmz"
    write_kmz(path, "Bão", [picture, picture], marks)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["doc.kml", "files/0.png", "files/1.png"]
        assert archive.read("files/0.png") == b"PNG"
        root = ElementTree.fromstring(archive.read("doc.kml"))
    overlays = root.findall(".//k:GroundOverlay", NS)
    assert [one.findtext("k:name", namespaces=NS) for one in overlays] == [picture.name] * 2
    assert [one.findtext("k:drawOrder", namespaces=NS) for one in overlays] == ["0", "1"]
    box = [
        float(overlays[0].findtext(f".//k:{side}", namespaces=NS))
        for side in ("west", "south", "east", "north")
    ]
    assert np.allclose(box, bounds)
    assert len(root.findall(".//k:outerBoundaryIs", NS)) == 1 == len(root.findall(".//k:innerBoundaryIs", NS))
    assert root.findtext(".//k:Point/k:coordinates", namespaces=NS) == "104.8000000,21.9000000,0"


def test_what_people_wrote_is_text_in_every_viewer(tmp_path: Path) -> None:
    note = '<img src="http://x/y.png">\x01 & 3 người'
    mark = Placemark(name="Đội\x01 1", description=note, shape=shapely.Point(104.8, 21.9))
    write_kmz(tmp_path / "x.kmz", "sự kiện\x01", [], [mark])
    with zipfile.ZipFile(tmp_path / "x.kmz") as archive:
        read = ElementTree.fromstring(archive.read("doc.kml"))
    (description,) = (one.text for one in read.iter() if one.tag.endswith("}description"))
    assert description == "&lt;img src=&quot;http://x/y.png&quot;&gt; &amp; 3 người", "HTML, when it is shown"
