"""The programs that people have: GDAL's drivers (as in QGIS), OWSLib, pystac-client, on a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from flycam.geometry.grid import lonlat_to_mercator
from tests.serve.offering import OPEN_MARK, POLES, VIEWER, Offering
from tests.serve.world import DRILL, LAT, LON, REAL

_TOKEN = {"Authorization": f"Bearer {VIEWER}"}
_AUTHORIZATION = f"Authorization: Bearer {VIEWER}"


def library(name: str) -> ModuleType:
    """The client, or the test is skipped; in CI it has to be there."""
    if os.environ.get("CI"):
        return __import__(name, fromlist=["_"])
    return pytest.importorskip(name)  # type: ignore[no-any-return]


_READ_FEATURES = """
import json, sys
import pyogrio
service, token, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
pyogrio.set_gdal_config_options({"GDAL_HTTP_AUTH": "BEARER", "GDAL_HTTP_BEARER": token})
if asked and "bbox" in asked:
    asked["bbox"] = tuple(asked["bbox"])
if asked is None:
    print(json.dumps(sorted(name for name, _ in pyogrio.list_layers(service))))
else:
    meta, _, shapes, fields = pyogrio.raw.read(service, **asked)
    columns = {name: [str(one) for one in field] for name, field in zip(meta["fields"], fields)}
    print(json.dumps({"crs": meta["crs"], "count": len(shapes), **columns}))
"""


_READ_PICTURE = """
import json, sys
import rasterio
name, authorization, at = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with rasterio.Env(GDAL_HTTP_HEADERS=authorization, GDAL_ENABLE_WMS_CACHE="NO"), rasterio.open(name) as opened:
    told = {"layers": opened.subdatasets}
    if opened.count:
        told |= {"epsg": opened.crs.to_epsg(), "bands": opened.count}
        told |= {"res": opened.res, "bounds": opened.bounds}
        row, column = opened.index(*at) if at else (4, 4)
        window = rasterio.windows.Window(column, row, 1, 1)
        told["pixel"] = opened.read(window=window)[:, 0, 0].tolist()
print(json.dumps(told))
"""


def gdal_features(service: str, **asked: Any) -> Any:
    """What GDAL's driver reads, in a process of its own: in this one flycam lets it open files alone."""
    return _read_apart(_READ_FEATURES, service, VIEWER, json.dumps(asked or None))


def gdal_picture(name: str, at: tuple[float, float] | None = None) -> Any:
    """The same of a picture: its layers, or its place and the pixel at a place of its CRS."""
    return _read_apart(_READ_PICTURE, name, _AUTHORIZATION, json.dumps(at))


def _read_apart(program: str, *arguments: str) -> Any:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_gdal_reads_the_mosaic_as_wmts(offered_at: str, offering: Offering) -> None:
    document = f"WMTS:{offered_at}/wmts/1.0.0/WMTSCapabilities.xml"
    layers = gdal_picture(document)["layers"]
    assert {one.rpartition("=")[2] for one in layers} == {offering.mosaic, f"{offering.world.drill}-colour"}
    x, y = lonlat_to_mercator(np.array([[LON + 0.004, LAT - 0.003]]))[0].tolist()
    opened = gdal_picture(f"{document},layer={offering.mosaic}", (x, y))
    assert (opened["epsg"], opened["bands"]) == (3857, 4)
    *rgb, alpha = opened["pixel"]
    assert alpha == 255 and any(rgb)


def _limits(wmts: Any, offering: Offering) -> Any:
    return wmts.contents[offering.mosaic].tilematrixsetlinks["WebMercatorQuad"].tilematrixlimits


def test_gdal_reads_features(offered_at: str, offering: Offering) -> None:
    service = f"OAPIF:{offered_at}/ogc"
    # and no mosaic, which has no features
    assert gdal_features(service) == sorted(["flights", "communes", "marks", offering.layer])
    flights = gdal_features(service, layer="flights")
    assert (flights["crs"], flights["count"]) == ("EPSG:4326", 2)
    assert set(flights["id"]) == {offering.world.after, offering.world.drill}
    assert sorted(flights["is_drill"]) == ["False", "True"]
    box = (LON - 0.005, LAT - 0.008, LON, LAT - 0.007)
    assert gdal_features(service, layer="communes", bbox=box)["name"] == ["Nậm Lúc"]
    assert gdal_features(service, layer=offering.layer, PAGE_SIZE="3")["count"] == POLES + 1


def test_owslib_reads_wmts_and_features(offered_at: str, offering: Offering) -> None:
    wmts = library("owslib.wmts").WebMapTileService(f"{offered_at}/wmts", headers=_TOKEN)
    limits = _limits(wmts, offering)["18"]
    tile = wmts.gettile(
        layer=offering.mosaic,
        tilematrixset="WebMercatorQuad",
        tilematrix="18",
        row=limits.mintilerow + 1,
        column=limits.mintilecol + 1,
        format="image/png",
    )
    assert tile.read()[:4] == b"\x89PNG"
    features = library("owslib.ogcapi.features").Features(f"{offered_at}/ogc", headers=_TOKEN)
    assert features.feature_collections() == ["flights", "communes", "marks", offering.layer]
    found = features.collection_items(
        "flights", bbox=[LON, LAT - 0.01, LON + 0.01, LAT], datetime="2024-09-10"
    )
    assert [one["id"] for one in found["features"]] == [offering.world.after]
    assert features.collection_item("marks", OPEN_MARK)["id"] == OPEN_MARK


def test_pystac_client_searches_and_walks(offered_at: str, offering: Offering) -> None:
    client = library("pystac_client").Client.open(f"{offered_at}/stac", headers=_TOKEN)
    assert {one.id for one in client.get_collections()} == {REAL, DRILL}
    for method in ("GET", "POST"):
        search = client.search(limit=1, method=method)
        assert [one.id for one in search.items()] == [
            f"{offering.world.drill}-colour-r0",
            f"{offering.mosaic}-r2",
            f"{offering.mosaic}-r0",
        ]
        assert search.matched() == 3
    (item,) = client.search(ids=[f"{offering.mosaic}-r2"], collections=[REAL]).items()
    assert item.collection_id == REAL and item.common_metadata.start_datetime.year == 2024
    assert {one.id for one in client.get_collection(REAL).get_items()} == {item.id, f"{offering.mosaic}-r0"}
    assert "profile=cloud-optimized" in item.assets["cog-99000"].media_type
