"""What lies in a house's cache folder, by name: who writes there, and who clears it, spell it the same."""

from __future__ import annotations

ORIGINALS_DIR = "evidence"
"""Objects of the evidence store fetched to be read, a folder each."""

STAGES_DIR = "finish"
"""Stage files of runs of `finish`."""

LIVE_DIR_PREFIX = "live-"
"""Beginning of the folders of live flights: what lies in them may not be kept yet."""

RECORDINGS_DIR = "recording"
"""Streams as they came, not yet kept."""

DAMAGED_RECORDINGS_DIR = "recording-damaged"
"""Pieces that a power cut left damaged, `<flight>-<UTC ns>.mp4`."""

VERIFY_LEDGER_FILE = "verified.txt"
"""Which parts of the house were last read back whole."""

SETUP_CODE_FILE = "setup.code"
"""The code that makes the first administrator."""

PERMANENT_ENTRIES = frozenset(
    {ORIGINALS_DIR, STAGES_DIR, RECORDINGS_DIR, DAMAGED_RECORDINGS_DIR, VERIFY_LEDGER_FILE, SETUP_CODE_FILE}
)
"""What is not thrown away as a whole for being old."""
