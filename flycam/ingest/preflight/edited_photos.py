"""Photos saved by a viewer or editor after the flight: perhaps turned, cropped or resized.

A viewer that turns a photo rewrites the pixels and leaves the angles in XMP unchanged. The tag of the
software that last wrote the file shows that it happened, never what was done: the pixels show that
(`ingest.preflight.rotation_check`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.quarter_turns import rotate_interior
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.flight_table import Bools
from flycam.messages import _, ngettext

_EDITORS = re.compile(
    r"photo ?viewer|windows photo|microsoft.*photo|photo ?gallery|^photos\b|picasa|irfan|\bpreview\b"
    r"|lightroom|photoshop|camera raw|gimp|acdsee|xnview|faststone|paint|snapseed|google|darktable"
    r"|rawtherapee|capture one|digikam|imagemagick|graphicsmagick|affinity|pixelmator|luminar|dxo|zoner"
    r"|photoscape|nomacs|gwenview|shotwell|eog|honeyview|jpegtran|canva|polarr|vsco|ashampoo|corel|aperture",
    re.IGNORECASE,
)
_RELEASE = re.compile(r"\bv?[\d.]+\w*|\b[0-9a-f]{8,}\b", re.IGNORECASE)
_SHAPE = 0.01  # relative, of width over height


def detect_edited_photos(photos: Sequence[PhotoMetadata]) -> Bools:
    """Return True where a photo's software tag shows that it was edited.

    The tag names a viewer or editor, or differs from that of most photos of the camera. Two releases of one
    firmware on a memory card are an update, not an edit. A tag that all photos share is the camera's own,
    whatever its name, unless it is a known editor's.
    """
    usual = _usual_software(photos)
    return np.array([_is_edited(photo.software, usual[_camera(photo)]) for photo in photos], dtype=bool)


def detect_sideways_photos(photos: Sequence[PhotoMetadata]) -> Bools:
    """Return True where width and height are exchanged against the camera's others."""
    sizes: dict[tuple[str, ...], Counter[tuple[int, int]]] = {}
    for photo in photos:
        sizes.setdefault(_camera(photo), Counter())[photo.image_size_px] += 1
    return np.array(
        [
            photo.image_size_px[0] != photo.image_size_px[1]
            and sizes[_camera(photo)][photo.image_size_px[::-1]] > sizes[_camera(photo)][photo.image_size_px]
            for photo in photos
        ],
        dtype=bool,
    )


def find_interior(
    photo: PhotoMetadata, sideways: bool, interior_for: Callable[[PhotoMetadata], InteriorOrientation]
) -> InteriorOrientation:
    """Return the interior orientation of a photo.

    For a sideways one the camera's, rotated by 90° (270° is resolved later). Raises what `resolve_interior`
    raises.
    """
    if not sideways:
        return interior_for(photo)
    exif = photo.exif_size_px
    upright = replace(
        photo,
        image_size_px=photo.image_size_px[::-1],
        exif_size_px=exif[::-1] if exif is not None and _same_way(exif, photo.image_size_px) else exif,
    )
    return rotate_interior(interior_for(upright), 1)


def report_edits(
    photos: Sequence[PhotoMetadata], names: Sequence[str], edited: Bools, settled: Bools
) -> list[Problem]:
    """Report edited photos, by whether their pixels were compared with neighbours."""
    problems = []
    untouched = [photo for photo, is_edited in zip(photos, edited.tolist(), strict=True) if not is_edited]
    for code, rows, severity, verdict in (
        (
            "edited",
            edited & settled,
            Severity.INFO,
            _("whether they were turned was settled by comparing their pixels with their neighbours'"),
        ),
        (
            "edited_unsettled",
            edited & ~settled,
            Severity.WARNING,
            _(
                "they may be turned or cropped and no neighbour has enough in common with them to tell, so "
                "they are laid as their metadata say: look at them on the map, or give the originals"
            ),
        ),
    ):
        if not rows.any():
            continue
        chosen = [photo for photo, is_meant in zip(photos, rows.tolist(), strict=True) if is_meant]
        software = _listed(photo.software for photo in chosen)
        cameras = {_camera(photo) for photo in chosen}
        others = _listed(
            photo.software for photo in untouched if photo.software and _camera(photo) in cameras
        )
        others_said = _(", the others by {software}", software=others) if others else ""
        problems.append(
            Problem(
                code=code,
                severity=severity,
                sentence=ngettext(
                    "{count} photo was saved by {software}{others}: {verdict}.",
                    "{count} photos were saved by {software}{others}: {verdict}.",
                    len(chosen),
                    software=software,
                    others=others_said,
                    verdict=verdict,
                ),
                frames=tuple(names[row] for row in np.flatnonzero(rows).tolist()),
            )
        )
    return [*problems, *_cropped(photos, names, edited)]


def _cropped(photos: Sequence[PhotoMetadata], names: Sequence[str], edited: Bools) -> list[Problem]:
    """Report edited photos that were cropped, which moves the principal point.

    They have another aspect ratio than most of their camera's and a shorter long side: a camera's own wide
    photos are as long as its others.
    """
    sizes: dict[tuple[str, ...], Counter[tuple[int, int]]] = {}
    for photo in photos:
        sizes.setdefault(_camera(photo), Counter())[photo.image_size_px] += 1
    usual = {camera: counted.most_common(1)[0][0] for camera, counted in sizes.items()}
    cropped = tuple(
        name
        for photo, name, is_edited in zip(photos, names, edited.tolist(), strict=True)
        if is_edited
        and max(photo.image_size_px) < max(usual[_camera(photo)])
        and abs(_shape(photo.image_size_px) / _shape(usual[_camera(photo)]) - 1.0) > _SHAPE
    )
    if not cropped:
        return []
    return [
        Problem(
            code="cropped",
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} edited photo has another shape than the rest of its camera's: it was cropped, so "
                "its middle is not the lens's and it lies off by as much; give the original.",
                "{count} edited photos have another shape than the rest of their camera's: they were "
                "cropped, so their middle is not the lens's and they lie off by as much; give the originals.",
                len(cropped),
            ),
            frames=cropped,
        )
    ]


def _is_edited(software: str, usual: str) -> bool:
    if not software:
        return False
    if _EDITORS.search(software):
        return True
    return bool(usual) and _RELEASE.sub("", software) != _RELEASE.sub("", usual)


def _usual_software(photos: Sequence[PhotoMetadata]) -> dict[tuple[str, ...], str]:
    """Return the software tag of most photos of each camera.

    "" where no tag is on more than half of them.
    """
    counted: dict[tuple[str, ...], Counter[str]] = {}
    for photo in photos:
        counted.setdefault(_camera(photo), Counter())[photo.software] += 1
    return {
        camera: (software if 2 * count > counts.total() else "")
        for camera, counts in counted.items()
        for software, count in counts.most_common(1)
    }


def _camera(photo: PhotoMetadata) -> tuple[str, ...]:
    return photo.maker, photo.model, photo.serial, photo.band


def _shape(size_px: tuple[int, int]) -> float:
    """Return long side over short side."""
    return max(size_px) / max(min(size_px), 1)


def _same_way(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return (a[0] > a[1]) == (b[0] > b[1])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
