"""Whether who carries this machine away can read its disk."""

from __future__ import annotations

import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_SYS = Path("/sys")
_KERNEL_S_UUID = "CRYPT-"  # dm-crypt: LUKS, VeraCrypt, plain


def is_encrypted(folder: Path, *, mounts: Path = _MOUNTS, sys: Path = _SYS) -> bool | None:
    """Whether what lies in a folder is encrypted on its disk; None: this cannot be told here.

    Told on Linux, of block devices, by dm-crypt anywhere below the file system. A file system that encrypts
    by itself (fscrypt, ZFS) is not looked into, nor any other system.
    """
    device = _device(folder, mounts)
    if device is None:
        return None
    block = sys / "dev" / "block" / device
    return _below(block.resolve()) if block.exists() else None


def _device(folder: Path, mounts: Path) -> str | None:
    """MAJOR:MINOR of the block device that a folder lies on."""
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
    """Whether a block device, or each of those it is made of, is encrypted: one that is not can be read."""
    uuid = block / "dm" / "uuid"
    if uuid.exists() and uuid.read_text().startswith(_KERNEL_S_UUID):
        return True
    below = sorted((block / "slaves").iterdir()) if (block / "slaves").exists() else []
    return bool(below) and all(_below(one.resolve()) for one in below)
