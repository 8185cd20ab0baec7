"""What must be said beside a flight's map, as codes in the catalogue and as sentences for people.

A warning is kept as `code` or `code?name=value&…`, so that every language is spelled here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from flycam.frame.agreement import agreed
from flycam.frame.film_words import FILM_WORDS
from flycam.frame.sharing_words import SHARING_WORDS
from flycam.frame.warning_words import Words

NO_TERRAIN = "no_terrain"
TERRAIN_HOLES = "terrain_holes"
RELAID = "relaid"
RELAID_FLAT = "relaid_flat"
SET_ASIDE_FRAMES = "set_aside_frames"
TERRAIN_WAITS = "terrain_waits"
GSD_KEPT = "gsd_kept"
FINER_PHOTOS = "finer_photos"
EVENT_KEPT = "event_kept"
EVENT_CHOSEN = "event_chosen"
NAME_KEPT = "name_kept"
LAID_AS_BEFORE = "laid_as_before"
WITHDRAWN = "withdrawn"
LET_GO = "let_go"
MENDED = "mended"
KEPT_NOW = "kept_now"
COMPLETED = "completed"
FINISHED_OLDER = "finished_older"
MAYBE_INFRARED = "maybe_infrared"
CRS_OUTSIDE = "crs_outside"
CRS_ACCURACY = "crs_accuracy"
LAYER_MOVED = "layer_moved"
READOUT_UNKNOWN = "readout_unknown"
BOUNDARIES_LATER = "boundaries_later"
ROOM_MADE = "room_made"

_UNNAMED = {"film": "video"}  # of what was kept before films were named


_WORDS: Mapping[str, Words] = {
    **FILM_WORDS,
    **SHARING_WORDS,
    NO_TERRAIN: Words(
        brief_vi="không có mô hình độ cao, ảnh trải trên mặt phẳng: vị trí trên sườn dốc bị lệch",
        brief_en="no terrain model, laid on a flat plane: slopes are misplaced",
        sentence_vi=(
            "Khu vực này chưa có mô hình độ cao: mặt đất được coi là mặt phẳng ở độ cao cất cánh, nên chỗ cao"
            " hoặc thấp hơn bị lệch vị trí theo chênh cao. Thêm mô hình độ cao bằng 'flycam dem add' rồi"
            " đưa lại chính các ảnh này (ingest) hoặc tệp video này (live): chúng sẽ được trải lại trên mô"
            " hình đó; riêng luồng trực tiếp thì không trải lại được."
        ),
        sentence_en=(
            "No terrain is registered here: the ground was taken as a plane at take-off height, so slopes are"
            " misplaced by their height; add a DEM with 'flycam dem add' and ingest the photos again, or give"
            " the film to 'flycam live' again: they are laid anew on it (what came from a live stream is"
            " not)."
        ),
        finished_vi="không có mô hình độ cao: ngoài bề mặt đo từ chính chuyến bay, ảnh trải trên mặt phẳng",
        finished_en="no terrain model: beside the surface measured from the flight, laid on a flat plane",
    ),
    MAYBE_INFRARED: Words(
        brief_vi="có thể là ảnh cận hồng ngoại: màu trên bản đồ có thể không phải màu thật",
        brief_en="may be near-infrared: the colours on the map may not be real ones",
        sentence_vi=(
            "Máy ảnh của chuyến bay này ({camera}) có thể gắn kính lọc màu hoặc cận hồng ngoại, không có thẻ"
            " ghi rõ, nên được coi là ảnh màu. Nếu cây cối có màu đỏ hoặc tím, đó là ảnh cận hồng ngoại: hãy"
            " nạp lại các ảnh này với --layer infrared: chúng sẽ được chuyển sang lớp đó."
        ),
        sentence_en=(
            "The camera of this flight ({camera}) is carried with a colour or a near-infrared filter, and no"
            " tag says which: its photos are taken as colour. If plants look red or violet they are"
            " near-infrared: ingest them again with --layer infrared, which moves them to that layer."
        ),
    ),
    LAYER_MOVED: Words(
        brief_vi="đã chuyển {frames} ảnh sang lớp {after_vi}",
        brief_en="{frames} photos moved to the {after} layer",
        sentence_vi=(
            "Đã chuyển {frames} ảnh từ lớp {before_vi} sang lớp {after_vi}: bản đồ của cả hai lớp được dựng"
            " lại từ ảnh gốc; lớp cũ được giữ trong cơ sở dữ liệu."
        ),
        sentence_en=(
            "{frames} photos moved from the {before} to the {after} layer: both maps were folded anew from"
            " the photos; where they lay before is kept on record."
        ),
    ),
    CRS_OUTSIDE: Words(
        brief_vi="{crs} không dành cho nơi này",
        brief_en="{crs} is not meant for this place",
        sentence_vi=(
            "--crs {crs}: hệ toạ độ này chỉ dùng cho {zone}, còn chuyến bay ở {place}; tệp vẫn được ghi,"
            " nhưng khoảng cách và diện tích đo trên đó có thể sai; {fitting} dùng được ở đây."
        ),
        sentence_en=(
            "--crs {crs}: this system holds for {zone}, and the flight lies at {place}; the file is written"
            " all the same, but lengths and areas measured on it may be wrong; {fitting} fits here."
        ),
    ),
    CRS_ACCURACY: Words(
        brief_vi="{crs} chỉ chuyển được với sai số khoảng {accuracy} m",
        brief_en="{crs} is reached to about {accuracy} m only",
        sentence_vi=(
            "--crs {crs}: từ WGS 84 chỉ chuyển được sang hệ này với sai số khoảng {accuracy} m, vì ở đây"
            " không có phép chuyển tốt hơn: toạ độ đọc trên tệp lệch đến chừng ấy."
        ),
        sentence_en=(
            "--crs {crs}: this system is reached from WGS 84 to about {accuracy} m here, for want of a better"
            " transformation: coordinates read from the file are off by as much."
        ),
    ),
    TERRAIN_HOLES: Words(
        brief_vi="{percent} % vùng chụp không có độ cao và bị để trống",
        brief_en="{percent} % of the ground photographed has no height and stays empty",
        sentence_vi=(
            "{files}: không có độ cao cho {percent} % vùng đã chụp, phần đó để trống trên bản đồ; thêm mô"
            " hình độ cao của nơi đó bằng 'flycam dem add' rồi đưa lại chính các ảnh hoặc tệp video này."
        ),
        sentence_en=(
            "{files}: has no height under {percent} % of the ground photographed, which stays empty on the"
            " map; add terrain of that place with 'flycam dem add' and ingest the photos again, or give the"
            " film to 'flycam live' again."
        ),
    ),
    ROOM_MADE: Words(
        brief_vi="ổ đĩa sắp đầy, đã giải phóng {mb} MB",
        brief_en="the disk is nearly full, {mb} MB were freed",
        sentence_vi=(
            "Ổ đĩa sắp đầy: đã xoá {tiles} bản cũ của mảnh bản đồ, {clips} bản cắt cũ và {copies} bản sao cục"
            " bộ, được {mb} MB; đều là thứ làm lại được, ảnh gốc và bản đồ đang xem không bị đụng tới. Hãy"
            " chuẩn bị ổ đĩa lớn hơn, hoặc chạy 'flycam collect'."
        ),
        sentence_en=(
            "The disk is nearly full: {tiles} old states of tiles, {clips} old clips and {copies} local"
            " copies were deleted, {mb} MB; all of it can be made again, originals and the map on show were"
            " not touched. See to a larger disk, or run 'flycam collect'."
        ),
    ),
    RELAID: Words(
        brief_vi="đã trải lại {frames} ảnh trên {files}",
        brief_en="{frames} frames re-laid on {files}",
        sentence_vi=(
            "Đã trải lại {frames} ảnh trên {files}: độ cao và vị trí được xác định lại, bản đồ được dựng lại"
            " từ ảnh gốc; vị trí cũ được giữ trong cơ sở dữ liệu."
        ),
        sentence_en=(
            "{frames} frames re-laid on {files}: heights and positions were settled again and the map was"
            " folded anew from the photos; the old placements are kept on record."
        ),
    ),
    RELAID_FLAT: Words(
        brief_vi="đã trải lại {frames} ảnh trên mặt phẳng",
        brief_en="{frames} frames re-laid on a plane",
        sentence_vi=(
            "Đã trải lại {frames} ảnh trên mặt phẳng ở độ cao cất cánh: vị trí được xác định lại, bản đồ"
            " được dựng lại từ ảnh gốc; vị trí cũ được giữ trong cơ sở dữ liệu."
        ),
        sentence_en=(
            "{frames} frames re-laid on a plane at take-off height: positions were settled again and the map"
            " was folded anew from the photos; the old placements are kept on record."
        ),
    ),
    SET_ASIDE_FRAMES: Words(
        brief_vi="{frames} ảnh không trải được trên địa hình mới",
        brief_en="{frames} frames cannot be laid on the new terrain",
        sentence_vi=(
            "{names}: không trải được trên địa hình hiện có nên {frames} ảnh này không còn trên bản đồ; thêm"
            " mô hình độ cao của nơi đó bằng 'flycam dem add' rồi nạp lại."
        ),
        sentence_en=(
            "{names}: cannot be laid on the terrain that is known, so {frames} frames are off the map; add"
            " terrain of that place with 'flycam dem add' and ingest again."
        ),
    ),
    TERRAIN_WAITS: Words(
        brief_vi="có địa hình mới, chưa dùng",
        brief_en="there is newer terrain, not used yet",
        sentence_vi=(
            "{files}: chỉ biết độ cao của {percent} % vùng chụp, và {lost} ảnh sẽ mất khỏi bản đồ, nên chuyến"
            " bay giữ nguyên; thêm địa hình của phần còn lại, hoặc chạy lại với --relay để vẫn trải lại."
        ),
        sentence_en=(
            "{files}: knows {percent} % of the ground photographed and {lost} frames would leave the map, so"
            " the flight stays as it lies; add terrain of the rest, or run again with --relay to lay it there"
            " all the same."
        ),
    ),
    BOUNDARIES_LATER: Words(
        brief_vi="ranh giới xã từ {since_vi}, sau ngày bay",
        brief_en="commune boundaries of {since}, later than the flight",
        sentence_vi=(
            "Chưa có ranh giới xã của ngày bay ({day_vi}): dùng ranh giới có hiệu lực từ {since_vi}; nếu có"
            " ranh giới của ngày đó, hãy nạp bằng 'flycam communes add TỆP --valid-from NGÀY' rồi nạp lại"
            " ảnh."
        ),
        sentence_en=(
            "No commune boundaries are recorded for the day of the flight ({day}): those in force from"
            " {since} are used; if you have boundaries of that day, add them with 'flycam communes add FILE"
            " --valid-from DATE' and ingest the photos again."
        ),
    ),
    READOUT_UNKNOWN: Words(
        brief_vi="không rõ thời gian đọc ảnh (màn trập cuốn) của {frames} ảnh nên không tính",
        brief_en="rolling-shutter readout of {frames} photos unknown, not taken into account",
        sentence_vi=(
            "Không rõ thời gian đọc ảnh (màn trập cuốn) của {frames} ảnh nên không tính: khi bay nhanh, các"
            " hàng đầu và cuối ảnh có thể lệch theo hướng bay; nếu biết, hãy ghi readout_s vào tệp máy ảnh (0"
            " nếu là màn trập cơ), nạp lại với --camera TỆP --relay rồi chạy lại 'flycam finish'."
        ),
        sentence_en=(
            "The rolling-shutter readout of {frames} photos is not known and was not taken into account: in"
            " fast flight their first and last rows may lie off along the course; if you know it, write"
            " readout_s into a camera file (0 for a mechanical shutter), ingest again with --camera FILE"
            " --relay and run 'flycam finish' again."
        ),
    ),
    GSD_KEPT: Words(
        brief_vi="giữ GSD {kept} m",
        brief_en="GSD stays {kept} m",
        sentence_vi=(
            "--gsd {asked}: bỏ qua, vì chuyến bay đã có trên bản đồ với {kept} m; dùng 'flycam export --gsd',"
            " hoặc nạp vào thư mục dữ liệu mới (--data)."
        ),
        sentence_en=(
            "--gsd {asked}: ignored, for this flight is on the map at {kept} m already; use 'flycam export"
            " --gsd', or ingest into a new data folder (--data)."
        ),
    ),
    FINER_PHOTOS: Words(
        brief_vi="ảnh rõ hơn bản đồ này ({photos} m so với {kept} m)",
        brief_en="photos finer than this map ({photos} m against {kept} m)",
        sentence_vi=(
            "Ảnh rõ tới {photos} m, nhưng bản đồ trực tiếp của chuyến bay giữ {kept} m; muốn rõ hơn, hãy chạy"
            " 'flycam finish --gsd {photos}'."
        ),
        sentence_en=(
            "The photos resolve {photos} m, but the flight's live map stays at {kept} m; 'flycam finish --gsd"
            " {photos}' shows them sharper."
        ),
    ),
    EVENT_KEPT: Words(
        brief_vi="vẫn thuộc sự kiện {kept}",
        brief_en="stays in the event {kept}",
        sentence_vi=(
            "--event {asked}: bỏ qua, vì chuyến bay đã có trên bản đồ trong sự kiện {kept}; muốn xếp vào sự"
            " kiện khác, hãy dùng 'flycam flights move'."
        ),
        sentence_en=(
            "--event {asked}: ignored, for this flight is on the map in the event {kept} already; to have it"
            " in another, use 'flycam flights move'."
        ),
    ),
    EVENT_CHOSEN: Words(
        brief_vi="thuộc sự kiện {event}",
        brief_en="in the event {event}",
        sentence_vi=(
            "Chưa chọn sự kiện: chuyến bay được xếp vào {event}, sự kiện duy nhất đang mở và có chuyến bay"
            " trong vòng 3 ngày quanh đó; muốn xếp vào sự kiện khác, hãy dùng 'flycam flights move'."
        ),
        sentence_en=(
            "No event was named: the flight is in {event}, the only one that is open and was flown within 3"
            " days of it; to have it in another, use 'flycam flights move'."
        ),
    ),
    NAME_KEPT: Words(
        brief_vi="vẫn tên là {kept}",
        brief_en="is still called {kept}",
        sentence_vi=(
            "Tên {asked}: bỏ qua, vì chuyến bay đã có trên bản đồ với tên {kept}; muốn đổi tên, hãy dùng"
            " 'flycam flights rename'."
        ),
        sentence_en=(
            "Name {asked}: ignored, for this flight is on the map as {kept} already; to call it otherwise,"
            " use 'flycam flights rename'."
        ),
    ),
    LAID_AS_BEFORE: Words(
        brief_vi="{frames} ảnh vẫn nằm như trước",
        brief_en="{frames} photos stay as they lay",
        sentence_vi=(
            "{options}: {frames} ảnh đã có trên bản đồ vẫn nằm như trước, chưa theo tuỳ chọn này; muốn trải"
            " lại theo đó, hãy chạy lại cùng lệnh và thêm --relay."
        ),
        sentence_en=(
            "{options}: {frames} photos are on the map already and stay as they were laid; run the same"
            " command with --relay to lay them again by it."
        ),
    ),
    WITHDRAWN: Words(
        brief_vi="{frames} ảnh đã bị rút",
        brief_en="{frames} photos are withdrawn",
        sentence_vi=(
            "{frames} ảnh đã bị rút khỏi bản đồ và không được nạp lại: {reason} ({authority}, {at}); việc rút"
            " ảnh không thể đảo ngược."
        ),
        sentence_en=(
            "{frames} photos were withdrawn and will not be laid again: {reason} ({authority}, {at}); a"
            " withdrawal is never undone."
        ),
    ),
    LET_GO: Words(
        brief_vi="{frames} bản gốc đã xoá theo thời hạn lưu giữ",
        brief_en="{frames} originals were let go under the retention term",
        sentence_vi=(
            "{frames} ảnh gốc đã được xoá theo thời hạn lưu giữ ngày {day_vi}, người xác nhận: {authority}"
            " ({box}): bản đồ giữ nguyên, ảnh không được lưu lại; muốn lưu lại, hãy hỏi quản trị viên:"
            " 'flycam retention lift', rồi 'flycam verify --from THẺ_NHỚ'."
        ),
        sentence_en=(
            "{frames} photos were let go under the retention term on {day} by {authority} ({box}): the map"
            " stays, and they are not kept anew; to keep them, ask an administrator: 'flycam retention lift',"
            " then 'flycam verify --from CARD'."
        ),
    ),
    FINISHED_OLDER: Words(
        brief_vi="bản hoàn thiện được làm từ vị trí cũ",
        brief_en="the finished revision has the placements before",
        sentence_vi=(
            "Bản hoàn thiện số {revision} đang hiển thị được làm từ vị trí cũ của ảnh; chạy lại"
            " 'flycam finish' để có bản mới."
        ),
        sentence_en=(
            "Finished revision {revision}, which is on show, was made from the placements before; run 'flycam"
            " finish' again for a new one."
        ),
    ),
    MENDED: Words(
        brief_vi="đã dựng lại {tiles} mảnh bản đồ bị mất hoặc hỏng",
        brief_en="{tiles} lost or damaged tiles made again",
        sentence_vi="{tiles} mảnh bản đồ bị mất hoặc hỏng trong kho đã được dựng lại từ ảnh gốc.",
        sentence_en="{tiles} tiles that were lost or damaged in the store were made again from the photos.",
    ),
    KEPT_NOW: Words(
        brief_vi="đã lưu {photos} ảnh gốc chưa có trong kho",
        brief_en="{photos} photos that were not in the store are kept now",
        sentence_vi=(
            "{photos} ảnh đã có trên bản đồ nhưng ảnh gốc không có trong kho của máy này (bị mất, hoặc chỉ"
            " máy khác có): nay đã được lưu."
        ),
        sentence_en=(
            "{photos} photos are on the map, but this house did not have them (lost, or on another box"
            " alone): they are kept here now."
        ),
    ),
    COMPLETED: Words(
        brief_vi="đã hoàn tất lần nạp bị ngắt",
        brief_en="an interrupted ingest was completed",
        sentence_vi="Lần nạp trước bị ngắt khi đã ghi nhận {frames} ảnh; nay đã nạp xong cả chuyến bay.",
        sentence_en=(
            "An earlier ingest was interrupted when {frames} photos were recorded; the flight is complete"
            " now."
        ),
    ),
}


def warning(code: str, **values: object) -> str:
    """The warning as the catalogue keeps it. Raises KeyError for a code or a name without words."""
    kept = {name: str(value) for name, value in values.items()}
    _WORDS[code].sentence_en.format_map(kept)
    return f"{code}?{urlencode(kept)}" if kept else code


def sentence(kept: str, language: str = "en") -> str:
    """The full sentence in "vi" or "en"; text that is no known code is said as it stands, and what a box of
    another version did not tell with it as an ellipsis."""
    words, values = _read(kept)
    if words is None:
        return kept
    if language == "vi":
        return words.sentence_vi.format_map(values)
    return agreed(words.sentence_en.format_map(values))


def brief(kept: str, language: str = "en", *, finished: bool = False) -> str:
    """A few words for the map itself, live or finished; text that is no known code is said as it stands."""
    words, values = _read(kept)
    if words is None:
        return kept
    live_vi, live_en = words.brief_vi, words.brief_en
    said_vi, said_en = words.finished_vi or live_vi, words.finished_en or live_en
    if language == "vi":
        return (said_vi if finished else live_vi).format_map(values)
    return agreed((said_en if finished else live_en).format_map(values))


def code_of(kept: str) -> str | None:
    """The stable code; None for text that is no known code."""
    code = kept.partition("?")[0]
    return code if code in _WORDS else None


class _Told(dict[str, str]):
    """Values by name; one that was not told is left open."""

    def __missing__(self, name: str) -> str:
        return "…"


def _read(kept: str) -> tuple[Words | None, _Told]:
    code, _, query = kept.partition("?")
    return _WORDS.get(code), _Told({**_UNNAMED, **dict(parse_qsl(query, keep_blank_values=True))})
