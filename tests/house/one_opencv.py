"""Exactly one OpenCV distribution may be installed: two wheels overwrite each other silently."""

import sys
from importlib.metadata import distributions

found = sorted(
    {d.metadata["Name"] for d in distributions() if d.metadata["Name"].lower().startswith("opencv")}
)
print("opencv distributions:", ", ".join(found) or "none")
sys.exit(len(found) != 1)
