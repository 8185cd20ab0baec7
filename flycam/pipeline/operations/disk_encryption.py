"""Detection of disk encryption, which protects the data of a stolen machine."""

from __future__ import annotations

import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_SYS = Path("/sys")
_KERNEL_S_UUID = "CRYPT-"  # dm-crypt: LUKS, VeraCrypt, plain


def is_encrypted(folder: Path, *, mounts: Path = _MOUNTS, sys: Path = _SYS) -> bool | None:
    """Return True if a folder's disk is encrypted, False if not; None if unknown.

    Detected on Linux, for block devices, by dm-crypt anywhere below the file system. File systems with
    encryption of their own (fscrypt, ZFS) and other systems are unknown.
    """
    device = _device(folder, mounts)
    if device is None:
        return None
    block = sys / "dev" / "block" / device
    return _below(block.resolve()) if block.exists() else None


def _device(folder: Path, mounts: Path) -> str | None:
    """Return MAJOR:MINOR of the block device that holds a folder."""
    number = folder.stat().st_dev
    device = _named(number)
    if os.major(number):
        return device
    try:  # btrfs: the mount names its device
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] != device:
            continue
        try:
            return _named(Path(kind.split()[1]).stat().st_rdev)
        except (OSError, IndexError):
            return None
    return None


def _named(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _below(block: Path) -> bool:
    """Return True if a block device, or all that it is made of, are encrypted.

    A single one that is not can be read.
    """
    uuid = block / "dm" / "uuid"
    if uuid.exists() and uuid.read_text().startswith(_KERNEL_S_UUID):
        return True
    below = sorted((block / "slaves").iterdir()) if (block / "slaves").exists() else []
    return bool(below) and all(_below(one.resolve()) for one in below)
