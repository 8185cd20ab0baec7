"""Rasters that name other files and addresses, and a server that counts who follows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import rasterio

from tests.geodata.dem_files import EAST, NORTH, ground, write_dem

SIDE = 1024
"""Posts a side: so many that a thinned look asks for overviews."""

_PLACE = f"<SRS>EPSG:32648</SRS><GeoTransform>{EAST - 5}, 10, 0, {NORTH + 5}, 0, -10</GeoTransform>"
_FILE = '<SourceFilename relativeToVRT="0">{}</SourceFilename>'
NEAR = '<SourceFilename relativeToVRT="1">{}</SourceFilename>'
_SOURCE = "<SimpleSource>{}<SourceBand>1</SourceBand></SimpleSource>"
_RAW = (
    '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">{}<ImageOffset>0</ImageOffset>'
    "<PixelOffset>1</PixelOffset><LineOffset>0</LineOffset></VRTRasterBand>"
)
_PYTHON = (
    '<VRTRasterBand dataType="Float32" band="1" subClass="VRTDerivedRasterBand"><PixelFunctionType>f'
    "</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode>"
    "def f(a, out, *rest): out[:] = 7</PixelFunctionCode>{}</VRTRasterBand>"
)
_WMS = (
    '<GDAL_WMS><Service name="TMS"><ServerUrl>{}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service><DataWindow>'
    "<UpperLeftX>11600000</UpperLeftX><UpperLeftY>2500000</UpperLeftY><LowerRightX>11700000</LowerRightX>"
    "<LowerRightY>2400000</LowerRightY><TileLevel>2</TileLevel><TileCountX>1</TileCountX>"
    "<TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>"
    "<BandsCount>1</BandsCount><DataType>Float32</DataType></GDAL_WMS>"
)
_TWICE = _SOURCE.replace("<SimpleSource>", '<SimpleSource SourceFilename="/etc/passwd">')
_OVERVIEW = f"<Overview>{_FILE}</Overview>{_SOURCE.replace('{}', '{{}}')}"
_TILE = "N21E104.hgt"
"""What is taken for heights by its name and its size alone."""

_PAM = '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{}</MDI></Metadata></PAMDataset>'


def vrt(band: str, kind: str = "") -> str:
    """A VRT of one band at the place of `dem_files`."""
    return f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"{kind}>{_PLACE}{band}</VRTDataset>'


def mosaic(named: str, source: str = _SOURCE) -> str:
    """A VRT of one source: `named` is its `SourceFilename` element."""
    return vrt(f'<VRTRasterBand dataType="Float32" band="1">{source.format(named)}</VRTRasterBand>')


def plain_dem(path: Path) -> Path:
    """Terrain of SIDE × SIDE posts."""
    return write_dem(path, ground(SIDE, SIDE), tags={"VERTICAL_DATUM": "EGM96"})


HOSTILE = (
    "vrt.tif", "N21E104.hgt", "wms.tif", "raw.tif", "address.vrt", "streamed.vrt", "wms.vrt", "raw.vrt",
    "absolute.vrt", "above.vrt", "linked.vrt", "nested.vrt", "attribute.vrt", "overview.vrt", "python.vrt",
    "warped.vrt", "entity.vrt", "inside.tif", "inline.tif", "beside.tif", "mask.tif", "aux.tif", "source.vrt",
    "tile.vrt", "tile-afar.vrt", "tile-beside.vrt", "spaced.vrt",
)  # fmt: skip
"""What there is of them, by the name of the file."""


def hostile_raster(folder: Path, name: str, address: str) -> Path:
    """One of HOSTILE in a folder. What it follows is an address, or a file outside: a raster, or any file."""
    outside = plain_dem(folder.parent / f"{folder.name}-outside.tif")
    (secret := folder.parent / f"{folder.name}-secret.txt").write_text("bí mật " * 400, encoding="utf-8")
    folder.mkdir(exist_ok=True)
    near, path = plain_dem(folder / "near.tif"), folder / name
    afar, raw = mosaic(_FILE.format(f"/vsicurl/{address}/a.tif")), vrt(_RAW.format(_FILE.format(secret)))
    texts = {
        "vrt.tif": afar,
        "N21E104.hgt": afar,
        "wms.tif": _WMS.format(address),
        "raw.tif": raw,
        "address.vrt": afar,
        "streamed.vrt": mosaic(_FILE.format(f"/vsicurl_streaming/{address}/a.tif")),
        "wms.vrt": _WMS.format(address),
        "raw.vrt": raw,
        "absolute.vrt": mosaic(_FILE.format(outside)),
        "above.vrt": mosaic(NEAR.format(f"../{outside.name}")),
        "linked.vrt": mosaic(NEAR.format("link.tif")),
        "nested.vrt": mosaic(NEAR.format("inner.vrt")),
        "attribute.vrt": mosaic(NEAR.format(near.name), _TWICE),
        "overview.vrt": mosaic(NEAR.format(near.name), _OVERVIEW.format(outside)),
        "python.vrt": vrt(_PYTHON.format(_SOURCE.format(NEAR.format(near.name)))),
        "warped.vrt": vrt(
            f"<GDALWarpOptions><SourceDataset>{outside}</SourceDataset></GDALWarpOptions>",
            ' subClass="VRTWarpedDataset"',
        ),
        "entity.vrt": f'<!DOCTYPE a [<!ENTITY b "near">]>{mosaic(NEAR.format("&b;.tif"))}',
        "source.vrt": mosaic(NEAR.format("b.tif")),
        "tile.vrt": mosaic(NEAR.format(_TILE)),
        "tile-afar.vrt": mosaic(NEAR.format(_TILE)),
        "tile-beside.vrt": mosaic(NEAR.format(f"{vrt('')}/b.tif".replace("<", "&lt;"))),
        "spaced.vrt": mosaic(NEAR.format("near.tif ")),
    }
    if name in texts:
        path.write_text(texts[name], encoding="utf-8")
    else:
        plain_dem(path)
    match name:
        case "linked.vrt":
            (folder / "link.tif").symlink_to(outside)
        case "nested.vrt":
            (folder / "inner.vrt").write_text(mosaic(NEAR.format(near.name)), encoding="utf-8")
        case "source.vrt":
            (folder / "b.tif").write_text(afar, encoding="utf-8")
        case "tile.vrt" | "tile-afar.vrt":
            text = raw if name == "tile.vrt" else afar
            (folder / _TILE).write_bytes(b"\n" + text.encode().ljust(1201 * 1201 * 2 - 1))
        case "tile-beside.vrt":
            (below := folder / vrt("")).mkdir(parents=True)
            (below / "b.tif").write_bytes(near.read_bytes())
        case "spaced.vrt":
            (folder / "near.tif ").write_bytes(near.read_bytes())
        case "inside.tif" | "inline.tif":
            named = f"/vsicurl/{address}/a.tif" if name == "inside.tif" else afar
            with rasterio.open(path, "r+") as target:
                target.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=named)
        case "beside.tif":
            (folder / "beside.tif.ovr").write_text(afar, encoding="utf-8")
        case "mask.tif":
            (folder / "mask.tif.msk").write_text(raw, encoding="utf-8")
        case "aux.tif":
            text = _PAM.format(f"/vsicurl/{address}/a.tif")
            (folder / "aux.tif.aux.xml").write_text(text, encoding="utf-8")
    return path


@contextmanager
def counting_server() -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths that it was asked for: it has none of them."""
    asked: list[str] = []

    class Counting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 - as the server calls it

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
