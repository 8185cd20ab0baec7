"""Offline installer: hash-locked wheels, flycam's own, lock, script, manifest."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from flycam.errors import InputUnusable, StorageFailed
from flycam.messages import _
from flycam.operations import installer_check
from flycam.operations.installer_check import MANIFEST, find_damaged_files, hash_file
from flycam.storage.files import replace_folder
from flycam.workspace import Progress, ignore_progress

WHEELS, LOCK, OWN_LOCK, SCRIPT, CHECK = "wheels", "run.lock", "flycam.lock", "install.sh", "check.py"
_PACKAGE = Path(__file__).resolve().parent.parent
_EXCLUDED_FILES = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"})
"""Files that pip adds to those of a wheel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Installer:
    """An installer on disk.

    manifest_sha256: hash of the manifest, which vouches for all other files.
    """

    path: Path
    wheels: int
    size_bytes: int
    manifest_sha256: str


def write_installer(
    out: Path,
    wheel_dir: Path | None = None,
    progress: Progress = ignore_progress,
    *,
    lock: Path | None = None,
    build_wheel: Callable[[Path], Path] | None = None,
) -> Installer:
    """Write a folder that installs flycam without a network; atomic.

    For machines of this kind.

    wheel_dir    folder of wheels (another installer's); None: pip fetches them
    lock         the hash-locked requirements
    build_wheel  puts flycam's own wheel into a folder

    Raises InputUnusable (a wheel cannot be had, the page is not built), DiskFull, StorageFailed.
    """
    lock = lock or find_lock_file()
    with replace_folder(out, _find_foreign_file) as part:
        wheels = part / WHEELS
        wheels.mkdir()
        progress("wheels", 0, 2)
        download_wheels(lock, wheels, wheel_dir)
        progress("wheels", 1, 2)
        own_wheel = (build_wheel or build_own_wheel)(wheels)
        (part / LOCK).write_bytes(lock.read_bytes())
        version = own_wheel.name.split("-")[1]
        (part / OWN_LOCK).write_text(f"flycam=={version} --hash=sha256:{hash_file(own_wheel)}\n")
        (part / SCRIPT).write_text(_script(version), encoding="utf-8")
        (part / CHECK).write_bytes(Path(installer_check.__file__).read_bytes())
        listed = sorted(one for one in part.rglob("*") if one.is_file())
        lines = [f"{hash_file(one)}  {one.relative_to(part).as_posix()}\n" for one in listed]
        (part / MANIFEST).write_text("".join(lines), encoding="ascii")
        size = sum(one.stat().st_size for one in listed)
        progress("wheels", 2, 2)
    # read back from the disk: a bad USB stick may not hold what was written
    wrong = find_damaged_files(out)
    if wrong:
        raise StorageFailed(_("{out}: is not what was written; try another stick", out=out / wrong[0]))
    count = sum(one.suffix == ".whl" for one in listed)
    return Installer(path=out, wheels=count, size_bytes=size, manifest_sha256=hash_file(out / MANIFEST))


def find_lock_file() -> Path:
    """Return the path of the hash-locked requirements.

    They are in the package in a wheel, beside it in a source tree. Raises InputUnusable.
    """
    for path in (_PACKAGE / LOCK, _PACKAGE.parent / "requirements" / LOCK):
        if path.is_file():
            return path
    raise InputUnusable(
        _(
            "{package}: the lock of requirements is missing from this installation; install flycam again",
            package=_PACKAGE / LOCK,
        )
    )


def download_wheels(lock: Path, wheels: Path, wheel_dir: Path | None) -> None:
    """Download all wheels of a lock for this platform, each against its hash.

    Raises InputUnusable.
    """
    source = [] if wheel_dir is None else ["--no-index", "--find-links", str(_wheels_in(wheel_dir))]
    words = ["download", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps"]
    _pip([*words, *source, "--require-hashes", "-r", str(lock), "-d", str(wheels)])


def build_own_wheel(wheels: Path) -> Path:
    """Build flycam's own wheel with the map page.

    From a source tree, else from the installed files. Raises InputUnusable.
    """
    if not (_PACKAGE / "serve" / "static" / "index.html").is_file():
        raise InputUnusable(_("{package}: the map's page is not built; run 'make map'", package=_PACKAGE))
    root = _PACKAGE.parent
    if not (root / "pyproject.toml").is_file():
        return rebuild_wheel(distribution("flycam"), wheels)
    with tempfile.TemporaryDirectory(dir=wheels.parent) as name:
        _run(["-m", "hatchling", "build", "-t", "wheel", "-d", name], root)
        (built,) = Path(name).glob("*.whl")
        return built.replace(wheels / built.name)


def rebuild_wheel(installed: Distribution, wheels: Path) -> Path:
    """Rebuild the wheel that an installed package came from.

    It differs in order and times only. Raises StorageFailed where a file differs from its record.
    """
    name, version = installed.metadata["Name"].replace("-", "_"), installed.version
    home = f"{name}-{version}.dist-info"
    tag = next(
        line.partition(":")[2].strip()
        for line in (installed.read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag:")
    )
    out = wheels / f"{name}-{version}-{tag}.whl"
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(out, "w") as packed:
        for file in sorted(installed.files or [], key=str):
            is_ours = file.parts[0] != ".." and "__pycache__" not in file.parts and file.hash is not None
            if not is_ours or (file.parts[0] == home and file.name in _EXCLUDED_FILES):
                continue
            data = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            if file.hash and digest != file.hash.value:
                raise StorageFailed(
                    _("{file}: is not as it was installed; install flycam again", file=file.locate())
                )
            packed.writestr(
                zipfile.ZipInfo(file.as_posix(), (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED
            )
            rows.writerow((file.as_posix(), f"sha256={digest}", len(data)))
        rows.writerow((f"{home}/RECORD", "", ""))
        packed.writestr(f"{home}/RECORD", record.getvalue())
    return out


def _wheels_in(folder: Path) -> Path:
    """Return the folder of wheels in an installer, or the folder itself."""
    inside = folder / WHEELS
    return inside if inside.is_dir() else folder


def _script(version: str) -> str:
    text = Path(__file__).with_name("stick_install.sh").read_text(encoding="utf-8")
    replacements = {
        "@PYTHON@": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "@PLATFORM@": sysconfig.get_platform(),
        "@VERSION@": version,
    }
    for mark, word in replacements.items():
        text = text.replace(mark, word)
    return text


def _pip(words: list[str]) -> None:
    _run(["-m", "pip", *words], None)


def _run(words: list[str], folder: Path | None) -> None:
    command = [sys.executable, *words]
    done = subprocess.run(  # noqa: S603  this Python, no shell
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        why = next(
            (line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no reason given"
        )
        raise InputUnusable(
            _(
                "{words}: {why}; connect this machine to a network once, or give a folder "
                "that holds the wheels (--from)",
                words=words[1],
                why=why[:300],
            )
        )


def _find_foreign_file(folder: Path) -> str | None:
    """Return a file that no installer writes, if there is one."""
    own_files = {LOCK, OWN_LOCK, SCRIPT, CHECK, MANIFEST}
    for one in folder.rglob("*"):
        inside = one.relative_to(folder)
        is_wheel = inside.parts[0] == WHEELS and inside.suffix == ".whl"
        if one.is_file() and inside.as_posix() not in own_files and not is_wheel:
            return inside.as_posix()
    return None
