"""Names in a node's cache folder, shared by the code that writes there and the code that clears it."""

from __future__ import annotations

ORIGINALS_DIR = "evidence"
"""Originals fetched from the object store to be read, a folder each."""

STAGES_DIR = "finish"
"""Stage files of runs of `finish`."""

LIVE_DIR_PREFIX = "live-"
"""Prefix of the folders of live flights; what is in them may not be stored yet."""

RECORDINGS_DIR = "recording"
"""Streams as they came, not yet stored."""

DAMAGED_RECORDINGS_DIR = "recording-damaged"
"""Pieces that a power cut damaged, `<flight>-<UTC ns>.mp4`."""

VERIFY_LEDGER_FILE = "verified.txt"
"""Parts of the node with the time that each was last read back whole."""

SETUP_CODE_FILE = "setup.code"
"""Code that makes the first administrator."""

PERMANENT_ENTRIES = frozenset(
    {ORIGINALS_DIR, STAGES_DIR, RECORDINGS_DIR, DAMAGED_RECORDINGS_DIR, VERIFY_LEDGER_FILE, SETUP_CODE_FILE}
)
"""Entries that are never deleted as a whole because of their age."""
