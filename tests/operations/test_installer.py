"""flycam on a stick. What installs is a small package of its own here; the real one is a soak test."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from flycam.errors import InputUnusable
from flycam.operations.installer import Installer, rebuild_wheel, write_installer
from flycam.operations.installer_check import MANIFEST, find_damaged_files, hash_file


def wheel(folder: Path, name: str, body: str, script: str = "") -> Path:
    """A wheel of one module."""
    home = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": body,
        f"{home}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{home}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if script:
        files[f"{home}/entry_points.txt"] = f"[console_scripts]\n{name} = {script}\n"
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for inside, text in files.items():
            packed.writestr(inside, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            rows.append(f"{inside},sha256={digest},{len(text)}\n")
        packed.writestr(f"{home}/RECORD", f"{''.join(rows)}{home}/RECORD,,\n")
    return path


def stick(tmp_path: Path) -> Installer:
    """A stick with two wheels: one that is locked, and flycam's, which needs it."""
    needed = wheel(tmp_path / "found", "needed", "WORD = 'from the stick'\n")
    lock = tmp_path / "run.lock"
    lock.write_text(f"needed==1.0 --hash=sha256:{hash_file(needed)}\n")
    says = "import needed\ndef main():\n    print(needed.WORD)\n"
    return write_installer(
        tmp_path / "stick",
        tmp_path / "found",
        lock=lock,
        build_wheel=lambda wheels: wheel(wheels, "flycam", says, "flycam:main"),
    )


def install(made: Installer, target: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """As somebody types it, with a configuration of pip that leads nowhere."""
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": "/nowhere", "LC_ALL": "C"}
    return subprocess.run(
        ["sh", str(made.path / "install.sh"), str(target)],
        env={**os.environ, "PYTHON": sys.executable, **nowhere, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_installs_from_the_stick_alone(tmp_path: Path) -> None:
    made = stick(tmp_path)
    assert made.wheels == 2 and find_damaged_files(made.path) == []
    target = tmp_path / "a place" / "flycam"
    target.parent.mkdir()
    done = install(made, target)
    assert done.returncode == 0, done.stderr
    assert f"manifest SHA-256 {made.manifest_sha256}" in done.stdout
    assert f'"{target}/bin/flycam" doctor' in done.stdout
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run([target / "bin" / "flycam"], env=clean, capture_output=True, text=True, check=True)
    assert said.stdout == "from the stick\n"
    assert install(made, target).returncode == 0  # again: nothing is asked


@pytest.mark.parametrize("spoil", ["a byte", "the check"])
def test_a_stick_that_is_not_whole_installs_nothing(tmp_path: Path, spoil: str) -> None:
    made = stick(tmp_path)
    needed = made.path / "wheels" / "needed-1.0-py3-none-any.whl"
    match spoil:
        case "a byte":
            data = bytearray(needed.read_bytes())
            data[40] ^= 1
            needed.write_bytes(data)
        case "the check":
            with (made.path / "check.py").open("a") as check:
                check.write("# a line more\n")
    done = install(made, tmp_path / "flycam", LC_ALL="vi_VN.UTF-8")
    assert done.returncode == 3
    assert not (tmp_path / "flycam").exists()
    assert ("check.py" if spoil == "the check" else needed.name) in done.stderr


def test_a_wheel_that_the_lock_does_not_know_is_not_installed(tmp_path: Path) -> None:
    """Also where the manifest was written anew for it: the lock is what was agreed on."""
    made = stick(tmp_path)
    wheel(made.path / "wheels", "needed", "WORD = 'a stranger'\n")
    listed = sorted(one for one in made.path.rglob("*") if one.is_file() and one.name != MANIFEST)
    lines = [f"{hash_file(one)}  {one.relative_to(made.path).as_posix()}\n" for one in listed]
    (made.path / MANIFEST).write_text("".join(lines))
    done = install(made, tmp_path / "flycam")
    assert done.returncode != 0 and "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "flycam" / "bin" / "flycam").exists()


def test_what_lies_in_the_target_stays(tmp_path: Path) -> None:
    made = stick(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")
    done = install(made, tmp_path / "home")
    assert done.returncode == 3 and "holds something else" in done.stderr
    assert [one.name for one in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_a_stick_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    made = stick(tmp_path)
    before = made.manifest_sha256
    shutil.rmtree(tmp_path / "found")
    (tmp_path / "found").mkdir()
    with pytest.raises(InputUnusable, match=r"pip: ERROR.*needed.*--from"):
        write_installer(made.path, tmp_path / "found", lock=tmp_path / "run.lock")
    assert find_damaged_files(made.path) == [] and hash_file(made.path / MANIFEST) == before
    again = write_installer(  # from another stick
        tmp_path / "second",
        made.path,
        lock=tmp_path / "run.lock",
        build_wheel=lambda wheels: Path(
            shutil.copy(made.path / "wheels" / "flycam-1.0-py3-none-any.whl", wheels)
        ),
    )
    assert again.manifest_sha256 == before
    (made.path / "letter.txt").write_text("mine")
    with pytest.raises(InputUnusable, match=r"letter\.txt"):
        stick(tmp_path)


def test_an_installed_package_becomes_its_wheel_again(tmp_path: Path) -> None:
    """Installed once more, it is the same, file by file."""
    packed = rebuild_wheel(distribution("click"), tmp_path)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*command, "--target", str(tmp_path / "there"), str(packed)], check=True)
    said = distribution("click").files or []
    modules = [one for one in said if one.suffix == ".py"]
    assert modules
    for one in modules:
        assert (tmp_path / "there" / one).read_bytes() == Path(str(one.locate())).read_bytes()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_real_one_is_made_and_installed_without_a_network(tmp_path: Path) -> None:
    """Wheels by this machine's pip; then in a network namespace without a route, where there are such."""
    made = write_installer(tmp_path / "stick")
    print(f"{made.wheels} wheels, {made.size_bytes / 1e6:.0f} MB")
    alone = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    target = tmp_path / "flycam"
    env = {**clean, "PYTHON": sys.executable, "FLYCAM_DATA": str(tmp_path / "data"), "LC_ALL": "C"}
    subprocess.run([*alone, "sh", made.path / "install.sh", target], env=env, check=True)
    version = subprocess.run(
        [*alone, target / "bin" / "flycam", "--version"], env=env, capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("flycam, version ")
    done = subprocess.run(
        [*alone, target / "bin" / "flycam", "doctor", "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr and done.stdout.strip().endswith("}"), done.stderr
    print(done.stdout)
    page = list(target.glob("lib/python*/site-packages/flycam/serve/static/index.html"))
    assert len(page) == 1
    again = [*alone, target / "bin" / "flycam", "bundle", "wheels", tmp_path / "next", "--from", made.path]
    subprocess.run(again, env=env, check=True)  # and it makes the next stick, by itself
