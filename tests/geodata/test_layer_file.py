"""Specialist layers from every format and CRS, and everything that can be wrong with them."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely

from flycam.errors import CrsMissing, LayerInvalid, SourceUnreadable
from flycam.geodata import vector_file
from flycam.geodata.crs import WGS84, transform_points
from flycam.geodata.raster_source import VECTOR_DRIVERS
from flycam.geodata.vector_file import open_checked_vector, read_layer
from flycam.model.board import Condition, LayerKind

LON, LAT = 104.8, 21.9
MASTS = [("Trạm Nậm Lúc", "mất sóng", LON, LAT), ("Trạm Bản Liền", "hoạt động", LON + 0.02, LAT)]
KML = '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{}</Document></kml>'
LINK = "<NetworkLink><Link><href>http://127.0.0.1:9/x.kml</href></Link></NetworkLink>"
PLACEMARK = (
    "<Placemark><name>Trạm A</name><TimeStamp><when>2024-09-10T03:15:00Z</when></TimeStamp>"
    "<Point><coordinates>104.8,21.9,7</coordinates></Point></Placemark>"
)


def check_vector_file(path: Path) -> None:
    with open_checked_vector(path):
        pass


def geojson(path: Path, features: list[tuple[dict[str, Any], Any]]) -> Path:
    items = [{"type": "Feature", "properties": said, "geometry": shape} for said, shape in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}), encoding="utf-8")
    return path


def point(lon: float = LON, lat: float = LAT) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lon, lat]}


def masts(path: Path, driver: str, crs: str | None) -> Path:
    places = np.array([[lon, lat] for _, _, lon, lat in MASTS])
    if crs not in (None, WGS84):
        places = transform_points(places, WGS84, str(crs))
    columns = [np.array([one[k] for one in MASTS], object) for k in (0, 1)]
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(shapely.points(places)),
        field_data=columns,
        fields=["Name" if driver == "KML" else "ten_tram", "tinh_trang"],
        geometry_type="Point",
        crs=crs,
        driver=driver,
        encoding=None if driver == "KML" else "UTF-8",
    )
    return path


@pytest.mark.parametrize(
    ("name", "driver", "crs"),
    [
        ("a.geojson", "GeoJSON", WGS84),
        ("a.gpkg", "GPKG", "EPSG:9208"),
        ("a.shp", "ESRI Shapefile", "EPSG:32648"),
        ("a.kml", "KML", WGS84),
    ],
)
def test_every_format_and_crs_says_the_same(tmp_path: Path, name: str, driver: str, crs: str) -> None:
    found = read_layer(masts(tmp_path / name, driver, crs), LayerKind.MAST).features
    assert [one.name for one in found] == [name for name, *_ in MASTS]
    if driver != "KML":  # its writer keeps extended data only with LIBKML
        assert [one.condition for one in found] == [Condition.NO_SIGNAL, Condition.WORKING]
    assert shapely.get_coordinates([one.geometry for one in found]) == pytest.approx(
        np.array([[lon, lat] for *_, lon, lat in MASTS]), abs=1e-7
    )


def test_a_script_in_a_name_stays_text_and_controls_are_dropped(tmp_path: Path) -> None:
    said = {"name": "<script>alert(1)</script>\u0000\u202e", "status": "x" * 5000}
    (one,) = read_layer(geojson(tmp_path / "a.geojson", [(said, point())]), LayerKind.MAST).features
    assert one.name == "<script>alert(1)</script>"
    assert len(one.status) == 200


def test_broken_geometry_is_repaired_or_left_out_and_said(tmp_path: Path) -> None:
    bow = [[LON, LAT], [LON + 0.01, LAT + 0.01], [LON + 0.01, LAT], [LON, LAT + 0.01], [LON, LAT]]
    features = [
        ({"name": "nơ"}, {"type": "Polygon", "coordinates": [bow]}),
        ({"name": "không hình"}, None),
        ({"name": "tốt"}, point()),
        ({"name": "một điểm"}, {"type": "LineString", "coordinates": [[LON, LAT], [LON, LAT]]}),
    ]
    found = read_layer(geojson(tmp_path / "a.geojson", features), LayerKind.OTHER)
    assert [one.name for one in found.features] == ["nơ", "tốt"]
    assert all(one.geometry.is_valid for one in found.features)
    assert (found.repaired, found.removed) == (1, 2)


def test_a_file_without_crs_is_refused(tmp_path: Path) -> None:
    path = masts(tmp_path / "a.shp", "ESRI Shapefile", "EPSG:32648")
    path.with_suffix(".prj").unlink()
    with pytest.raises(CrsMissing, match=r"^a\.shp: .*\.prj"):
        read_layer(path, LayerKind.MAST)
    with pytest.raises(CrsMissing, match=r"^m\.geojson: .* 417000\.0"):
        read_layer(geojson(tmp_path / "m.geojson", [({}, point(417000.0, 2422000.0))]), LayerKind.MAST)


def test_a_network_link_is_not_followed_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.kml"
    path.write_text(KML.format(LINK), encoding="utf-8")
    with pytest.raises(LayerInvalid, match="NetworkLink"):
        read_layer(path, LayerKind.MAST)
    path.write_text(KML.format(LINK + PLACEMARK), encoding="utf-8")
    found = read_layer(path, LayerKind.MAST)
    assert len(found.features) == 1
    assert "NetworkLink" in str(found.remarks[0])


def test_a_bomb_of_kml_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_file, "MAX_BYTES", 1 << 20)
    path = tmp_path / "a.kmz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", KML.format(PLACEMARK) + " " * (64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(SourceUnreadable, match="would unpack to"):
            read_layer(path, LayerKind.OTHER)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


VRT = (
    '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{}</SrcDataSource></OGRVRTLayer>'
    "</OGRVRTDataSource>"
)


def test_formats_that_name_other_files_are_not_opened_whatever_they_are_called(tmp_path: Path) -> None:
    secret = geojson(tmp_path / "secret.geojson", [({"name": "bí mật"}, point())])
    for name in ("a.vrt", "a.geojson", "a.kml", "a.gpkg"):
        (tmp_path / name).write_text(VRT.format(secret), encoding="utf-8")
        with pytest.raises(SourceUnreadable, match=rf"^{name}: cannot be read"):
            read_layer(tmp_path / name, LayerKind.OTHER)
    for inner in ("a.vrt", "a.kml"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(inner, VRT.format(secret))
        with pytest.raises(SourceUnreadable, match=rf"^a\.zip/{inner}|^a\.zip"):
            read_layer(tmp_path / "a.zip", LayerKind.OTHER)


@contextmanager
def nobody_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address of this machine where no call may arrive."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/secret.geojson"
        with pytest.raises(TimeoutError):
            listener.accept()


VRT_DISGUISED = {
    "comment.kml": "<OGRVRTDataSource><!-- <kml> -->{}",
    "prolog.kml": '<?xml version="1.0"?><!-- <kml> --><OGRVRTDataSource>{}',
    "attribute.kml": '<OGRVRTDataSource a="<kml"><kml/>{}',
    "inside.kml": "<kml><!-- <OGRVRTDataSource> -->{}",
    "bom.kml": "\ufeff <OGRVRTDataSource><kml/>{}",
    "dtd.kml": "<!DOCTYPE kml><OGRVRTDataSource><kml/>{}",
    "line.geojson": '{{"a":1}}\n<OGRVRTDataSource>{}',
    "value.json": '{{"a":"<ogrvrtdatasource>"}}<OGRVRTDataSource>{}',
}


@pytest.mark.parametrize("name", VRT_DISGUISED)
def test_a_vrt_in_disguise_reads_neither_files_nor_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    secret = geojson(tmp_path / "secret.geojson", [({"name": "bí mật"}, point())])
    with nobody_calls(monkeypatch) as address:
        for source in (str(secret), address, f"/vsicurl/{address}"):
            inner = VRT.removeprefix("<OGRVRTDataSource>").format(source).replace('"x"', '"secret"')
            text = VRT_DISGUISED[name].format(inner)
            path = tmp_path / name
            path.write_text(text, encoding="utf-8")
            with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
                archive.writestr(name, text)
            for given in (path, tmp_path / "a.zip"):
                with pytest.raises(SourceUnreadable, match="cannot be read"):
                    read_layer(given, LayerKind.OTHER)


def test_gdal_itself_opens_no_other_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the look at a file's bytes might miss."""
    secret = geojson(tmp_path / "secret.geojson", [({"name": "bí mật"}, point())])
    (tmp_path / "a.kml").write_text(VRT.format(secret).replace('"x"', '"secret"'), encoding="utf-8")
    monkeypatch.setattr(vector_file, "open_checked_vector", nullcontext)
    with pytest.raises(SourceUnreadable):
        read_layer(tmp_path / "a.kml", LayerKind.OTHER)
    script = """
        import sys
        from pathlib import Path
        from flycam.geodata import vector_file
        vector_file.restrict_vector_drivers()
        import pyogrio
        print(sorted(pyogrio.list_drivers()))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(sorted(VECTOR_DRIVERS | {"MEM"}))


@pytest.mark.parametrize(
    "crs",
    [
        '"crs":{"type":"link","properties":{"href":"%s"}}',
        '"CRS" : {"properties":{"url":"%s"},"type":"URL"}',
        '"c\\u0072s":{"type":"l\\u0069nk","properties":{"href":"%s"}}',
    ],
)
def test_an_address_of_a_crs_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crs: str) -> None:
    path = geojson(tmp_path / "a.geojson", [({"name": "a"}, point())])
    with nobody_calls(monkeypatch) as address:
        path.write_text(path.read_text()[:-1] + "," + crs % address + "}")
        with pytest.raises(SourceUnreadable, match=r"^a\.geojson: states its coordinate .* by an address"):
            read_layer(path, LayerKind.MAST)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 broken", b"\x89PNG\r\n", b"ten,lon,lat\nA,104,21", b"{", b'{"a":1}']
)
def test_what_is_none_of_the_formats_is_said_to_be_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.geojson").write_bytes(content)
    with pytest.raises(SourceUnreadable, match=r"^a\.geojson"):
        read_layer(tmp_path / "a.geojson", LayerKind.OTHER)


def geopackage(path: Path, *statements: str) -> Path:
    """A GeoPackage with an index of places, as GDAL writes it, then changed."""
    masts(path, "GPKG", WGS84)
    with closing(sqlite3.connect(path)) as database:
        for name in ("st_minx", "st_maxx", "st_miny", "st_maxy", "st_isempty"):
            database.create_function(name, 1, lambda _: 0)
        for statement in statements:
            database.execute(statement.replace("TABLE_NAME", path.stem))
        database.commit()
    return path


ENDLESS = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS fid, geom FROM c, TABLE_NAME"
)
LISTED = (
    "INSERT INTO gpkg_contents SELECT 'v', data_type, 'v', description, last_change, min_x, min_y, max_x,"
    " max_y, srs_id FROM gpkg_contents WHERE table_name = 'TABLE_NAME'",
    "INSERT INTO gpkg_geometry_columns SELECT 'v', column_name, geometry_type_name, srs_id, z, m FROM"
    " gpkg_geometry_columns WHERE table_name = 'TABLE_NAME'",
)
RUNNING = {
    "view": (f"CREATE VIEW v AS {ENDLESS}", *LISTED),
    "generated": ("ALTER TABLE TABLE_NAME ADD COLUMN large TEXT AS (hex(zeroblob(400000000)))",),
    "virtual": ("CREATE VIRTUAL TABLE v USING fts4(geom)", *LISTED),
    "named rtree": ('CREATE VIRTUAL TABLE "v USING rtree(" USING fts4(geom)',),
}


@pytest.mark.parametrize("name", RUNNING)
def test_a_geopackage_that_would_run_is_refused(tmp_path: Path, name: str) -> None:
    path = geopackage(tmp_path / "a.gpkg", *RUNNING[name])
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "a.gpkg")
    for given in (path, tmp_path / "a.zip"):
        with pytest.raises(SourceUnreadable):
            check_vector_file(given)


def test_more_columns_or_layers_than_a_layer_has_are_refused(tmp_path: Path) -> None:
    wide = geojson(tmp_path / "a.geojson", [({f"k{k}": 1 for k in range(2100)}, point())])
    said = "".join(f'<Data name="k{k}"><value>1</value></Data>' for k in range(2100))
    named = tmp_path / "a.kml"
    placemark = PLACEMARK.replace("<Point>", f"<ExtendedData>{said}</ExtendedData><Point>")
    named.write_text(KML.format(placemark), encoding="utf-8")
    folders = tmp_path / "b.kml"
    every = "".join(f"<Folder><name>f{k}</name>{PLACEMARK}</Folder>" for k in range(600))
    folders.write_text(KML.format(every), encoding="utf-8")
    for path in (wide, named, folders):
        with pytest.raises(SourceUnreadable):
            read_layer(path, LayerKind.MAST)
    turned = ('/* " */', "/* ' */", '// "\n', "'\"':1,", "'\\'\"':1,", r'"\"":1,', '"":"\\\\",')
    for before in turned:  # what might make names be taken for what lies between them
        wide.write_text(wide.read_text()[0] + before + wide.read_text()[1:])
        with pytest.raises(SourceUnreadable, match="columns"):
            check_vector_file(wide)
    some = geojson(tmp_path / "c.geojson", [({f"k{k}": 1 for k in range(300)}, point())])
    assert len(read_layer(some, LayerKind.MAST).features) == 1


def test_text_larger_than_gdal_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.kml"
    path.write_text(KML.format(PLACEMARK) + " " * (65 << 20), encoding="utf-8")
    with pytest.raises(SourceUnreadable):
        check_vector_file(path)


@pytest.mark.parametrize("name", ["a.dbf", "a.gpkg-wal"])
def test_a_pipe_beside_a_layer_is_not_waited_at(tmp_path: Path, name: str) -> None:
    suffix, driver = (".gpkg", "GPKG") if "gpkg" in name else (".shp", "ESRI Shapefile")
    path = masts(tmp_path / f"a{suffix}", driver, WGS84)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    for given in (path, tmp_path):
        with pytest.raises(SourceUnreadable):
            check_vector_file(given)


def test_a_view_in_the_log_beside_what_a_link_leads_to_is_seen(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = geopackage(tmp_path / "real" / "a.gpkg", "PRAGMA journal_mode = wal")
    (tmp_path / "link.gpkg").symlink_to(path)
    with closing(sqlite3.connect(path)) as database:
        assert len(read_layer(tmp_path / "link.gpkg", LayerKind.MAST).features) == 2
        database.execute("CREATE VIEW v AS SELECT 1")
        database.commit()
        with pytest.raises(SourceUnreadable):
            read_layer(tmp_path / "link.gpkg", LayerKind.MAST)


def test_a_folder_or_an_archive_of_layers_is_read(tmp_path: Path) -> None:
    (folder := tmp_path / "b").mkdir()
    masts(folder / "a.shp", "ESRI Shapefile", "EPSG:32648")
    masts(folder / "c.shp", "ESRI Shapefile", WGS84)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, f"Lớp/{part.name.upper()}")
        archive.writestr("__MACOSX/Lớp/._A.SHP", b"nothing")
    for path in (folder, tmp_path / "a.zip"):
        assert len(read_layer(path, LayerKind.MAST).features) == 4
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.writestr("a.kml", KML.format(PLACEMARK * 3))
        archive.writestr("doc.kml", KML.format(PLACEMARK))
        archive.writestr("files/a.png", b"")
    assert len(read_layer(tmp_path / "a.kmz", LayerKind.MAST).features) == 1


def test_a_shapefile_that_names_one_shape_many_times_is_refused(tmp_path: Path) -> None:
    (folder := tmp_path / "b").mkdir()
    path = masts(folder / "a.shp", "ESRI Shapefile", WGS84)
    whole = (folder / "a.shx").read_bytes()
    (folder / "a.shx").write_bytes(whole[:100] + whole[100:108] * 2000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, part.name)
    for given in (path, tmp_path / "a.zip", folder):
        with pytest.raises(SourceUnreadable):
            check_vector_file(given)
    (folder / "a.shx").write_bytes(whole)
    check_vector_file(folder)


def test_a_geopackage_whose_rows_share_one_geometry_is_refused(tmp_path: Path) -> None:
    """Each row leads to the pages of the first: a file of some KB would become as many MB as one likes."""
    path = geopackage(tmp_path / "a.gpkg")
    with closing(sqlite3.connect(path)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("DELETE FROM a")
        database.commit()
        head = "INSERT INTO a (geom) VALUES (?)"
        shape = shapely.to_wkb(shapely.linestrings(np.linspace((LON, LAT), (LON + 1, LAT + 1), 10_000)))
        held = b"GP\0\1" + (4326).to_bytes(4, "little") + shape
        database.execute(head, (held,))
        database.commit()
        whole = path.read_bytes()
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'a'").fetchone()
        database.executemany(head, [(held,)] * 4)
        database.commit()
        (kept,) = database.execute("SELECT LENGTH(geom) FROM a LIMIT 1").fetchone()
    check_vector_file(path)
    page = bytearray(path.read_bytes()[(root - 1) * size : root * size])
    starts = sorted(
        int.from_bytes(page[8 + 2 * k : 10 + 2 * k], "big") for k in range(int.from_bytes(page[3:5], "big"))
    )
    ends = [*starts[1:], size]  # each cell ends with the number of its first page elsewhere
    for end in ends:
        page[end - 4 : end] = page[size - 4 : size]
    shared = bytearray(whole[: (root - 1) * size] + page + whole[root * size :])
    path.write_bytes(shared)
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT geom FROM a").fetchall()
        assert [one == held for (one,) in found] == [True] * 5 and kept == len(held)
    with pytest.raises(SourceUnreadable):
        check_vector_file(path)


GRID = (
    'GEOGCS["a",DATUM["b",SPHEROID["c",6378137,298.257223563],EXTENSION["PROJ4_GRIDS","/a/b"]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)


@pytest.mark.parametrize("name", ["a.shp", "a.zip", "a.gpkg"])
def test_a_layer_whose_system_names_a_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.gpkg":
        geopackage(path, f"UPDATE gpkg_spatial_ref_sys SET organization = 'NONE', definition = '{GRID}'")
    else:
        masts(tmp_path / "a.shp", "ESRI Shapefile", WGS84)
        (tmp_path / "a.prj").write_text(GRID)
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for part in sorted(tmp_path.glob("a.[sdp][!i]*")):
                archive.write(part, part.name)
    with pytest.raises(SourceUnreadable) as failure:
        check_vector_file(path)
    assert ("a.gpkg" if name == "a.gpkg" else "a.prj") in str(failure.value)


@pytest.mark.parametrize(
    "crs",
    [
        '"crs":{"type":"name","properties":{"name":"+proj=longlat +ellps=WGS84 +nadgrids=/a"}}',
        '"crs":{"type":"name","properties":{"name":"+init\\u003d/a:b"}}',
        '"\\u0043\\u0052\\u0053" : {"properties":{"name":"+init=/a:b"},"type":"name"}',
        '"crs"/**/:{"properties":{"name":"+init=/a:b"},"type":"name"}',
        '"crs":{"type":"name",' + " " * 5000 + '"properties":{"name":"+init=/a:b"}}',
        '"crs":{"type":"name","properties":{"x":{},"name":"+init=/a:b"}}',
    ],
)
def test_geojson_that_describes_its_system_is_refused(tmp_path: Path, crs: str) -> None:
    path = geojson(tmp_path / "a.geojson", [({"name": "a"}, point())])
    path.write_text(path.read_text()[:-1] + "," + crs + "}")
    with pytest.raises(SourceUnreadable):
        check_vector_file(path)


def test_geojson_is_looked_at_in_one_go(tmp_path: Path) -> None:
    """Each way in which looking for systems and names might step back, 2 MB of it: it took minutes."""
    systems = ('"crs":{', '"crs":{"a":1,', "'crs'   ", '"crs":{{', '"crs" : {"a":{"b":')
    for text in ('\\"', '"', "'\\", "/*", *systems):
        path = tmp_path / "a.geojson"
        path.write_text('{"type":"FeatureCollection","features":[],"x":' + text * ((2 << 20) // len(text)))
        began = time.process_time()
        with pytest.raises(SourceUnreadable):
            read_layer(path, LayerKind.OTHER)
        assert time.process_time() - began < 30.0
