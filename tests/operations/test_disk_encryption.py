"""Whether a disk is encrypted, by what the kernel tells of the devices below a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flycam.operations.health import is_encrypted


class Kernel:
    """A tree as Linux shows it in /sys, for the device that the test's folder lies on."""

    def __init__(self, folder: Path) -> None:
        self.sys, self.folder = folder / "sys", folder
        number = folder.stat().st_dev
        self.device = f"{os.major(number)}:{os.minor(number)}"
        if not os.major(number):
            pytest.skip("this folder lies on no block device")

    def block(self, name: str, *, uuid: str | None = None, on: tuple[Path, ...] = ()) -> Path:
        block = self.sys / "devices" / name
        (block / "slaves").mkdir(parents=True)
        if uuid is not None:
            (block / "dm").mkdir()
            (block / "dm" / "uuid").write_text(uuid + "\n")
        for one in on:
            (block / "slaves" / one.name).symlink_to(one)
        return block

    def judge(self, top: Path) -> bool | None:
        (self.sys / "dev" / "block").mkdir(parents=True)
        (self.sys / "dev" / "block" / self.device).symlink_to(top)
        return is_encrypted(self.folder, sys=self.sys)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_luks(kernel: Kernel) -> None:
    assert kernel.judge(kernel.block("dm-0", uuid="CRYPT-LUKS2-0123", on=(kernel.block("sda"),))) is True


def test_volumes_on_an_encrypted_disk(kernel: Kernel) -> None:
    crypt = kernel.block("dm-0", uuid="CRYPT-LUKS2-0123", on=(kernel.block("sda"),))
    assert kernel.judge(kernel.block("dm-1", uuid="LVM-0123", on=(crypt,))) is True


def test_a_pair_of_which_one_is_in_the_clear(kernel: Kernel) -> None:
    crypt = kernel.block("dm-0", uuid="CRYPT-LUKS2-0123", on=(kernel.block("sda"),))
    assert kernel.judge(kernel.block("md0", on=(crypt, kernel.block("sdb")))) is False


def test_where_nothing_is_told(tmp_path: Path) -> None:
    assert is_encrypted(tmp_path, sys=tmp_path / "none") is None
