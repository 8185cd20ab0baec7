"""COGs: what goes in comes out, in windows as in one piece, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from flycam.geodata.raster import BLOCK_PX, CogWriter
from tests.geodata.rasters import read_raster

UTM = "EPSG:32648"
TRANSFORM = (0.15, 0.0, 400_000.0, 0.0, -0.15, 2_420_000.0)


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    rgb = rng.integers(1, 255, (BLOCK_PX * 2 + 77, BLOCK_PX + 300, 3), dtype=np.uint8)
    mask = np.zeros(rgb.shape[:2], bool)
    mask[40:-40, 60:-60] = True
    rgb[~mask] = 0
    return rgb, mask


def test_windows_in_any_order_make_the_same_picture(
    tmp_path: Path, picture: tuple[np.ndarray, np.ndarray]
) -> None:
    rgb, mask = picture
    windows = [(r, c) for r in range(0, rgb.shape[0], BLOCK_PX) for c in range(0, rgb.shape[1], BLOCK_PX)]
    with CogWriter(tmp_path / "w.tif", shape_px=rgb.shape[:2], transform=TRANSFORM, crs=UTM) as writer:
        for r, c in windows[::-1]:
            s = np.s_[r : r + BLOCK_PX, c : c + BLOCK_PX]
            writer.write(r, c, rgb[s], mask[s])
    assert np.array_equal(read_raster(tmp_path / "w.tif").pixels, rgb)


def test_trouble_half_way_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "o.tif"
    path.write_bytes(b"the old one")
    with (
        pytest.raises(RuntimeError, match="power"),
        CogWriter(path, shape_px=(600, 600), transform=TRANSFORM, crs=UTM) as writer,
    ):
        writer.write(0, 0, np.ones((512, 512, 3), np.uint8), np.ones((512, 512)))
        raise RuntimeError("power")
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["o.tif"]


@pytest.mark.parametrize("limit_kb", [64, 900])
def test_a_disk_that_takes_no_more_is_a_typed_error_and_leaves_nothing(tmp_path: Path, limit_kb: int) -> None:
    """A file-size limit stands in for the full disk: the write fails early, at closing, or in the copy."""
    code = f"""
        import resource, signal, numpy as np
        from pathlib import Path
        from flycam.errors import StorageFailed
        from flycam.geodata.raster import write_cog
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_kb * 1024}, {limit_kb * 1024}))
        rgb = np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
        try:
            write_cog(Path({str(tmp_path)!r}) / "o.tif", rgb, rgb[..., 0] >= 0, {TRANSFORM!r}, {UTM!r})
        except StorageFailed as error:
            print("typed:", error)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=120
    )
    assert out.stdout.startswith("typed: "), out.stderr
    assert "o.tif" in out.stdout
    assert list(tmp_path.iterdir()) == []
