"""The Python API: docs/api.md does what it says, and `import flycam` costs nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flycam
from flycam.drill.photo_drill import DrillReport
from tests.geodata.rasters import read_raster
from tests.houses import drilled

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_examples_of_the_guide_run(
    drill: DrillReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    after = drilled(after=True, photos=(2, 3), size_px=(480, 360), gsd_m=0.5, truth_rasters=False)
    shutil.copytree(drill.photos, tmp_path / "before")
    shutil.copytree(after.photos, tmp_path / "after")
    shutil.copy(drill.dem, tmp_path / "dem.tif")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, example in enumerate(EXAMPLES):
        exec(compile(example, f"docs/api.md, example {number + 1}", "exec"), names)
    assert names["before"].used == 6
    assert names["report"].main.stats["accepted"]
    assert read_raster(tmp_path / "before.tif").transform[0] == 1.0
    assert (names["comparison"].path, names["comparison"].is_detected) == (Path("changes.gpkg"), True)
    assert "SourceUnreadable - " in capsys.readouterr().out


def test_the_names_of_the_api_are_there_and_described() -> None:
    for name in flycam.__all__:
        assert getattr(flycam, name).__doc__, name
    assert {*flycam.__all__} >= set(
        re.findall(r"^from flycam import (\w+)$", "\n".join(EXAMPLES), re.MULTILINE)
    )
    assert not hasattr(flycam, "ingest_films")


def test_importing_flycam_loads_nothing() -> None:
    """A name of the API stays a function whatever was imported before: no package has that name."""
    code = (
        "import sys, flycam; before = set(sys.modules); assert not {'numpy', 'flycam.api'} & before\n"
        "import flycam.ingest.batch, flycam.mosaic.finish.workflow\n"
        "assert all(callable(getattr(flycam, name)) for name in flycam.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
