"""Places in a meeting pack."""

from __future__ import annotations

import pytest

from flycam.reports.briefing.changes import format_place
from flycam.reports.layout import put_text


@pytest.mark.parametrize(
    ("meridian_deg", "said"), [(104.75, "104°45′"), (105.0, "105°00′"), (107.75, "107°45′")]
)
def test_coordinates_are_copied_with_dots_and_name_the_meridian_as_the_map_does(
    meridian_deg: float, said: str
) -> None:
    place = format_place((104.800949, 21.900053), (2422599.4, 505068.3, meridian_deg))
    assert put_text(place, "vi") == f"21.900053, 104.800949; VN-2000 X 2422599.4 Y 505068.3 (KTT {said})"
