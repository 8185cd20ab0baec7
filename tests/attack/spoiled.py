"""Drill flights that say of themselves what is not so, and control points with the lies of the field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from flycam.drill.flight import MeasuredPose, make_exif, make_xmp
from flycam.drill.land import WORK_CRS
from flycam.drill.photo_drill import Drill, DrillReport
from flycam.geodata.crs import to_lonlat, transform_points


def photos_retold(
    drill: Drill, folder: Path, tell: Callable[[int, MeasuredPose], MeasuredPose] = lambda _, one: one
) -> Path:
    """The drill's photos as they are, their metadata as `tell(number, measured)` and `drill.camera` say."""
    folder.mkdir(parents=True)
    for number, name in enumerate(drill.names):
        measured = tell(number, drill.measured[number])
        Image.fromarray(drill.photo(number)).save(
            folder / name,
            format="JPEG",
            quality=93,
            exif=make_exif(name, measured, drill.camera),
            xmp=make_xmp(measured, drill.camera),
        )
    return folder


def turned_to_water(flown: DrillReport, folder: Path) -> Path:
    """The photos with their metadata, their pixels a river that looks different each time."""
    folder.mkdir()
    for number, photo in enumerate(sorted(flown.photos.iterdir())):
        rng = np.random.default_rng(number)
        with Image.open(photo) as before:
            size, exif, xmp = before.size, before.info["exif"], before.info.get("xmp", b"")
        waves = 8.0 * cv2.resize(rng.normal(0.0, 1.0, (24, 32, 3)), size)
        glitter = rng.normal(0.0, 2.0, (size[1], size[0], 3))
        pixels = np.clip(np.array([50.0, 80.0, 90.0]) + waves + glitter, 0.0, 255.0).astype(np.uint8)
        Image.fromarray(pixels).save(folder / photo.name, format="JPEG", quality=93, exif=exif, xmp=xmp)
    return folder


@dataclass(frozen=True)
class GroundPoint:
    """A point of the ground (WORK_CRS) and where photos show it: (name, column, row) from the corner."""

    xyz: tuple[float, float, float]
    marks: Sequence[tuple[str, float, float]]


def ground_points(drill: Drill) -> list[GroundPoint]:
    """Points seen in two photos at least, measured in the truth of the pixels."""
    seen = [np.nan_to_num(drill.coordinates(number), nan=1e9) for number in range(len(drill.names))]
    height, width = seen[0].shape[:2]
    points = []
    for number in range(0, len(seen), 2):
        for row, col in ((height // 3, width // 3), (2 * height // 3, 2 * width // 3)):
            xyz = seen[number][row, col]
            marks = []
            for name, there in zip(drill.names, seen, strict=True):
                distance = np.linalg.norm(there - xyz, axis=-1)
                v, u = np.unravel_index(int(distance.argmin()), distance.shape)
                if distance[v, u] < 0.6 * drill.plan.gsd_m and 5 < u < width - 5 and 5 < v < height - 5:
                    marks.append((name, float(u) + 0.5, float(v) + 0.5))
            if len(marks) >= 2:
                points.append(GroundPoint((float(xyz[0]), float(xyz[1]), float(xyz[2])), marks))
    return points


def gcp_list(
    points: Sequence[GroundPoint],
    to: Path,
    *,
    crs: str = WORK_CRS,
    absent: Collection[str] = (),
    header: str = "",
    size: float = 1.0,
) -> Path:
    """Write gcp_list.txt.

    absent  photos that get another name
    header  the first line, where it is not the code of `crs`, which the coordinates are then moved to
    size  marks were made on pictures so many times as large
    """
    lines = [header or crs]
    for number, point in enumerate(points):
        x, y, z = point.xyz
        if header:
            x, y = transform_points(to_lonlat(np.array([[x, y]]), WORK_CRS), "EPSG:4326", crs)[0]
        for name, column, row in point.marks:
            shown = f"IMG_{name}" if name in absent else name
            mark = f"{column * size} {row * size}" if size != 1.0 else f"{column} {row}"
            lines.append(f"{x:.8f} {y:.8f} {z:.3f} {mark} {shown} p{number}")
    to.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return to
