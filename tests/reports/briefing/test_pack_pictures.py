"""Maps of a meeting pack: what was not flown is seen to be so, and marks stand where they are."""

from __future__ import annotations

import cv2
import numpy as np

from flycam.model.flight import DRILL_MARK
from flycam.reports.briefing.formats import to_drill_band
from flycam.reports.briefing.maps import MapOverlay, draw_map, draw_pair


def test_marks_stand_on_maps_where_they_are_and_not_beyond() -> None:
    """Red on the place itself; a sector's outline too; nothing of a mark that lies outside the picture."""
    green = np.zeros((900, 1200, 3), dtype=np.uint8)
    green[..., 1] = 160
    shown = np.ones((900, 1200), dtype=bool)
    corners = [[900.0, 150.0], [1140.0, 150.0], [1140.0, 360.0], [900.0, 360.0]]
    outline = np.array([*corners, corners[0]])
    signs = [
        MapOverlay(lines=[], label="1", label_px=(300.0, 300.0)),
        MapOverlay(lines=[outline], label="2", label_px=(1020.0, 255.0)),
        MapOverlay(lines=[], label="3", label_px=(-120.0, 2100.0)),
    ]

    def reds(drawn: list[MapOverlay]) -> np.ndarray:
        jpeg = draw_map(green, shown, 0.5, signs=drawn)
        picture = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR).astype(int)
        return picture[..., 2] - picture[..., 1] > 90

    red = reds(signs)
    assert red[300, 300] and red[255, 1020] and red[150, 990:1110].mean() > 0.5
    assert not red[600:].any()
    assert not reds(signs[2:]).any()


def test_the_mark_of_a_drill_stands_above_the_ground_and_hides_none_of_it() -> None:
    """Landslides at the upper rim of a pair were under it."""
    ground = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8).repeat(60, 0).repeat(60, 1)
    view, band = (ground, np.ones((540, 720), dtype=bool)), to_drill_band(DRILL_MARK)
    change = MapOverlay(lines=[], label="")
    for plain, marked in (
        (draw_map(*view, 0.5), draw_map(*view, 0.5, band_png=band)),
        (draw_pair(view, view, 0.5, change, None), draw_pair(view, view, 0.5, change, band)),
    ):
        shown, under = (
            cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR).astype(int)
            for jpeg in (plain, marked)
        )
        strip = len(under) - len(shown)
        assert 0 < strip < 0.15 * len(shown)
        assert np.abs(under[strip:] - shown).mean() < 3.0, "the very ground, but for compression"
        assert (np.abs(under[strip // 2, :20] - [0x6B, 0x0F, 0x7A]) < 24).all(), "as wide as the picture"
