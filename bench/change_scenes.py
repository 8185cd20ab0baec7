"""The places on which changes are judged, and those on which the detector was developed. One list, one file.

The seeds of STORM and CALM were committed before the detector was last changed. They are run once, to report,
never to choose a feature, a threshold or a coefficient: those are chosen on DEVELOPMENT_STORM and
DEVELOPMENT_CALM alone. Whoever looks at what STORM and CALM give and changes the detector after that moves
them into development and commits fresh ones first. So it went with 90001 to 90018 and 91001 to 91013, which
reported on the first detector, and with 92001 to 92018 and 93001 to 93013, which reported on the second.
Every seed draws another valley, sun, season, haze, clouds, fields, roads, misregistration.

Each place is one true top view before and after (tests.drill.topview), not a flight through `finish`.

LOOKS of places: "plain", the drill's own; "fitted" and "aside", drawn from the two sets of ranges that do not
meet (flycam.drill.appearance); "simple", of another renderer (change_plain.py). Nothing is fitted on the last
two.
"""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import change_plain
from bench.flights import ROOT
from bench.kept import key_of, made_once
from flycam.change.image_pair import ImagePair
from flycam.drill.appearance import FITTED_RANGES, HELD_OUT_RANGES, PLAIN_APPEARANCE, draw_appearance
from flycam.drill.land import CENTRE_M
from tests.drill.topview import ViewPair, view_pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A square of `measure_longer_side` around the drill's centre, at `compute_gsd_m`.

    relief_m: of the valley's sides; look: see above.
    """

    seed: int
    side_m: float
    gsd_m: float
    relief_m: float
    storm: bool
    look: str = "plain"

    @property
    def km2(self) -> float:
        return (self.side_m / 1000.0) ** 2

    @property
    def name(self) -> str:
        return f"{'storm' if self.storm else 'calm'} {self.seed}, {self.side_m:.0f} m at {self.gsd_m:g} m"

    def views(self) -> ViewPair:
        """Rendered anew every time: the same scene, the same bytes."""
        if self.look == "simple":
            return change_plain.plain_pair(self.seed, self.side_m, self.gsd_m, storm=self.storm)
        half = self.side_m / 2.0
        east, north = CENTRE_M
        return view_pair(
            (east - half, north - half, east + half, north + half),
            self.gsd_m,
            seed=self.seed,
            relief_m=self.relief_m,
            storm=self.storm,
            look=PLAIN_APPEARANCE if self.look == "plain" else draw_appearance(self.seed, _RANGES[self.look]),
        )


_RANGES = {"fitted": FITTED_RANGES, "aside": HELD_OUT_RANGES}


def _scenes(
    first: int, sizes: tuple[tuple[float, float], ...], *, storm: bool, look: str = "plain"
) -> tuple[Scene, ...]:
    reliefs = (180.0, 130.0, 230.0)
    return tuple(
        Scene(
            seed=first + k,
            side_m=side,
            gsd_m=gsd,
            relief_m=reliefs[k % len(reliefs)],
            storm=storm,
            look=look,
        )
        for k, (side, gsd) in enumerate(sizes)
    )


_STORM_SIZES = ((700.0, 0.5),) * 12 + ((500.0, 0.3),) * 4 + ((360.0, 0.15),) * 2
_CALM_SIZES = ((1000.0, 0.5),) * 11 + ((500.0, 0.3),) * 2

STORM = _scenes(94_001, _STORM_SIZES, storm=True)
CALM = _scenes(95_001, _CALM_SIZES, storm=False)

DEVELOPMENT_STORM = (
    *_scenes(501, ((700.0, 0.5),) * 14 + ((500.0, 0.3),) * 4 + ((360.0, 0.15),) * 2, storm=True),
    *_scenes(90_001, _STORM_SIZES, storm=True),
    *_scenes(92_001, _STORM_SIZES, storm=True),
)
DEVELOPMENT_CALM = (
    *_scenes(601, ((1000.0, 0.5),) * 8 + ((500.0, 0.3),) * 2, storm=False),
    *_scenes(91_001, _CALM_SIZES, storm=False),
    *_scenes(93_001, _CALM_SIZES, storm=False),
)

_LOOK_STORM, _LOOK_CALM = ((450.0, 0.5),), ((600.0, 0.5),)
# what the detector is fitted on: many looks, and some of the drill's own; cells on the first calm ones
FITTED_STORM = (*DEVELOPMENT_STORM[:6], *_scenes(210_001, _LOOK_STORM * 200, storm=True, look="fitted"))
FITTED_CALM = (*DEVELOPMENT_CALM[:2], *_scenes(211_001, _LOOK_CALM * 30, storm=False, look="fitted"))
LOOKS = {
    look: (
        *_scenes(first, _LOOK_STORM * 10, storm=True, look=look),
        *_scenes(first + 500, _LOOK_CALM * 4, storm=False, look=look),
    )
    for look, first in (("plain", 202_001), ("fitted", 203_001), ("aside", 204_001), ("simple", 205_001))
}


def image_pair(pair: ViewPair) -> ImagePair:
    """What the detector gets of a pair of views."""
    return ImagePair(
        before_rgb=pair.before.rgb,
        after_rgb=pair.after.rgb,
        before_seen=pair.before.seen,
        after_seen=pair.after.seen,
        gsd_m=pair.window.cell_m,
        heights_m=pair.heights_m,
    )


def kept(scene: Scene, folder: Path | None = None) -> ViewPair:
    """The scene, made once in `folder` (default: under `.bench/`), anew when it or the drill changes."""
    made_with = asdict(scene)
    if scene.look == "simple":
        made_with["by"] = Path(change_plain.__file__).read_bytes()
    path = (folder or ROOT / "changes") / f"{scene.seed}-{key_of(**made_with)}.pickle"
    made_once(path, lambda staging: staging.write_bytes(pickle.dumps(scene.views())))
    return pickle.loads(path.read_bytes())
