from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.shutil import exists

from flycam.catalog.catalog import Catalog
from flycam.errors import CrsMissing, NotFound, ObjectMissing
from flycam.geodata.crs import transform_points
from flycam.geometry.grid import compute_ground_pixel_m
from flycam.mosaic.raster import export_cog
from flycam.storage.stores import MemoryStore
from tests.geodata.rasters import Raster, read_raster
from tests.mosaic.test_area_coverage import MIDDLE, square
from tests.mosaic.tiles.ground import LAT, MOSAIC, WORK_CRS, ZOOM, colour_of, fine_colour_of, written

GSD = 0.5


@pytest.fixture
def mosaic(tmp_path: Path) -> tuple[MemoryStore, Catalog]:
    store = MemoryStore()
    return store, written(store, tmp_path)


def positions(raster: Raster) -> np.ndarray:
    """Work CRS metres of every pixel centre (corner plus half a pixel)."""
    rows, cols = np.indices(raster.mask.shape)
    a, _, c, _, e, f = raster.transform
    xy = np.stack([c + (cols + 0.5) * a, f + (rows + 0.5) * e], -1)
    return transform_points(xy, raster.crs, WORK_CRS)


@pytest.mark.parametrize("crs", [WORK_CRS, "EPSG:3857", "EPSG:4326", "EPSG:9208"])
def test_every_pixel_lies_where_it_says(
    crs: str, mosaic: tuple[MemoryStore, Catalog], tmp_path: Path
) -> None:
    store, catalog = mosaic
    done = export_cog(store, catalog.tiles, MOSAIC, tmp_path / "out.tif", crs=crs, gsd_m=GSD)
    raster = read_raster(done.path)
    at = positions(raster)
    inside = np.hypot(*np.moveaxis(at - MIDDLE, -1, 0)) < 58
    assert (raster.mask[inside] == 255).all()
    error = np.abs(raster.pixels.astype(float) - colour_of(at))[inside]
    # half a pixel of shift would change these colours by up to 2.8 grey levels, 1.6 on average
    assert error.mean() < 0.5
    assert np.abs((raster.pixels - colour_of(at))[inside].mean(axis=0)).max() < 0.15
    # the discs span 260 m by 120 m, and the picture is cut to them
    rows, cols = raster.mask.shape
    assert (at[0, -1, 0] - at[0, 0, 0]) == pytest.approx(260, abs=15)
    assert done.shape_px == (rows, cols)


def test_a_coarse_export_is_taken_from_the_parents(
    mosaic: tuple[MemoryStore, Catalog], tmp_path: Path
) -> None:
    store, catalog = mosaic
    for head in catalog.tiles.heads(MOSAIC.mosaic_id, 0, z=ZOOM):
        store.delete(head.key)
    coarse = 2.05 * compute_ground_pixel_m(ZOOM, LAT)
    done = export_cog(store, catalog.tiles, MOSAIC, tmp_path / "c.tif", crs=WORK_CRS, gsd_m=coarse)
    raster = read_raster(done.path)
    at = positions(raster)
    inside = np.hypot(*np.moveaxis(at - MIDDLE, -1, 0)) < 55
    assert np.abs(raster.pixels - colour_of(at))[inside].mean() < 2
    with pytest.raises(ObjectMissing):
        export_cog(store, catalog.tiles, MOSAIC, tmp_path / "f.tif", crs=WORK_CRS, gsd_m=GSD)
    assert not (tmp_path / "f.tif").exists()


@pytest.mark.parametrize(("gsd_m", "least", "most"), [(GSD, 0.9, 1.05), (1.05, -0.15, 0.15)])
def test_what_is_fine_is_kept_and_what_is_too_fine_is_no_pattern(
    gsd_m: float, least: float, most: float, tmp_path: Path
) -> None:
    """Waves of 3 pixels of the file are shown in full, of 1.5 pixels not at all, nor any alias of them."""
    store = MemoryStore()
    catalog = written(store, tmp_path, fine_colour_of)
    done = export_cog(store, catalog.tiles, MOSAIC, tmp_path / "o.tif", crs=WORK_CRS, gsd_m=gsd_m)
    raster = read_raster(done.path)
    at = positions(raster)
    inside = np.hypot(*np.moveaxis(at - MIDDLE, -1, 0)) < 50
    shown, true = (pixels[inside] - 127.0 for pixels in (raster.pixels, fine_colour_of(at)))
    share = (shown * true).mean(axis=0) / np.square(true).mean(axis=0)
    assert share.min() > least
    assert share.max() < most
    left = shown - share * true
    assert left.std() < 6.0


def test_clipped_to_a_boundary(mosaic: tuple[MemoryStore, Catalog], tmp_path: Path) -> None:
    store, catalog = mosaic
    done = export_cog(
        store,
        catalog.tiles,
        MOSAIC,
        tmp_path / "clip.tif",
        crs=WORK_CRS,
        gsd_m=GSD,
        polygon=square(-20, -30, 40, 60),
        tags={"FLYCAM_DRILL": "DIỄN TẬP"},
    )
    raster = read_raster(done.path)
    assert raster.tags["FLYCAM_DRILL"] == "DIỄN TẬP"
    assert raster.mask.astype(bool).sum() * GSD**2 == pytest.approx(40 * 60, rel=0.01)
    at = positions(raster)[raster.mask > 0] - MIDDLE
    assert np.allclose([at.min(axis=0), at.max(axis=0)], [[-20, -30], [20, 30]], atol=0.6)
    assert not raster.pixels[raster.mask == 0].any()


def test_nothing_there_is_said_and_leaves_no_file(
    mosaic: tuple[MemoryStore, Catalog], tmp_path: Path
) -> None:
    store, catalog = mosaic
    for polygon in (square(5000, 0, 50, 50), square(-59, 50, 8, 8)):
        with pytest.raises(NotFound, match="boundary"):
            export_cog(
                store, catalog.tiles, MOSAIC, tmp_path / "n.tif", crs=WORK_CRS, gsd_m=GSD, polygon=polygon
            )
    with pytest.raises(CrsMissing):
        export_cog(store, catalog.tiles, MOSAIC, tmp_path / "n.tif", crs="EPSG:1", gsd_m=GSD)
    assert not exists(str(tmp_path / "n.tif"))
    assert not [p for p in tmp_path.iterdir() if p.suffix in (".tif", ".part")]
