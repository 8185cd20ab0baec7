"""Rasters are opened at one door, and none that comes through it makes another file or address be read."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError

from flycam.errors import SourceUnreadable
from flycam.geodata.dem import read_dem_info
from flycam.geodata.raster_source import RASTER_DRIVERS, open_raster
from tests.geodata.dem_files import EAST, NORTH
from tests.geodata.hostile_rasters import (
    HOSTILE,
    NEAR,
    counting_server,
    hostile_raster,
    mosaic,
    plain_dem,
)

REFUSED = (SourceUnreadable, RasterioIOError)
"""Whoever opens a raster makes the second into the first, in words of its own."""

_DRIVERS = """
import rasterio
import flycam.geodata.raster_source
with rasterio.Env() as env:
    print(*sorted(env.drivers()))
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_what_names_other_files_is_refused_and_asks_nobody(tmp_path: Path, name: str) -> None:
    with counting_server() as (address, asked):
        path = hostile_raster(tmp_path / "given", name, address)
        with pytest.raises(REFUSED):
            open_raster(path)
        assert asked == []


def test_gdal_itself_follows_no_address(tmp_path: Path) -> None:
    """Whatever the look at a file might miss."""
    with counting_server() as (address, asked):
        for name in ("inside.tif", "wms.tif", "address.vrt", "streamed.vrt"):
            path = hostile_raster(tmp_path / "given", name, address)
            try:
                with rasterio.open(path) as source:
                    source.read(1, out_shape=(64, 64))
            except rasterio.errors.RasterioError:
                pass
        assert asked == []
    done = subprocess.run([sys.executable, "-c", _DRIVERS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted({*RASTER_DRIVERS, "COG", "MEM", "Memory", "VRT"})


@pytest.mark.parametrize("name", ["/vsicurl/{}/a.tif", "/vsizip/a.zip/a.tif", "GTIFF_DIR:1:a.tif"])
def test_only_a_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    plain_dem(tmp_path / "a.tif")
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.write("a.tif")
    with counting_server() as (address, asked):
        with pytest.raises(REFUSED):
            open_raster(Path(name.format(address)))
        assert asked == []


def test_a_source_that_is_exchanged_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a.vrt"
    path.write_text(mosaic(NEAR.format("tiles/b.tif")), encoding="utf-8")
    (tmp_path / "tiles").mkdir()
    source = plain_dem(tmp_path / "tiles" / "b.tif")
    with open_raster(path) as opened:
        heights = opened.read(1)
    source.write_text(mosaic(NEAR.format("c.tif")), encoding="utf-8")
    with pytest.raises(SourceUnreadable):
        open_raster(path)
    plain_dem(source)
    open_raster(path).close()
    before = source.stat()
    with source.open("r+b") as file:  # the same file, as large, as old
        file.write(mosaic(NEAR.format("c.tif")).encode())
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(SourceUnreadable):
        open_raster(path)
    source.unlink()
    source.symlink_to(plain_dem(tmp_path.parent / f"{tmp_path.name}.tif"))
    with pytest.raises(SourceUnreadable):
        open_raster(path)
    source.unlink()
    plain_dem(source)
    with open_raster(path) as opened:
        assert np.array_equal(opened.read(1), heights)


def test_what_people_put_beside_a_picture_still_counts(tmp_path: Path) -> None:
    """A world file, its coordinate system, overviews, a mask."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 90, np.uint8))
    (tmp_path / "a.pgw").write_text("0.5\n0\n0\n-0.5\n400000\n2420000\n")
    (tmp_path / "a.png.aux.xml").write_text("<PAMDataset><SRS>EPSG:32648</SRS></PAMDataset>")
    with open_raster(tmp_path / "a.png") as source:
        assert source.crs.to_epsg() == 32648
    path = plain_dem(tmp_path / "b.tif")
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as target:
        target.build_overviews([2, 4], Resampling.nearest)
    assert Path(f"{path}.ovr").is_file()
    with open_raster(path) as source:
        assert source.overviews(1) == [2, 4]


def test_a_zipped_hgt_is_read_and_never_unpacked_to_more_than_it_is(tmp_path: Path) -> None:
    heights = (np.arange(1201 * 1201) % 900).astype(">i2").tobytes()
    for name, member, data in (
        ("N21E104.hgt.zip", "N21E104.hgt", heights),
        ("N22E104.hgt.zip", "N22E104.hgt", bytes(256 << 20)),
        ("N23E104.hgt.zip", "../N23E104.hgt", heights),
        ("N24E104.hgt.zip", "N24E104.hgt", mosaic("<SourceFilename>/etc/passwd</SourceFilename>").encode()),
    ):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, data)
    assert read_dem_info(tmp_path / "N21E104.hgt.zip").height_range_m == (0.0, 899.0)
    for name in ("N22E104.hgt.zip", "N23E104.hgt.zip", "N24E104.hgt.zip"):
        with pytest.raises(SourceUnreadable):
            read_dem_info(tmp_path / name)


GRID = (
    'PROJCS["a",GEOGCS["b",DATUM["c",SPHEROID["WGS 84",6378137,298.257223563],'
    'EXTENSION["PROJ4_GRIDS","/a/b"]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",105],PARAMETER["scale_factor",0.9996],'
    'PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1]]'
)
NAMING = {
    "grid": GRID,
    "proj": "+proj=utm +zone=48 +ellps=WGS84 +nadgrids=/a/b +type=crs",
    "second": "+proj=utm +zone=48 +ellps=WGS84 +nadgrids=@null,/a/b +type=crs",
    "init": "+init=/a/b:c",
    "steps": "+proj=pipeline +step +proj=hgridshift +grids=/a/b",
    "json": '{"type": "BoundCRS", "source_crs": {}}',
}


@pytest.mark.parametrize("name", [*NAMING, "escaped", "gcps"])
@pytest.mark.parametrize("ending", [".tif.aux.xml", ".vrt"])
def test_a_coordinate_system_that_names_a_file_is_refused(tmp_path: Path, name: str, ending: str) -> None:
    plain_dem(tmp_path / "a.tif")
    text = escape(NAMING.get(name, GRID), {'"': "&quot;"})
    if name == "escaped":
        text = text.replace("GRIDS", "&#71;RI&#x44;S")
    stated = f"<SRS>{text}</SRS>" if name != "gcps" else f'<GCPList Projection="{text}"></GCPList>'
    if ending == ".vrt":
        text = mosaic(NEAR.format("a.tif")).replace("<SRS>EPSG:32648</SRS>", stated)
    else:
        text = f"<PAMDataset>{stated}</PAMDataset>"
    (tmp_path / f"a{ending}").write_text(text, encoding="utf-8")
    with pytest.raises(SourceUnreadable):
        open_raster(tmp_path / ("a.vrt" if ending == ".vrt" else "a.tif"))


def geo_tiff(path: Path, text: str, *, is_big: bool = False) -> Path:
    """A picture that states where it lies in a text of its GeoTIFF keys."""
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 3072, 0, 1, 32767, 3073, 34737, len(text), 0)
    tags = ImageFileDirectory_v2()
    for tag, kind, value in ((33550, 12, (1.0, 1.0, 0.0)), (34735, 3, keys), (34737, 2, text)):
        tags.tagtype[tag] = kind
        tags[tag] = value
    Image.new("L", (8, 8)).save(path, "TIFF", tiffinfo=tags, big_tiff=is_big)
    return path


@pytest.mark.parametrize("is_big", [False, True])
def test_a_tiff_whose_keys_name_a_file_is_refused(tmp_path: Path, is_big: bool) -> None:
    open_raster(geo_tiff(tmp_path / "a.tif", "WGS 84 / UTM|", is_big=is_big)).close()
    path = geo_tiff(tmp_path / "b.tif", f"ESRI PE String = {GRID}|", is_big=is_big)
    assert (path.read_bytes()[2] == 43) is is_big
    with pytest.raises(SourceUnreadable):
        open_raster(path)


def test_a_jpeg_2000_whose_boxes_name_a_file_is_refused(tmp_path: Path) -> None:
    plain_dem(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as source:
        profile = {"driver": "JP2OpenJPEG", "dtype": "uint8", "width": 256, "height": 256, "count": 1}
        placed = {"crs": source.crs, "transform": source.transform}
    with rasterio.open(tmp_path / "a.jp2", "w", **profile, **placed) as target:
        target.write(np.ones((1, 256, 256), np.uint8))
    with open_raster(tmp_path / "a.jp2") as source:
        assert source.crs.to_epsg() == 32648
    whole = (tmp_path / "a.jp2").read_bytes()
    boxed = struct.pack(">I4s", 8 + len(GRID), b"uuid") + GRID.encode()
    (tmp_path / "b.jp2").write_bytes(whole[:12] + boxed + whole[12:])
    (tmp_path / "c.jp2").write_bytes(whole + boxed)
    longer = struct.pack(">I4sQ", 1, b"free", 16 + 40) + bytes(40)
    (tmp_path / "d.jp2").write_bytes(whole[:12] + longer + boxed + whole[12:])
    with (tmp_path / "e.jp2").open("wb") as file:
        file.write(whole[:12] + struct.pack(">I4s", 8 + (33 << 20), b"free") + bytes(33 << 20) + whole[12:])
    for name in "bcde":
        with pytest.raises(SourceUnreadable):
            open_raster(tmp_path / f"{name}.jp2")
    (tmp_path / "f.jp2").write_bytes(whole[:12] + longer + whole[12:])
    open_raster(tmp_path / "f.jp2").close()


SPARSE = {"driver": "GTiff", "dtype": "float32", "count": 1, "compress": "deflate", "SPARSE_OK": True}
PLACED = {"crs": "EPSG:32648", "transform": rasterio.Affine(1, 0, EAST, 0, -1, NORTH)}


def sparse(path: Path, width: int, height: int, **options: object) -> Path:
    """A GeoTIFF that claims its posts and holds none."""
    with rasterio.open(path, "w", width=width, height=height, **{**SPARSE, **PLACED, **options}):
        pass
    return path


OVERSIZED = {
    "strip.tif": {"width": 50_000, "height": 40_000, "blockysize": 40_000},
    "bands.tif": {
        "width": 4000, "height": 4000, "blockysize": 4000, "count": 2, "interleave": "pixel",
    },
    "vast.tif": {
        "width": 400_000, "height": 400_000, "tiled": True, "blockxsize": 4096, "blockysize": 4096,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OVERSIZED)
def test_a_raster_that_claims_more_than_can_be_unpacked_is_refused(tmp_path: Path, name: str) -> None:
    path = sparse(tmp_path / name, **OVERSIZED[name])
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceUnreadable):
        open_raster(path)


@pytest.mark.parametrize("beside", [".ovr", ".msk", ""])
def test_an_overview_or_a_mask_of_one_block_is_refused(tmp_path: Path, beside: str) -> None:
    path = sparse(tmp_path / "a.tif", 64, 64)
    large = {"width": 10_000, "height": 10_000, "blockysize": 10_000}
    if beside:
        sparse(tmp_path / f"a.tif{beside}", **large)
    else:
        sparse(path, **large, APPEND_SUBDATASET=True)
    with pytest.raises(SourceUnreadable):
        open_raster(path)


def test_strips_tiles_and_pictures_as_programs_write_them_are_read(tmp_path: Path) -> None:
    sparse(tmp_path / "rows.tif", 30_000, 30_000)
    sparse(tmp_path / "strips.tif", 10_000, 5000, blockysize=1000)
    sparse(tmp_path / "tiles.tif", 150_000, 150_000, tiled=True, blockxsize=1024, blockysize=1024)
    for name in ("a.jpg", "a.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((6000, 8000, 3), np.uint8))
    for path in sorted(tmp_path.iterdir()):
        open_raster(path).close()


PIPES = {
    "a.tif": ["a.tif.ovr", "a_RPC.TXT"],
    "LC08_B1.tif": ["LC08_MTL.txt"],
}


@pytest.mark.parametrize(("raster", "name"), [(one, name) for one in PIPES for name in PIPES[one]])
def test_a_pipe_beside_a_raster_is_not_waited_at(tmp_path: Path, raster: str, name: str) -> None:
    path = plain_dem(tmp_path / raster)
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceUnreadable):
        open_raster(path)
