"""Location of the data folder `models/`: beside the package in a source tree, inside it in a wheel."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def find_models_dir() -> Path:
    """Find the folder with cameras/ and geoid/; FileNotFoundError if there is none."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "models", package.parent / "models"):
        if (folder / "geoid").is_dir():
            return folder
    raise FileNotFoundError(
        "models/: the data folder is missing from this installation: install flycam again"
    )
