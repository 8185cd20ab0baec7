"""What a store holds after a power cut in the middle of its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.storage import keys
from tests.faults import kernel
from tests.faults.programs import outcomes, watched

pytestmark = pytest.mark.skipif(kernel.why_not() is not None, reason=str(kernel.why_not()))

_KEY = keys.format_original_key("ab" * 32)
_PROGRAM = """
from pathlib import Path
from flycam.storage.stores import LocalStore
store = LocalStore(Path('new/store'))
store.put('{key}', b'photo' * 1000, durable={durable})
os._exit(0)
"""


def test_evidence_has_no_name_before_its_bytes(tmp_path: Path) -> None:
    """Else whoever comes to store it again would take what lies there for it."""
    run = watched(tmp_path, _PROGRAM.format(key=_KEY, durable=False))
    assert outcomes(run, f"new/store/{_KEY}") == {None, b"photo" * 1000}


def test_a_tile_may_have_one_for_nothing_names_it_yet(tmp_path: Path) -> None:
    run = watched(tmp_path, _PROGRAM.format(key="tiles/a", durable=False))
    assert b"" in outcomes(run, "new/store/tiles/a")


def test_what_is_deleted_stays_away_once_it_was_flushed(tmp_path: Path) -> None:
    """Its folders, which became empty, too; until then the name may come back."""
    program = _PROGRAM.format(key=_KEY, durable=True).replace(
        "os._exit(0)", f"store.delete('{_KEY}')\nprint('deleted', flush=True)\nstore.flush()\nos._exit(0)"
    )
    run = watched(tmp_path, program)
    told = next(n for n, line in enumerate(run[0].lines, 1) if getattr(line, "to", "") == "out")
    assert outcomes(run, f"new/store/{_KEY}", told) == {None, b"photo" * 1000}
    assert outcomes(run, f"new/store/{_KEY}", len(run[0].lines)) == {None}


def test_what_is_durable_stays_also_in_a_store_that_is_new(tmp_path: Path) -> None:
    """The folders that the store lies in are new too."""
    run = watched(tmp_path, _PROGRAM.format(key=_KEY, durable=True))
    assert outcomes(run, f"new/store/{_KEY}", len(run[0].lines)) == {b"photo" * 1000}


def test_a_folder_made_later_beside_others_is_named_for_good_too(tmp_path: Path) -> None:
    again = "store.put('{other}', b'first', durable=True)\nstore.put("
    program = _PROGRAM.format(key=_KEY, durable=True).replace(
        "store.put(", again.format(other=keys.format_original_key("cd" * 32))
    )
    run = watched(tmp_path, program)
    assert outcomes(run, f"new/store/{_KEY}", len(run[0].lines)) == {b"photo" * 1000}
