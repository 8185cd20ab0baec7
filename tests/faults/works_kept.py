"""Works that keep a house whole, and those that begin with pictures of other kinds: `verify`, `backup`,
`restore`, `compare`, `live`."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flycam.catalog.catalog import open_catalog
from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import DrillReport, write_drill
from flycam.drill.video_drill import write_video_drill
from flycam.operations.backup import OBJECTS
from tests.attack.commands import Operator
from tests.faults.works import Held, Work, card_of, done, house_in

_SAVED = "saved"


class Verifying(Work):
    """Tiles and clips that are lost or damaged are made again."""

    def may_miss(self, damaged: Sequence[Mapping[str, Any]]) -> bool:
        """What was damaged at first, and nothing of evidence."""
        return {str(one["kind"]) for one in damaged} <= {"tile", "clip"}


def verifying(drill: DrillReport, _scratch: Path) -> Work:
    def begin(root: Path) -> None:
        done(root, *card_of(drill))
        tiles = sorted(path for path in (root / "data" / "store").rglob("*.tile"))
        for number, path in enumerate(tiles):
            if number % 3 == 0:
                path.unlink()
            elif number % 3 == 1:
                path.write_bytes(path.read_bytes()[:-9])

    return Verifying("verify", begin, lambda _: ("verify",))


class Saving(Work):
    """A house that is saved once more, beside a backup of what it held before."""

    def keeps(self, root: Path, answers: int) -> None:
        """Whenever the power goes: the backup, that before or the new one, is whole."""
        del answers
        self._require_whole(root)

    def held(self, root: Path) -> Held:
        """Also each object of the backup."""
        found = {}
        for path in sorted((root / _SAVED / OBJECTS).rglob("*")):
            if path.is_file():
                found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
        self._require_whole(root)
        return super().held(root) | found

    def _require_whole(self, root: Path) -> None:
        said = house_in(root, self.box)("restore", root / _SAVED, "--check")
        assert said.exit_code == 0, said


def _half(drill: DrillReport, folder: Path) -> Path:
    if not folder.exists():
        folder.mkdir()
        for photo in sorted(drill.photos.iterdir())[::2]:
            shutil.copy(photo, folder)
    return folder


def saving(drill: DrillReport, scratch: Path) -> Work:
    def begin(root: Path) -> None:
        half = _half(drill, scratch / "half")
        done(root, "ingest", half, "--dem", drill.dem, "--name", "half")
        done(root, "backup", root / _SAVED)
        done(root, *card_of(drill))

    return Saving("backup", begin, lambda root: ("backup", root / _SAVED))


def restoring(drill: DrillReport, scratch: Path) -> Work:
    done(scratch / "giver", *card_of(drill))
    done(scratch / "giver", "backup", scratch / _SAVED)
    return Work("restore", lambda _: None, lambda _: ("restore", scratch / _SAVED))


class Comparing(Work):
    """Two dates of one valley, their changes put up for review and written into a file."""

    def held(self, root: Path) -> Held:
        """Also what waits for the analyst, and the file."""
        found, file = super().held(root), root / "changes.geojson"
        with open_catalog(f"sqlite:///{root / 'data' / 'catalog.sqlite'}") as catalog:
            for event in catalog.changes.events():
                for one in catalog.changes.current(event):
                    found[one.change_id] = f"{one.kind} {one.score} {one.wkb.hex()}"
        if file.exists():
            found[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found


def comparing(drill: DrillReport, scratch: Path) -> Work:
    del drill
    sizes: dict[str, Any] = {"photos": (2, 3), "size_px": (640, 480), "gsd_m": 0.5, "truth_rasters": False}
    flown = [
        write_drill(scratch / f"{name} the storm", after=name == "after", **sizes)
        for name in ("before", "after")
    ]

    def begin(root: Path) -> None:
        for one, name in zip(flown, ("before", "after"), strict=True):
            done(root, "ingest", one.photos, "--dem", one.dem, "--name", name, "--event", "drill")

    def arguments(root: Path) -> tuple[object, ...]:
        return "compare", "before", "after", "--out", root / "changes.geojson"

    return Comparing("compare", begin, arguments)


class Filming(Work):
    """A film that is laid picture by picture."""


def filming(drill: DrillReport, scratch: Path) -> Work:
    del drill
    plan = VideoPlan(seconds=12.0, fps=8, strips=1, gsd_m=1.0)
    film = write_video_drill(scratch / "film", seed=2, plan=plan, size_px=(320, 180))

    def begin(root: Path) -> None:
        house: Operator = house_in(root)
        assert house("dem", "add", film.dem).exit_code == 0
        assert house("communes", "add", film.communes).exit_code == 0

    def arguments(_root: Path) -> tuple[object, ...]:
        told = ("--telemetry", film.subtitles, "--camera", film.camera)
        return "live", "--video", film.video, *told, "--clock-offset", "0"

    return Filming("live", begin, arguments)
