"""What every test may use."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.waiting import ENOUGH_S

# Where tests are started in the background the shell has Ctrl-C ignored, and commands under test would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `make test` tries a law on the same examples every time: green or red whatever the luck. `make soak`
# explores; what it finds lies in .hypothesis and is tried first the next time, and whoever mends it writes it
# into the test, as `@example(...)`. No law has a time limit: a busy machine breaks none.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.register_profile(  # all of it named: where CI is set the library's own defaults are those of "fixed"
    "explore",
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    deadline=None,
    print_blob=True,
)
settings.load_profile("fixed")

# A busy machine answers late, and is not wrong for that: where a test names no time, it was 5 s.
for _part in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _part, ENOUGH_S)

pytest_plugins = ["tests.longest", "tests.once", "tests.servers", "tests.houses", "tests.serve.fixtures"]

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real flights that lies beside the project; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real flights (../shared/data) are not beside the project")
    return SHARED_DATA
