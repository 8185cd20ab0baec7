"""A letterhead is read from JSON or YAML, and what is no letterhead is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.errors import SourceUnreadable
from flycam.reports.briefing.figures import Letterhead
from flycam.reports.briefing.workflow import read_letterhead


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    yaml, json = tmp_path / "a.yaml", tmp_path / "a.json"
    yaml.write_text(
        "issuer: UBND xã  Nậm Lúc\nnumber: 12\nrecipients: [Thường trực Tỉnh uỷ, Lưu VT]\n", "utf-8"
    )
    json.write_text(
        '{"issuer": "UBND xã Nậm Lúc", "number": "12", "recipients": ["Thường trực Tỉnh uỷ", "Lưu VT"]}',
        "utf-8",
    )
    said = Letterhead(issuer="UBND xã Nậm Lúc", number="12", recipients=("Thường trực Tỉnh uỷ", "Lưu VT"))
    assert read_letterhead(yaml) == said == read_letterhead(json)


@pytest.mark.parametrize(
    ("text", "heading"),
    [("{}", None), ("heading: []", ()), ("heading: [Ville de  Lyon]", ("Ville de Lyon",))],
)
def test_a_heading_takes_the_place_of_the_nations_and_an_empty_one_is_none(
    tmp_path: Path, text: str, heading: tuple[str, ...] | None
) -> None:
    (tmp_path / "a.yaml").write_text(text, "utf-8")
    assert read_letterhead(tmp_path / "a.yaml").heading == heading


@pytest.mark.parametrize(
    "text",
    [
        "",
        "issuer: {a: b}",
        "recipients: one",
        "a: [",
        "!!python/name:os.system",
    ],
)
def test_what_is_no_letterhead_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mau.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(SourceUnreadable, match=r"mau\.yaml"):
        read_letterhead(path)
