"""Positions that jumped are named, by pictures or by the line around them; turns and gaps raise no alarm."""

from dataclasses import replace

import numpy as np
import pytest

from flycam.ingest.preflight_check import diagnose
from flycam.media.pixels import check_pixels
from tests.ingest.photos.made_flights import CAMERA, M_PER_DEG, strips
from tests.ingest.preflight.turned_flights import fields_and_roads, flat, problem, shown_by

PHOTOS = strips(lines=3, per_line=8)
GROUND = fields_and_roads()
# leaves: nothing that two photos have in common
FOREST = np.random.default_rng(8)


def jumped(rows, *, turned=(), forest=False, photos=PHOTOS, north_m=50.0):
    """Diagnosis of photos some of which (by index) say that they were taken elsewhere."""
    pictures = shown_by(diagnose(photos, camera=CAMERA, terrain_at=flat).headers, GROUND)
    handed = []
    for k, one in enumerate(photos):
        picture = pictures[one.name] if not forest else FOREST.integers(0, 255, (300, 400), dtype=np.uint8)
        checks = check_pixels(np.ascontiguousarray(np.rot90(picture, 2 if k in turned else 0)))
        lat = one.lat_deg + (north_m / M_PER_DEG if k in rows else 0.0)
        handed.append(replace(one, lat_deg=lat, checks=checks))
    return problem(diagnose(handed, camera=CAMERA, terrain_at=flat), "position_jumped")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"rows": (3, 12)}, (3, 12)),
        ({"rows": (11, 12)}, (11, 12)),  # in a row
        ({"rows": (0, 23)}, (0, 23)),  # first and last
        ({"rows": (12,), "turned": (12,)}, (12,)),
        ({"rows": (3, 12), "forest": True}, (3, 12)),
    ],
)
def test_a_position_that_jumped_is_named(rows, told):
    found = jumped(**rows)
    assert found is not None and found.frames == tuple(PHOTOS[k].name for k in told)
    assert found.sentence.values["away_m"] == pytest.approx(50.0, abs=5.0)


@pytest.mark.parametrize("forest", [False, True])
@pytest.mark.parametrize(
    "photos",
    [
        PHOTOS,
        [one for k, one in enumerate(PHOTOS) if k not in (2, 3, 9, 13, 14)],  # gaps
        strips(lines=6, per_line=2, turn_s=2.0),  # hardly more than turns
        strips(lines=3, per_line=8, step_m=0.5),  # nearly in hover
    ],
)
def test_turns_gaps_and_hover_raise_no_alarm(photos, forest):
    assert jumped((), photos=photos, forest=forest) is None
