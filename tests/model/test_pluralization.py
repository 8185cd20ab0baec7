"""One photo is one photo."""

from __future__ import annotations

import pytest

from flycam.model.text import correct_singular


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        ("1 photos are left out", "1 photo is left out"),
        ("seen by 1 photos.", "seen by 1 photo."),
        ("1 patches match", "1 patch matches"),
        ("1 photos carry no tilt: 1 frames", "1 photo carries no tilt: 1 frame"),
        ("1 changes, 0.52 ha", "1 change, 0.52 ha"),
        ("1 confirmed changes", "1 confirmed change"),
        ("1 candidates (1 landslide) on 2.0 ha", "1 candidate (1 landslide) on 2.0 ha"),
        ("takes 1 changes and 0-1 outlines", "takes 1 change and 0-1 outlines"),
        ("1 objects are lost", "1 object is lost"),
        ("1 old clips, 1 local copies; 1 accounts", "1 old clip, 1 local copy; 1 account"),
        ("2 local copies", "2 local copies"),
        ("21 photos are", "21 photos are"),
        ("1,001 photos are; 0.1 photos", "1,001 photos are; 0.1 photos"),
        ("1 of 40 photos are", "1 of 40 photos are"),
        ("DJI_1 photos-of-day", "DJI_1 photos-of-day"),
    ],
)
def test_agreed(counted: str, said: str) -> None:
    assert correct_singular(counted) == said
