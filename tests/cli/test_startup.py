"""A command waits for no library that only another command needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flycam.cli import node, products
from flycam.drill.photo_drill import DrillReport
from flycam.mosaic.eviction import DAY_S, GRACE_S
from flycam.mosaic.finish.workflow import FinishRequest

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


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["ingest", "--help"],
        ["inspect", "--help"],
        ["finish", "--help"],
        ["compare", "--help"],
        ["pack", "--help"],
        ["dem", "--help"],
    ],
)
def test_help_loads_no_recipe(words: list[str]) -> None:
    assert not _loaded(*words) & (_LATE | _RECIPES)


def test_inspect_loads_neither_server_nor_report(drill: DrillReport, tmp_path: Path) -> None:
    loaded = _loaded("inspect", drill.photos, "--dem", drill.dem, "--data", tmp_path / "data", "--no-pixels")
    assert "flycam.ingest.inspection" in loaded
    assert loaded & (_UNUSED | {"sqlalchemy", "scipy", "pyogrio"}) == set()


def test_ingest_loads_neither_server_nor_adjustment(drill: DrillReport, tmp_path: Path) -> None:
    loaded = _loaded("ingest", drill.photos, "--dem", drill.dem, "--data", tmp_path / "data")
    assert "flycam.ingest.batch" in loaded
    assert loaded & (_UNUSED | {"scipy", "pyogrio"}) == set()
    assert not any(
        name.startswith(("flycam.mosaic.adjustment", "flycam.serve", "flycam.mosaic.surface"))
        for name in loaded
    )


def test_defaults_in_the_help_are_the_recipes() -> None:
    held_out = next(one for one in products.finish_command.params if one.name == "held_out_share")
    grace = next(one for one in node.collect_command.params if one.name == "grace_days")
    assert (held_out.default, grace.default) == (FinishRequest().held_out_share, GRACE_S / DAY_S)


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
    assert "flycam.serve.auth.openid" in done.stdout.split()
    not_needed = {"joserfc", "cryptography", "flycam.access.openid"}
    assert not not_needed & set(done.stdout.split())
