"""Check for photos that are turned against their metadata, by comparison with neighbours.

All photos are checked, not only those with an editor's tag: a photo's thumbnail, orthorectified by its pose,
must match its neighbours. One that does so only turned by 180° (or, upright on a memory card of horizontal
ones, by 90° or 270°) is turned. Its camera is rotated with it (`geometry.quarter_turns`), so that later steps
need not know: rays go through the pixels of the file as is.

Pixels show that image and heading disagree, not which of them is wrong. Turning is reported as such only
where the heading was measured and a tag, or the aspect ratio, points to another program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.quarter_turns import rotate_exterior
from flycam.geometry.thumbnail_similarity import ALL_WINDOWS, QUICK_WINDOWS, count_agreeing_windows
from flycam.ingest.photo.pixel_checks import Checks, PixelChecks
from flycam.ingest.preflight.diagnosis import Problem, Severity, TerrainAt
from flycam.ingest.preflight.edited_photos import detect_edited_photos, detect_sideways_photos, report_edits
from flycam.ingest.preflight.flight_table import Bools
from flycam.ingest.preflight.frame_headers import ResolvedFlight
from flycam.ingest.preflight.ortho_thumbnails import OrthoThumbnails, make_exterior, rotate_thumbnail_interior
from flycam.messages import Message, ngettext

Votes = NDArray[np.int64]

_AS_READ = 4
"""Number of agreeing windows that confirms both photos of a pair."""
# Measured: 6 to 23 windows agree the right way up, none the wrong way (decision 0015).
_MIN_WINDOWS_EDITED, _MIN_WINDOWS = 4, 8
_TIMES = 4
_QUICK_NEIGHBOURS, _NEIGHBOURS = 2, 4
_MAX_UNSURE = 64


def correct_rotations(
    flight: ResolvedFlight, keep: Bools, checks: Checks, terrain_at: TerrainAt | None
) -> tuple[ResolvedFlight, list[Problem]]:
    """Rotate the cameras of turned photos, and report them.

    keep    rows that can be orthorectified
    checks  with thumbnails: without them nothing can be resolved, and edited photos are only named
    """
    photos = flight.table.photos
    edited, sideways = detect_edited_photos(photos), detect_sideways_photos(photos)
    thumbnails = [
        check.thumbnail if kept and isinstance(check := checks.get(photo.path), PixelChecks) else None
        for photo, kept in zip(photos, keep.tolist(), strict=True)
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

    def _decide(self, asked: Sequence[int], votes: Votes) -> None:
        for i in asked:
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
            problems.append(
                Problem(
                    code=code,
                    severity=Severity.INFO,
                    sentence=ngettext(
                        "{finding} ({count} place matches the neighbouring photos only when they are turned "
                        "back, {as_written} as they are); flycam has turned them back, nothing is lost.",
                        "{finding} ({count} places match the neighbouring photos only when they are turned "
                        "back, {as_written} as they are); flycam has turned them back, nothing is lost.",
                        int(votes[chosen, turn].sum()),
                        finding=describe(int(chosen.sum()), 90 * turn),
                        as_written=int(votes[chosen, 0].sum()),
                    ),
                    frames=flight.table.names_of(chosen),
                )
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
    if not unsure.any():
        return []
    count = int(unsure.sum())
    return [
        Problem(
            code="sideways",
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} photo stands upright where its camera's others lie, and shows too little in common "
                "with its neighbours to tell which way: look at it on the map.",
                "{count} photos stand upright where their camera's others lie, and show too little in common "
                "with their neighbours to tell which way: look at them on the map.",
                count,
            ),
            frames=flight.table.names_of(unsure),
        )
    ]
