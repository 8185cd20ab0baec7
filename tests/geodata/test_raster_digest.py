"""What makes a picture itself: its bytes, and those that a virtual one names."""

from __future__ import annotations

import shutil
from pathlib import Path

from rasterio.shutil import copy

from flycam.geodata.raster import compute_raster_digest
from tests.change.compared import picture
from tests.change.ground import ground


def test_a_copy_is_the_same_and_a_file_of_the_same_name_is_not(tmp_path: Path) -> None:
    files = []
    for seed in (1, 2):
        (folder := tmp_path / f"d{seed}").mkdir()
        files.append(picture(folder / "odm_orthophoto.tif", ground(seed, 64)))
    one, other = files
    assert compute_raster_digest(one) != compute_raster_digest(other)
    renamed = Path(shutil.copy(one, tmp_path / "another.tif"))
    Path(f"{renamed}.aux.xml").write_text("<PAMDataset/>")
    assert compute_raster_digest(renamed) == compute_raster_digest(one)


def test_a_virtual_picture_is_what_it_names(tmp_path: Path) -> None:
    whole = picture(tmp_path / "whole.tif", ground(1, 64))
    copy(whole, tmp_path / "v.vrt", driver="VRT")
    first = compute_raster_digest(tmp_path / "v.vrt")
    text = (tmp_path / "v.vrt").read_bytes()
    picture(whole, ground(2, 64))
    assert (tmp_path / "v.vrt").read_bytes() == text
    assert compute_raster_digest(tmp_path / "v.vrt") != first
