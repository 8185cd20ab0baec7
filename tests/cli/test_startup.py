"""A command waits for no library that only another command needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flycam.drill.photo_drill import DrillReport

_LATE = {"scipy", "typst", "fastapi", "uvicorn", "pymavlink", "minio", "psycopg", "dask", "distributed"}
_UNUSED = {
    "typst",
    "joserfc",
    "dask",
    "distributed",
    "cryptography",
    "fastapi",
    "uvicorn",
    "pymavlink",
    "minio",
    "scipy.sparse",
    "scipy.spatial",
}
_RECIPES = {"numpy", "cv2", "sqlalchemy", "rasterio", "pyproj", "shapely", "pyogrio"}

_TELL = """
import sys
from click.testing import CliRunner
from flycam.cli import flycam
result = CliRunner().invoke(flycam, sys.argv[1:])
assert result.exit_code == 0, result.output
print(*sorted({name.partition('.')[0] for name in sys.modules} | set(sys.modules)))
"""


def _loaded(*arguments: object) -> set[str]:
    """All modules that a process holds after one command."""
    words = [sys.executable, "-c", _TELL, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_no_recipe() -> None:
    assert not _loaded("--help") & (_LATE | _RECIPES)
    assert not _loaded("ingest", "--help") & (_LATE | _RECIPES)


def test_ingest_loads_neither_server_nor_adjustment(drill: DrillReport, tmp_path: Path) -> None:
    loaded = _loaded("ingest", drill.photos, "--dem", drill.dem, "--data", tmp_path / "data")
    assert "flycam.ingest.batch" in loaded
    signs = {"cryptography"}  # the audit log's line
    assert loaded & (_UNUSED - signs | {"scipy", "pyogrio"}) == set()
    assert not any(
        name.startswith(("flycam.mosaic.adjustment", "flycam.serve", "flycam.mosaic.surface"))
        for name in loaded
    )


def test_a_command_that_is_done_does_not_search_its_modules_for_garbage() -> None:
    """What is registered before runs after all that the command registered."""
    tell = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count(), len(gc.get_objects())))"
    code = f"{tell}; from flycam.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True
    )
    frozen, left = map(int, done.stdout.splitlines()[-1].split())
    assert frozen > 10_000
    assert left < frozen // 100


def test_a_server_without_a_sign_in_service_loads_nothing_that_speaks_to_one() -> None:
    words = [sys.executable, "-c", "import sys, flycam.serve.app; print(*sys.modules)"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "flycam.serve.auth" in done.stdout.split()
    not_needed = {"joserfc", "cryptography", "flycam.access.openid"}
    assert not not_needed & set(done.stdout.split())
