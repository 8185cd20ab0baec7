"""Verification of an installer: every file against `manifest.sha256`.

It also runs from the USB stick, under the machine's own Python, before flycam is installed, and so imports
the standard library only.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

MANIFEST = "manifest.sha256"
_BLOCK_BYTES = 1 << 20


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def find_damaged_files(folder: Path) -> list[str]:
    """Find files that are missing or damaged.

    Returns the manifest itself if it is unusable.
    """
    try:
        lines = (folder / MANIFEST).read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return [MANIFEST]
    listed = [line.partition("  ") for line in lines]
    if not listed or not all(digest and name for digest, _, name in listed):
        return [MANIFEST]
    return [name for digest, _, name in listed if not _is_intact(folder / name, digest)]


def _is_intact(path: Path, digest: str) -> bool:
    try:
        return hash_file(path) == digest
    except OSError:
        return False


def main() -> int:
    """Check an installer for `install.sh`; return 3 if it is damaged.

    Arguments: folder, and "vi" or "en".
    """
    folder, language = Path(sys.argv[1]), sys.argv[2]
    wrong = find_damaged_files(folder)
    for name in wrong:
        texts = {
            "en": f"{folder / name}: missing or damaged; nothing was installed: write the stick again with "
            "'flycam bundle wheels'",
            "vi": f"{folder / name}: thiếu hoặc hỏng; chưa cài gì: hãy ghi lại USB bằng 'flycam bundle "
            "wheels'",
        }
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in texts[language])  # as `to_visible`
        sys.stderr.write(f"{shown}\n")
    if not wrong:
        sys.stdout.write(f"manifest SHA-256 {hash_file(folder / MANIFEST)}\n")
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
