"""Maps of a meeting pack: what was not flown is seen to be so, and marks stand where they are."""

from __future__ import annotations

import cv2
import numpy as np

from flycam.report.pack_pictures import Drawn, map_jpeg


def test_what_was_not_flown_is_hatched_and_boundaries_are_drawn() -> None:
    shown = np.zeros((300, 400), dtype=bool)
    shown[:, :200] = True
    line = np.array([[100.0, -9.0], [100.0, 309.0]])
    green = np.zeros((300, 400, 3), dtype=np.uint8)
    green[..., 1] = 160
    jpeg = map_jpeg(green, shown, 0.5, [Drawn(lines=[line], label="1", label_px=(300.0, 150.0))])
    picture = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
    left, right = picture[20:100, 20:80], picture[20:100, 220:380]
    assert np.abs(left.astype(int) - [0, 160, 0]).max() < 30
    assert 5.0 < right.std() < 40.0  # paper with lines across it
    assert right.min() > 150
    assert picture[60, 100, 2] > 150  # yellow


def test_marks_stand_on_maps_where_they_are_and_not_beyond() -> None:
    """Red on the place itself; a sector's outline too; nothing of a mark that lies outside the picture."""
    green = np.zeros((900, 1200, 3), dtype=np.uint8)
    green[..., 1] = 160
    shown = np.ones((900, 1200), dtype=bool)
    corners = [[900.0, 150.0], [1140.0, 150.0], [1140.0, 360.0], [900.0, 360.0]]
    outline = np.array([*corners, corners[0]])
    signs = [
        Drawn(lines=[], label="1", label_px=(300.0, 300.0)),
        Drawn(lines=[outline], label="2", label_px=(1020.0, 255.0)),
        Drawn(lines=[], label="3", label_px=(-120.0, 2100.0)),
    ]

    def reds(drawn: list[Drawn]) -> np.ndarray:
        jpeg = map_jpeg(green, shown, 0.5, signs=drawn)
        picture = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR).astype(int)
        return picture[..., 2] - picture[..., 1] > 90

    red = reds(signs)
    assert red[300, 300] and red[255, 1020] and red[150, 990:1110].mean() > 0.5
    assert not red[600:].any()
    assert not reds(signs[2:]).any()
