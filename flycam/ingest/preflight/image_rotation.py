"""Photos turned against their metadata, and focal length from thumbnails.

Photos are compared with their neighbours by orthorectified thumbnails.

All photos are checked, not only those with an editor's tag: a photo's thumbnail, orthorectified by its pose,
must match its neighbours. One that does so only turned by 180° (or, upright on a memory card of horizontal
ones, by 90° or 270°) is turned. Its camera is rotated with it (`geometry.camera`), so that later steps
need not know: rays go through the pixels of the file as is.

Pixels show that image and heading disagree, not which of them is wrong. Turning is reported as such only
where the heading was measured and a tag, or the aspect ratio, points to another program.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import LruCache
from flycam.geodata.crs import to_lonlat
from flycam.geometry.camera import InteriorOrientation, LensModel, rotate_exterior, rotate_interior
from flycam.geometry.correlation import (
    ALL_WINDOWS,
    MAX_DISTANCE_PX,
    MIN_DISTANCE_PX,
    QUICK_WINDOWS,
    OrthoThumbnail,
    ThumbnailSquare,
    count_agreeing_windows,
    find_common_shifts,
    locate_square,
    orthorectify_thumbnail,
)
from flycam.geometry.pose import ExteriorOrientation, PoseSource, to_mat3
from flycam.ingest.photos.calibration import resolve_interior
from flycam.ingest.photos.photo_reader import PhotoMetadata
from flycam.ingest.preflight.flight_table import CLEARANCE_M, Bools, FlightTable, Floats, report_rows
from flycam.ingest.preflight.frame_headers import ResolvedFlight
from flycam.media.pixels import THUMBNAIL_PX, PixelChecks, Pixels
from flycam.messages import Message, _, ngettext
from flycam.model.diagnosis import Problem, Severity, TerrainAt

# -- Photos saved by a viewer or editor: perhaps turned, cropped or resized ------------------------
#
# A viewer that turns a photo rewrites the pixels and leaves the angles in XMP unchanged. The tag of the
# software that last wrote the file shows that it happened, never what was done: only the pixels show that
# (`correct_rotations`).


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
    photo: PhotoMetadata, sideways: bool, camera: InteriorOrientation | None
) -> InteriorOrientation:
    """Return the interior orientation of a photo.

    For a sideways one the camera's, rotated by 90° (270° is resolved later). Raises what `resolve_interior`
    raises.

    camera  as the operator states it
    """
    if not sideways:
        return resolve_interior(photo, camera)
    exif = photo.exif_size_px
    upright = replace(
        photo,
        image_size_px=photo.image_size_px[::-1],
        exif_size_px=exif[::-1] if exif is not None and _same_way(exif, photo.image_size_px) else exif,
    )
    return rotate_interior(resolve_interior(upright, camera), 1)


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
                "possibly turned or cropped, which no comparison with neighbours has decided, so the "
                "metadata are believed: look at the map, or give the originals"
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
        problems += report_rows(
            names,
            rows,
            code,
            severity,
            ngettext(
                "{count} photo was saved by {software}{others}: {verdict}.",
                "{count} photos were saved by {software}{others}: {verdict}.",
                len(chosen),
                software=software,
                others=others_said,
                verdict=verdict,
            ),
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


# -- Orthorectified thumbnails of a flight's photos, on one ground raster --------------------------


_KEPT = 96


def get_thumbnails(photos: Sequence[PhotoMetadata]) -> list[Pixels | None]:
    """Return the thumbnails of photos; None where their pixels were not looked at."""
    return [one.checks.thumbnail if isinstance(one.checks, PixelChecks) else None for one in photos]


class OrthoThumbnails:
    """Thumbnails of some rows of a flight, orthorectified on demand.

    On one raster; those used last are cached.
    """

    def __init__(
        self,
        flight: ResolvedFlight,
        rows: NDArray[np.intp],
        sideways: Bools,
        thumbnails: Sequence[Pixels],
        terrain_at: TerrainAt | None,
    ) -> None:
        self._flight, self._rows, self._sideways, self._thumbnails = flight, rows, sideways, thumbnails
        height = flight.heights.height_m[rows]
        takeoff = flight.heights.takeoffs[0].height_m if flight.heights.takeoffs else 0.0
        above = flight.heights.above_ground_m[rows]
        above = np.where(np.isfinite(above), above, height - takeoff)
        above = np.maximum(above, 1.0)
        lenses = [flight.interiors[row] for row in rows]
        across = [max(lens.image_size_px) / np.mean(lens.focal_length_px) for lens in lenses]
        self.gsd_m = gsd = float(np.median(above * across)) / THUMBNAIL_PX
        sight = flight.rotations[rows, 2]
        reach = above / np.maximum(-sight[:, 2], 0.3)
        middle = flight.xy_m[rows] + reach[:, None] * sight[:, :2]
        self._spots: list[ThumbnailSquare] = [locate_square(m, gsd) for m in middle]
        self.places = np.array([(s.column, s.row) for s in self._spots])
        nodes = np.stack([s.nodes_m(gsd) for s in self._spots])
        self._nodes = np.concatenate([nodes, self._heights(nodes, height - above, terrain_at)], axis=-1)
        self._kept = LruCache[tuple[int, int], OrthoThumbnail](_KEPT)

    def __len__(self) -> int:
        return len(self._rows)

    def orthorectify(self, i: int, quarters: int) -> OrthoThumbnail:
        """Orthorectify thumbnail i as if its image were turned by quarters × 90°."""
        return self._kept.get((i, quarters), lambda: self._orthorectify(i, quarters))

    def _orthorectify(self, i: int, quarters: int) -> OrthoThumbnail:
        row = int(self._rows[i])
        lens = rotate_thumbnail_interior(self._flight.interiors[row], quarters, bool(self._sideways[row]))
        exterior = rotate_exterior(make_exterior(self._flight, row), quarters)
        return orthorectify_thumbnail(self._thumbnails[i], lens, exterior, self._spots[i], self._nodes[i])

    def find_neighbours(self, i: int, max_count: int) -> list[int]:
        """Return the nearest others that share ground with i.

        But not so much of it that a turn would not show.
        """
        distance_px = np.abs(self.places - self.places[i]).max(axis=1)
        near = np.flatnonzero((distance_px >= MIN_DISTANCE_PX) & (distance_px <= MAX_DISTANCE_PX))
        chosen: list[int] = near[np.argsort(distance_px[near], kind="stable")][:max_count].tolist()
        return chosen

    def _heights(self, nodes: Floats, below: Floats, terrain_at: TerrainAt | None) -> Floats:
        """Return ground heights of the nodes N×K×2.

        A plane under each camera where the terrain is not known.
        """
        flat = np.broadcast_to(below[:, None], nodes.shape[:2])
        if terrain_at is None:
            return flat[..., None]
        heights, __ = terrain_at(to_lonlat(nodes.reshape(-1, 2), self._flight.work_crs))
        known = heights.reshape(flat.shape)
        return np.where(np.isfinite(known), known, flat)[..., None]


def rotate_thumbnail_interior(
    lens: InteriorOrientation, quarters: int, sideways: bool
) -> InteriorOrientation:
    """Rotate an interior orientation by quarters × 90°.

    That of a sideways photo has been rotated once already, by `find_interior`.
    """
    return rotate_interior(lens, quarters - int(sideways)) if quarters else lens


def make_exterior(flight: ResolvedFlight, row: int) -> ExteriorOrientation:
    """Return the pose of a row, without its sigmas."""
    east, north = flight.xy_m[row].tolist()
    return ExteriorOrientation(
        projection_centre_m=(east, north, float(flight.heights.height_m[row])),
        rotation=to_mat3(flight.rotations[row]),
        work_crs=flight.work_crs,
        vertical_datum=flight.heights.datum,
        grid_scale=float(flight.scale[row]),
        sigma_position_m=(0.0, 0.0, 0.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.GNSS,
    )


# -- Check for turned photos, by comparison with neighbours ----------------------------------------


Votes = NDArray[np.int64]

_AS_READ = 4
"""Number of agreeing windows that confirms both photos of a pair."""
# Measured: 6 to 23 windows agree the right way up, none the wrong way (decision 0015).
_MIN_WINDOWS_EDITED, _MIN_WINDOWS = 4, 8
_TIMES = 4
_QUICK_NEIGHBOURS, _NEIGHBOURS = 2, 4
_MAX_UNSURE = 64


def correct_rotations(
    flight: ResolvedFlight, keep: Bools, terrain_at: TerrainAt | None
) -> tuple[ResolvedFlight, list[Problem]]:
    """Rotate the cameras of turned photos, and report them.

    Without thumbnails nothing can be resolved, and edited photos are only named.

    keep  rows that can be orthorectified
    """
    photos = flight.table.photos
    edited, sideways = detect_edited_photos(photos), detect_sideways_photos(photos)
    thumbnails = [
        thumbnail if is_kept else None
        for thumbnail, is_kept in zip(get_thumbnails(photos), keep.tolist(), strict=True)
    ]
    quarters = np.zeros(len(photos), dtype=np.int64)
    votes = np.zeros((len(photos), 4), dtype=np.int64)
    sure = np.zeros(len(photos), dtype=bool)
    for band in sorted({photo.band for photo in photos}):
        of_band = (row for row, photo in enumerate(photos) if photo.band == band)
        rows = np.array([row for row in of_band if thumbnails[row] is not None], dtype=np.intp)
        if len(rows) > 1:
            shown = [t for row in rows if (t := thumbnails[row]) is not None]
            ground = OrthoThumbnails(flight, rows, sideways, shown, terrain_at)
            turns = ((1, 3, 0) if s else (0, 2) for s in sideways[rows].tolist())
            judged = _RotationVote(ground, list(turns), (edited | sideways)[rows]).judge()
            quarters[rows], votes[rows], sure[rows] = judged
    problems = [
        *report_edits(photos, flight.table.names, edited, sure),
        *_rotation_problems(flight, quarters, votes, edited | sideways),
        *_unsure(flight, sideways & ~sure & keep),
    ]
    return _turned(flight, quarters, sideways), problems


def _turned(flight: ResolvedFlight, quarters: Votes, sideways: Bools) -> ResolvedFlight:
    if not quarters.any():
        return flight
    rotations, interiors = flight.rotations.copy(), list(flight.interiors)
    for row in np.flatnonzero(quarters).tolist():
        turn = int(quarters[row])
        rotations[row] = rotate_exterior(make_exterior(flight, row), turn).rotation
        interiors[row] = rotate_thumbnail_interior(interiors[row], turn, bool(sideways[row]))
    return replace(flight, rotations=rotations, interiors=interiors)


@dataclass
class _RotationVote:
    """Vote on the turn with which each photo agrees with its neighbours.

    turns      possible quarter turns of each
    suspected  True where something else points to a turn: less evidence suffices
    """

    ground: OrthoThumbnails
    turns: list[tuple[int, ...]]
    suspected: Bools

    def judge(self) -> tuple[Votes, Votes, Bools]:
        """Return quarter turns N, agreeing windows by turn N×4, and certain rows N."""
        n = len(self.ground)
        self._known: dict[int, int] = {}
        self._windows: dict[tuple[int, int, int, int], int] = {}
        for i in range(n):
            self._confirm(i)
        votes = np.zeros((n, 4), dtype=np.int64)
        doubtful = [i for i in range(n) if i not in self._known]
        first = self._first_candidates(doubtful)
        self._decide(first, votes)
        if any(self._known.get(i) and not self.suspected[i] for i in first):
            self._decide([i for i in doubtful if i not in set(first)], votes)
        quarters = np.array([self._known.get(i, 0) for i in range(n)], dtype=np.int64)
        return quarters, votes, np.isin(np.arange(n), list(self._known))

    def _confirm(self, i: int) -> None:
        """Confirm photos that agree as their metadata state: most flights end here."""
        if i in self._known or 0 not in self.turns[i]:
            return
        for j in self.ground.find_neighbours(i, _QUICK_NEIGHBOURS):
            if 0 in self.turns[j] and self._agreement(i, 0, j, 0, QUICK_WINDOWS) >= _AS_READ:
                self._known[i] = self._known[j] = 0
                return

    def _first_candidates(self, doubtful: Sequence[int]) -> list[int]:
        """Return all suspected rows and a bounded choice of the others.

        Bounded because over forest nothing agrees at all.
        """
        others = [i for i in doubtful if not self.suspected[i]]
        step = max(1, -(-len(others) // _MAX_UNSURE))
        return sorted([*(i for i in doubtful if self.suspected[i]), *others[::step]])

    def _decide(self, candidates: Sequence[int], votes: Votes) -> None:
        for i in candidates:
            for j in self.ground.find_neighbours(i, _NEIGHBOURS):
                possible = (self._known[j],) if j in self._known else self.turns[j]
                for own in self.turns[i]:
                    votes[i, own] += max(self._agreement(i, own, j, q, ALL_WINDOWS) for q in possible)
            best = int(votes[i].argmax())
            others = int(np.delete(votes[i], best).max())
            least = _MIN_WINDOWS_EDITED if self.suspected[i] else _MIN_WINDOWS
            if votes[i, best] >= max(least, _TIMES * others):
                self._known[i] = best

    def _agreement(self, i: int, turn_i: int, j: int, turn_j: int, most: int) -> int:
        if i > j:
            i, turn_i, j, turn_j = j, turn_j, i, turn_i
        key = (i, 4 * turn_i + turn_j, j, most)
        if key not in self._windows:
            a, b = self.ground.orthorectify(i, turn_i), self.ground.orthorectify(j, turn_j)
            self._windows[key] = count_agreeing_windows(a, b, most)
        return self._windows[key]


def _rotation_problems(
    flight: ResolvedFlight, quarters: Votes, votes: Votes, saved_again: Bools
) -> list[Problem]:
    guessed = flight.attitude.course_only
    problems = []
    for turn in (1, 2, 3):
        for code, rows, describe in (
            ("heading_guessed_wrong", guessed, _describe_wrong_course),
            ("turned", ~guessed & saved_again, _describe_saved_turn),
            ("turned", ~guessed & ~saved_again, _describe_unexplained_turn),
        ):
            chosen = rows & (quarters == turn)
            if not chosen.any():
                continue
            problems += report_rows(
                flight.table.names,
                chosen,
                code,
                Severity.INFO,
                ngettext(
                    "{finding} ({count} place matches the neighbouring photos only when they are turned "
                    "back, {as_written} as they are); flycam has turned them back, nothing is lost.",
                    "{finding} ({count} places match the neighbouring photos only when they are turned "
                    "back, {as_written} as they are); flycam has turned them back, nothing is lost.",
                    int(votes[chosen, turn].sum()),
                    finding=describe(int(chosen.sum()), 90 * turn),
                    as_written=int(votes[chosen, 0].sum()),
                ),
            )
    return problems


def _describe_wrong_course(count: int, turn_deg: int) -> Message:
    return ngettext(
        "{count} photo states no heading, and the course taken for it is off by {turn_deg}°",
        "{count} photos state no heading, and the course taken for it is off by {turn_deg}°",
        count,
        turn_deg=turn_deg,
    )


def _describe_saved_turn(count: int, turn_deg: int) -> Message:
    return ngettext(
        "{count} of the photos was turned by {turn_deg}° clockwise after it was taken",
        "{count} of the photos were turned by {turn_deg}° clockwise after they were taken",
        count,
        turn_deg=turn_deg,
    )


def _describe_unexplained_turn(count: int, turn_deg: int) -> Message:
    return ngettext(
        "{count} of the photos lies turned by {turn_deg}° clockwise against the heading in its tags, which "
        "name no other program",
        "{count} of the photos lie turned by {turn_deg}° clockwise against the heading in their tags, which "
        "name no other program",
        count,
        turn_deg=turn_deg,
    )


def _unsure(flight: ResolvedFlight, unsure: Bools) -> list[Problem]:
    return report_rows(
        flight.table.names,
        unsure,
        "sideways",
        Severity.WARNING,
        ngettext(
            "{count} photo stands upright where its camera's others lie, and shows too little in common "
            "with its neighbours to tell which way: look at it on the map.",
            "{count} photos stand upright where their camera's others lie, and show too little in common "
            "with their neighbours to tell which way: look at them on the map.",
            int(unsure.sum()),
        ),
    )


# -- Focal length of an unknown camera, from the flight's images -----------------------------------
#
# Thumbnails are orthorectified with a guessed focal length. If the true one is k times as long, everything in
# a frame lies k times as far from the frame's centre M as it should: one object in two frames is placed (1 -
# k)(M2 - M1) apart, wherever in them it lies. So shift and baseline of neighbours give k. An error of height
# appears as one of focal length: the mosaic is right with both, and `finish` separates them.


_GUESSES = 0.5 * 1.25 ** np.arange(7)
"""Trial focal lengths over the longer side, 90° to 29° wide: matching tolerates a shift of a fifth."""
_MAX_PHOTOS_FIRST, _MAX_PHOTOS = 24, 200
_FOCAL_NEIGHBOURS = 2
_MIN_FOCAL_WINDOWS, _MIN_PAIRS = 4, 4
_STEEP = -np.cos(np.radians(20.0))
_MIN_SIGMA_REL, _MAX_SIGMA_REL = 0.01, 0.25


@dataclass(frozen=True)
class _Fit:
    """Ratio k of true to guessed focal length by pair of neighbours, and windows."""

    k: Floats
    windows: int


def guess_interior(size_px: tuple[int, int], focal_over_side: float = 0.75) -> InteriorOrientation:
    """Return a pinhole camera for an unknown photo (width, height)."""
    focal = focal_over_side * max(size_px)
    return InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=size_px,
        focal_length_px=(focal, focal),
        principal_point_px=((size_px[0] - 1) / 2.0, (size_px[1] - 1) / 2.0),
        calibration_id="flight:neighbouring photos",
        sigma_focal_rel=_MAX_SIGMA_REL,
    )


def estimate_interiors(
    flight: ResolvedFlight, unnamed: Bools, terrain_at: TerrainAt | None
) -> tuple[dict[int, InteriorOrientation], list[Problem]]:
    """Estimate interiors of the rows `unnamed`, by row, as far as images show them.

    Also returns findings.

    flight  its interiors in the rows `unnamed` are ignored
    """
    table = flight.table
    cameras = [(photo.camera_name, photo.image_size_px) for photo in table.photos]
    usable = unnamed & (flight.heights.above_ground_m > CLEARANCE_M) & (flight.rotations[:, 2, 2] < _STEEP)
    lenses: dict[int, InteriorOrientation] = {}
    problems = []
    for camera in sorted({cameras[row] for row in np.flatnonzero(unnamed)}):
        own = np.array([one == camera for one in cameras]) & unnamed
        found = _estimate(flight, np.flatnonzero(own & usable), terrain_at)
        if found is not None:
            lens, pairs = found
            lenses.update(dict.fromkeys(np.flatnonzero(own).tolist(), lens))
            problems.append(_estimated(table, own, lens, pairs))
    return lenses, problems


def _estimate(
    flight: ResolvedFlight, rows: NDArray[np.intp], terrain_at: TerrainAt | None
) -> tuple[InteriorOrientation, int] | None:
    """Estimate the interior of rows of one camera; also return the number of pairs.

    None where too few agree.
    """
    looks = {row: flight.table.photos[row].checks for row in rows.tolist()}
    shown = {
        row: look.thumbnail
        for row, look in looks.items()
        if isinstance(look, PixelChecks) and look.thumbnail is not None
    }
    rows = np.array(list(shown), dtype=np.intp)[:_MAX_PHOTOS]
    if len(rows) < 2:
        return None
    size = flight.table.photos[rows[0]].image_size_px

    def fit(ratio: float, most_photos: int, most_windows: int) -> _Fit:
        some = rows[:most_photos]
        interiors = list(flight.interiors)
        for row in some.tolist():
            interiors[row] = guess_interior(size, ratio)
        thumbnails = [shown[row] for row in some.tolist()]
        upright = np.zeros(len(flight.table), dtype=bool)
        ortho = OrthoThumbnails(replace(flight, interiors=interiors), some, upright, thumbnails, terrain_at)
        return _fit(ortho, most_windows)

    tried = [(fit(ratio, _MAX_PHOTOS_FIRST, QUICK_WINDOWS), ratio) for ratio in _GUESSES.tolist()]
    first, ratio = max(tried, key=lambda one: one[0].windows)
    for __ in range(2):
        if len(first.k) < _MIN_PAIRS:
            return None
        ratio *= float(np.median(first.k))
        first = fit(ratio, _MAX_PHOTOS, ALL_WINDOWS)
    if len(first.k) < _MIN_PAIRS:
        return None
    k = float(np.median(first.k))
    spread = 1.4826 * float(np.median(np.abs(first.k - k))) / k
    heights = flight.heights.sigma_m[rows] / flight.heights.above_ground_m[rows]
    sigma = float(np.sqrt(_MIN_SIGMA_REL**2 + spread**2 / len(first.k) + np.median(heights) ** 2))
    if not sigma < _MAX_SIGMA_REL:
        return None
    return replace(guess_interior(size, ratio * k), sigma_focal_rel=sigma), len(first.k)


def _fit(thumbnails: OrthoThumbnails, most_windows: int) -> _Fit:
    """Return k by every two neighbours that show the same ground."""
    pairs = {
        tuple(sorted((i, j)))
        for i in range(len(thumbnails))
        for j in thumbnails.find_neighbours(i, _FOCAL_NEIGHBOURS)
    }
    found, windows = [], 0
    for i, j in sorted(pairs):
        shifts = find_common_shifts(
            thumbnails.orthorectify(i, 0), thumbnails.orthorectify(j, 0), most_windows
        )
        baseline = (thumbnails.places[j] - thumbnails.places[i]).astype(np.float64)
        k = 1.0 - float(np.median(shifts, axis=0) @ baseline / (baseline @ baseline)) if len(shifts) else 0.0
        if len(shifts) >= _MIN_FOCAL_WINDOWS and k > 0.0:
            found.append(k)
            windows += len(shifts)
    return _Fit(np.array(found), windows)


def _estimated(table: FlightTable, rows: Bools, lens: InteriorOrientation, pairs: int) -> Problem:
    count, focal, percent = int(rows.sum()), lens.focal_length_px[0], 100.0 * lens.sigma_focal_rel
    return Problem(
        code="lens_estimated",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{count} photo does not say what lens took it: by what {pairs} pairs of neighbours show of one "
            "ground its focal length is {focal_px:.0f} px ± {sigma_pct:.0f} %; finish measures it, or give "
            "the camera with --camera.",
            "{count} photos do not say what lens took them: by what {pairs} pairs of neighbours show of one "
            "ground its focal length is {focal_px:.0f} px ± {sigma_pct:.0f} %; finish measures it, or give "
            "the camera with --camera.",
            count,
            pairs=pairs,
            focal_px=focal,
            sigma_pct=percent,
        ),
        frames=table.names_of(rows),
    )
