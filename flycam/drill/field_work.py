"""Field work between two dates: ploughing, harvest, flooding, clearing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import CellWindow
from flycam.drill.date_changes import TERRACES, Confuser, DateChanges, normalise_field_work
from flycam.drill.land_cover import LandCover
from flycam.drill.spatial_noise import Singles
from flycam.drill.valley import ValleyFields

# indices into the stages of `ground_colour._STAGES`, to which a paddy's parcel number is scaled
_STAGES = 7
_WATER_STAGE, _MUD_STAGE = 5, 6
_CLEARED_SLOPE = (0.12, 0.85)


def apply_field_work(
    cover: NDArray[np.uint8], parcel: Singles, fields: ValleyFields, window: CellWindow, between: DateChanges
) -> tuple[NDArray[np.uint8], Singles, NDArray[np.uint8]]:
    """Return cover, parcel and Confuser numbers of one band after the season's work.

    The band is of bare ground.
    """
    after, parcel_after = cover.copy(), parcel.copy()
    confuser = np.zeros(cover.shape, np.uint8)
    lot = _lot(parcel, between.seed, 1)
    worked = lot < between.fields

    wet_fields = np.isin(cover, (LandCover.PADDY, LandCover.TERRACE)) & worked
    now = _lot(parcel, between.seed, 2)
    parcel_after[wet_fields] = now[wet_fields]
    stage, was = (now * _STAGES).astype(int), (parcel * _STAGES).astype(int)
    changed = wet_fields & (stage != was)
    confuser[changed] = Confuser.CROP
    confuser[changed & (stage == _MUD_STAGE)] = Confuser.PLOUGHED
    confuser[changed & (stage == _WATER_STAGE)] = Confuser.WET_PADDY
    terraced = cover == LandCover.TERRACE
    for terrace in TERRACES:
        confuser[terraced & (confuser == normalise_field_work(np.array(terrace)))] = terrace

    green, bare = (cover == LandCover.MAIZE) & worked, (cover == LandCover.PLOUGHED) & worked
    after[green], confuser[green] = LandCover.PLOUGHED, Confuser.PLOUGHED
    after[bare], confuser[bare] = LandCover.MAIZE, Confuser.CROP

    slope = fields.interpolate("slope", window.eastings, window.northings)
    low, high = _CLEARED_SLOPE
    cut = (
        np.isin(cover, (LandCover.FOREST, LandCover.SCRUB))
        & (_lot(parcel, between.seed, 3) < between.cleared)
        & (slope > low)
        & (slope < high)
    )
    after[cut], confuser[cut] = LandCover.PLOUGHED, Confuser.CLEARED
    return after, parcel_after, confuser


def _lot(parcel: Singles, seed: int, use: int) -> Singles:
    """Return another number in [0, 1) for each parcel, the same all over it."""
    phase = np.random.default_rng([seed, use]).random()
    return np.asarray(np.modf(parcel.astype(np.float64) * 1013.0 * use + phase)[0], np.float32)
