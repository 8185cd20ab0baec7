"""What must be said beside a flight's map, as codes in the catalogue and as sentences for people.

A warning is kept as `code` or `code?name=value&…`, so that every language is spelled here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

NO_TERRAIN = "no_terrain"
TERRAIN_HOLES = "terrain_holes"


@dataclass(frozen=True, slots=True)
class _Words:
    """`brief` fits on the map; `sentence` says what it means and the cure. {names} are filled in."""

    brief_vi: str
    brief_en: str
    sentence_vi: str
    sentence_en: str


_WORDS: Mapping[str, _Words] = {
    NO_TERRAIN: _Words(
        brief_vi="không có mô hình độ cao, ảnh trải trên mặt phẳng: vị trí trên sườn dốc bị lệch",
        brief_en="no terrain model, laid on a flat plane: slopes are misplaced",
        sentence_vi=(
            "Khu vực này chưa có mô hình độ cao: mặt đất được coi là mặt phẳng ở độ cao cất cánh, nên chỗ cao"
            " hoặc thấp hơn bị lệch vị trí theo chênh cao. Thêm mô hình độ cao bằng 'flycam dem add' rồi"
            " nạp lại vào thư mục dữ liệu mới (--data): ảnh đã lên bản đồ giữ nguyên mặt đất đã dùng."
        ),
        sentence_en=(
            "No terrain is registered here: the ground was taken as a plane at take-off height, so slopes are"
            " misplaced by their height; add a DEM with 'flycam dem add' and ingest into a new data folder"
            " (--data): photos on the map keep the ground they were laid on."
        ),
    ),
    TERRAIN_HOLES: _Words(
        brief_vi="{percent} % vùng chụp không có độ cao và bị để trống",
        brief_en="{percent} % of the ground photographed has no height and stays empty",
        sentence_vi=(
            "{files}: không có độ cao cho {percent} % vùng đã chụp, phần đó để trống trên bản đồ; thêm mô"
            " hình độ cao của nơi đó bằng 'flycam dem add' rồi nạp lại vào thư mục dữ liệu mới (--data)."
        ),
        sentence_en=(
            "{files}: has no height under {percent} % of the ground photographed, which stays empty on the"
            " map; add terrain of that place with 'flycam dem add' and ingest into a new data folder"
            " (--data)."
        ),
    ),
}


def warning(code: str, **values: object) -> str:
    """The warning as the catalogue keeps it. Raises KeyError for a code or a name without words."""
    kept = {name: str(value) for name, value in values.items()}
    _WORDS[code].sentence_en.format_map(kept)
    return f"{code}?{urlencode(kept)}" if kept else code


def sentence(kept: str, language: str = "en") -> str:
    """The full sentence in "vi" or "en"; text that is no known code is said as it stands."""
    words, values = _read(kept)
    if words is None:
        return kept
    return (words.sentence_vi if language == "vi" else words.sentence_en).format_map(values)


def brief(kept: str, language: str = "en") -> str:
    """A few words for the map itself; text that is no known code is said as it stands."""
    words, values = _read(kept)
    if words is None:
        return kept
    return (words.brief_vi if language == "vi" else words.brief_en).format_map(values)


def code_of(kept: str) -> str | None:
    """The stable code; None for text that is no known code."""
    code = kept.partition("?")[0]
    return code if code in _WORDS else None


def _read(kept: str) -> tuple[_Words | None, dict[str, str]]:
    code, _, query = kept.partition("?")
    return _WORDS.get(code), dict(parse_qsl(query, keep_blank_values=True))
