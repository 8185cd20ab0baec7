"""What lies in a house's cache folder, by name: who writes there, and who clears it, spell it the same."""

from __future__ import annotations

COPIES = "evidence"
"""Objects of the evidence store fetched to be read, a folder each."""

STAGES = "finish"
"""Stage files of runs of `finish`."""

FLIGHTS = "live-"
"""Beginning of the folders of live flights: what lies in them may not be kept yet."""

RECORDINGS = "recording"
"""Streams as they came, not yet kept."""

RECORDINGS_DAMAGED = "recording-damaged"
"""Pieces that a power cut left damaged, `<flight>-<UTC ns>.mp4`."""

READ_BACK = "verified.txt"
"""Which parts of the house were last read back whole."""

SETUP_CODE = "setup.code"
"""The code that makes the first administrator."""

STAYING = frozenset({COPIES, STAGES, RECORDINGS, RECORDINGS_DAMAGED, READ_BACK, SETUP_CODE})
"""What is not thrown away as a whole for being old."""
