"""Translation of log sentences of the adjustment and its control for the report.

Each entry: the sentence as logged, with {a}, {b}, {c} for its values, then Vietnamese and English.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class _LogPhrase(NamedTuple):
    pattern: str
    vi: str
    en: str


LOG_PHRASES: tuple[_LogPhrase, ...] = (
    _LogPhrase(
        "most of it is water, moves or is plain",
        "phần lớn ảnh là mặt nước, vật chuyển động hoặc bề mặt trơn",
        "mostly water, things that move, or plain ground",
    ),
    _LogPhrase(
        "too little texture",
        "ảnh quá ít chi tiết",
        "too little texture",
    ),
    _LogPhrase(
        "nothing alike where the poses put it",
        "không có chỗ giống nhau tại nơi vị trí đã ghi chỉ tới",
        "nothing looks alike where its telemetry puts it",
    ),
    _LogPhrase(
        "no common geometry",
        "không khớp hình học với ảnh nào",
        "no geometry in common with another photo",
    ),
    _LogPhrase(
        "what matches lies where no ground can be",
        "chỗ giống nhau nằm ở nơi không thể có mặt đất",
        "what matches lies where no ground can be",
    ),
    _LogPhrase(
        "too few matches",
        "quá ít điểm giống nhau",
        "too few matches",
    ),
    _LogPhrase(
        "matches that agree on nothing",
        "các điểm giống nhau mâu thuẫn nhau",
        "its matches contradict each other",
    ),
    _LogPhrase(
        "too few matches meet",
        "quá ít điểm giống nhau giao được nhau",
        "too few of its matches meet",
    ),
    _LogPhrase(
        "its matches agree with no third view",
        "điểm giống nhau không khớp với ảnh thứ ba nào",
        "its matches agree with no third photo",
    ),
    _LogPhrase(
        "its ground is seen by no other photo of this flight",
        "không ảnh nào khác của chuyến bay chụp chỗ này",
        "no other photo of this flight sees its ground",
    ),
    _LogPhrase(
        "no pair",
        "không có ảnh nào để ghép cặp",
        "no photo to pair it with",
    ),
    _LogPhrase(
        "no tie points hold the frames together (water, cloud, no overlap, or all from one place): the "
        "priors are kept",
        "không có điểm liên kết nào giữ các ảnh lại với nhau (mặt nước, mây, ảnh không chồng lên nhau, hoặc "
        "chụp từ cùng một chỗ).",
        "no tie points hold the photos together (water, cloud, no overlap, or all from one place).",
    ),
    _LogPhrase(
        "only {a} tie point observations could be used: the priors are kept",
        "chỉ dùng được {a} lần quan sát điểm liên kết.",
        "too few tie point observations could be used ({a}).",
    ),
    _LogPhrase(
        "only {a} of the tie point observations fit one block: they contradict each other, "
        "the priors are kept",
        "chỉ {a} điểm liên kết khớp với một khối, các điểm còn lại mâu thuẫn nhau.",
        "only {a} of the tie point observations fit one block; the others contradict them.",
    ),
    _LogPhrase(
        "held-out tie points fit no better than before ({a} px against {b} px): the priors are kept",
        "điểm liên kết giữ lại không khớp hơn trước ({a} px so với {b} px).",
        "tie points held out of the adjustment fit no better after it ({a} px) than before ({b} px).",
    ),
    _LogPhrase(
        "the block would move frames by {a} (position) and {b} (attitude) times their stated accuracy: the "
        "priors are kept; check their datum and heading",
        "khối ảnh sẽ phải dời gấp {a} lần (vị trí) và {b} lần (góc) độ chính xác đã ghi; kiểm tra hệ độ cao"
        " và hướng bay.",
        "the adjustment would move photos by {a} (position) and {b} (attitude) times their stated accuracy; "
        "check their height datum and heading.",
    ),
    _LogPhrase(
        "the focal length would change by {a}: it was held at its calibration; give the camera's calibration",
        "Tiêu cự sẽ phải đổi {a} nên đã giữ nguyên theo kiểm định; hãy cho thông số kiểm định của máy ảnh "
        "bằng --camera.",
        "The focal length would have to change by {a} and was held at its calibration; give the camera's "
        "calibration with --camera.",
    ),
    _LogPhrase(
        "{a}: the focal length is {b} off its calibration, {c} times the stated accuracy: the block's own "
        "value is used",
        "{a}: tiêu cự lệch {b} so với kiểm định, gấp {c} lần độ chính xác đã ghi; dùng trị của khối ảnh.",
        "{a}: the focal length differs from its calibration by {b}, {c} times the stated accuracy; the value "
        "found by the adjustment is used.",
    ),
    _LogPhrase(
        "{a}: ties and terrain put the focal length {b} off its calibration, which claims {c} and was kept: "
        "heights may be wrong in that proportion; give the camera's calibration with --camera",
        "{a}: điểm nối và địa hình cho tiêu cự lệch {b} so với kiểm định (ghi {c}, đã giữ nguyên): độ cao có "
        "thể sai theo tỉ lệ đó; hãy cho thông số kiểm định của máy ảnh bằng --camera.",
        "{a}: ties and terrain put the focal length {b} off its calibration, which claims {c} and was kept: "
        "heights may be wrong in that proportion; give the camera's calibration with --camera.",
    ),
    _LogPhrase(
        "horizontal positions scatter {a} times as much as stated",
        "Vị trí mặt bằng tản mát gấp {a} lần so với độ chính xác đã ghi.",
        "Horizontal positions scatter {a} times as much as their stated accuracy.",
    ),
    _LogPhrase(
        "vertical positions scatter {a} times as much as stated",
        "Độ cao tản mát gấp {a} lần so với độ chính xác đã ghi.",
        "Heights scatter {a} times as much as their stated accuracy.",
    ),
    _LogPhrase(
        "the aircraft stood still while its photos were read: its speed from one to the next was left out",
        "Máy bay đứng yên khi chụp từng ảnh: không tính tốc độ bay giữa các ảnh khi hiệu chỉnh màn trập "
        "cuốn.",
        "The aircraft stood still while its photos were read: its speed from one to the next was left out of "
        "the rolling shutter's correction.",
    ),
    _LogPhrase(
        "{a}: marks on {b} photos that are not in this flight were left out ({c}).",
        "{a}: bỏ các dấu trên {b} ảnh không thuộc chuyến bay này ({c}).",
        "{a}: marks on photos that are not in this flight were left out ({b}: {c}).",
    ),
    _LogPhrase(
        "{a}: {b} marks lie outside their picture and were left out ({c}); were they made on photos of "
        "another size?",
        "{a}: bỏ {b} dấu nằm ngoài khung ảnh ({c}); có phải đã đánh dấu trên ảnh cỡ khác?",
        "{a}: marks that lie outside their picture were left out ({b}: {c}); were they made on photos of "
        "another size?",
    ),
    _LogPhrase(
        "{a}: its axes are written the other way round (north before east); taken as such, for only so do "
        "the points lie under this flight.",
        "{a}: trục toạ độ ghi ngược (bắc trước đông); đã đọc theo thứ tự đó, vì chỉ như vậy các điểm mới nằm"
        " dưới chuyến bay này.",
        "{a}: its axes are the other way round (north before east); they were read that way, because only "
        "then do the points lie under this flight.",
    ),
    _LogPhrase(
        "{a}: {b} points lie far from this flight and were left out.",
        "{a}: bỏ {b} điểm nằm xa chuyến bay này.",
        "{a}: points far from this flight were left out ({b}).",
    ),
    _LogPhrase(
        "The control points have no heights: they hold the plane only.",
        "Điểm khống chế không có độ cao: chỉ giữ được mặt bằng.",
        "The control points have no heights; they fix the horizontal position only.",
    ),
    _LogPhrase(
        "The heights of the control points are not used: this flight has no terrain whose datum could be "
        "compared; register one with 'flycam dem add'.",
        "Không dùng độ cao của điểm khống chế: chuyến bay này không có địa hình để so hệ độ cao; thêm bằng"
        " 'flycam dem add'.",
        "The heights of the control points are not used, because this flight has no terrain to compare their "
        "datum with; register one with 'flycam dem add'.",
    ),
    _LogPhrase(
        "The heights of the control points are {a} m off the terrain in every datum that was tried and are "
        "not used: they hold the plane only.",
        "Độ cao của điểm khống chế lệch địa hình {a} m trong mọi hệ độ cao đã thử nên không dùng: chỉ giữ"
        " được mặt bằng.",
        "The heights of the control points are {a} m off the terrain in every datum tried and are not used; "
        "the points fix the horizontal position only.",
    ),
    _LogPhrase(
        "{a}: its coordinate system is brought to that of the map to about {b} m here, for want of a better "
        "transformation, and nothing placed by it is surer: give coordinates in WGS 84 (EPSG:4326 or a UTM "
        "zone) where metres matter.",
        "{a}: hệ toạ độ của tệp chỉ chuyển được sang hệ của bản đồ với sai số khoảng {b} m, vì ở đây không "
        "có phép chuyển tốt hơn, và những gì đặt theo đó không chính xác hơn thế: hãy cho toạ độ theo WGS 84 "
        "(EPSG:4326 hoặc một múi UTM) nếu cần chính xác hơn.",
        "{a}: its coordinate system is brought to that of the map to about {b} m here, for want of a better "
        "transformation, and nothing placed by it is surer: give coordinates in WGS 84 (EPSG:4326 or a UTM "
        "zone) where metres matter.",
    ),
    _LogPhrase(
        "{a}: marks on photos that could not be tied to others were left out ({b}).",
        "{a}: đã bỏ các dấu trên những ảnh không liên kết được với ảnh khác ({b}).",
        "{a}: marks on photos that could not be tied to others were left out ({b}).",
    ),
    _LogPhrase(
        "{a}: {b} control points are marked only on photos that could not be tied to others and hold nothing "
        "({c}): mark them on tied photos too.",
        "{a}: {b} điểm khống chế chỉ được đánh dấu trên ảnh không liên kết được nên không giữ được gì ({c}): "
        "hãy đánh dấu thêm trên các ảnh đã liên kết.",
        "{a}: control points marked only on photos that could not be tied to others hold nothing ({b}: {c}): "
        "mark them on tied photos too.",
    ),
    _LogPhrase(
        "The heights of the control points fit the terrain as {a} heights, not as {b}, and were converted.",
        "Độ cao của điểm khống chế khớp địa hình theo hệ {a}, không phải {b}, và đã được chuyển đổi.",
        "The heights of the control points fit the terrain as {a} heights, not as {b}; they were converted.",
    ),
    _LogPhrase(
        "The control points lie {a} m above the terrain model (median) and are taken as {b} heights; as {c} "
        "heights they would lie {d} m from it: check the datum they were measured in.",
        "Điểm khống chế cao hơn mô hình độ cao {a} m (trung vị), được hiểu theo hệ {b}; nếu theo hệ {c} thì "
        "chỉ lệch {d} m: hãy kiểm tra hệ độ cao khi đo.",
        "The control points lie {a} m above the terrain model (median) and are taken as {b} heights; as {c} "
        "heights they would lie {d} m from it: check the datum they were measured in.",
    ),
    _LogPhrase(
        "The control points lie {a} m below the terrain model (median) and are taken as {b} heights; as {c} "
        "heights they would lie {d} m from it: check the datum they were measured in.",
        "Điểm khống chế thấp hơn mô hình độ cao {a} m (trung vị), được hiểu theo hệ {b}; nếu theo hệ {c} thì "
        "chỉ lệch {d} m: hãy kiểm tra hệ độ cao khi đo.",
        "The control points lie {a} m below the terrain model (median) and are taken as {b} heights; as {c} "
        "heights they would lie {d} m from it: check the datum they were measured in.",
    ),
    _LogPhrase(
        "The control points lie {a} m above the terrain model (median) and are taken as {b} heights: check "
        "the datum they were measured in, unless the model is known to be off.",
        "Điểm khống chế cao hơn mô hình độ cao {a} m (trung vị), được hiểu theo hệ {b}: hãy kiểm tra hệ độ "
        "cao khi đo, trừ khi đã biết mô hình độ cao bị lệch.",
        "The control points lie {a} m above the terrain model (median) and are taken as {b} heights: check "
        "the datum they were measured in, unless the model is known to be off.",
    ),
    _LogPhrase(
        "The control points lie {a} m below the terrain model (median) and are taken as {b} heights: check "
        "the datum they were measured in, unless the model is known to be off.",
        "Điểm khống chế thấp hơn mô hình độ cao {a} m (trung vị), được hiểu theo hệ {b}: hãy kiểm tra hệ độ "
        "cao khi đo, trừ khi đã biết mô hình độ cao bị lệch.",
        "The control points lie {a} m below the terrain model (median) and are taken as {b} heights: check "
        "the datum they were measured in, unless the model is known to be off.",
    ),
    _LogPhrase(
        "{a}: only {b} control points can be used: they hold the place of the block and hardly its turn and "
        "scale, and nothing checks them; {c} and more, far apart, do.",
        "{a}: chỉ dùng được {b} điểm khống chế: giữ được vị trí của khối ảnh, hầu như không giữ được góc "
        "xoay và tỉ lệ, và không có gì để kiểm tra; nên có từ {c} điểm trở lên, cách xa nhau.",
        "{a}: only {b} control points can be used: they hold the place of the block and hardly its turn and "
        "scale, and nothing checks them; {c} and more, far apart, do.",
    ),
    _LogPhrase(
        "{a}: not used as reference, for each place that agrees is seen by one photo alone, which cannot "
        "place it; another season or another place? The absolute position stays that of the aircraft's GNSS.",
        "{a}: không dùng làm ảnh tham chiếu vì mỗi chỗ khớp chỉ có trên một ảnh nên không định vị được. "
        "Vị trí tuyệt đối vẫn theo GNSS của máy bay.",
        "{a}: not used as a reference, because each place that agrees is seen by one photo alone, which "
        "cannot place it. The absolute position remains that of the aircraft's GNSS.",
    ),
    _LogPhrase(
        "{a}: the control points stand {b} m from where this flight's own positions put the block, {c} times "
        "what those are uncertain by (± {d} m): they are not used; check their coordinate system, its zone, "
        "and which point is which.",
        "{a}: điểm khống chế lệch {b} m so với vị trí do chính chuyến bay cho, gấp {c} lần độ không chắc của "
        "vị trí đó (± {d} m): không dùng các điểm này; hãy kiểm tra hệ toạ độ, múi chiếu, và tên từng điểm.",
        "{a}: the control points stand {b} m from where this flight's own positions put the block, {c} times "
        "what those are uncertain by (± {d} m): they are not used; check their coordinate system, its zone, "
        "and which point is which.",
    ),
    _LogPhrase(
        "{a}: the control points stand {b} m from where this flight's own positions put the block, {c} times "
        "what those are uncertain by (± {d} m): the block was moved onto them; check the map at a place you "
        "know.",
        "{a}: điểm khống chế lệch {b} m so với vị trí do chính chuyến bay cho, gấp {c} lần độ không chắc của "
        "vị trí đó (± {d} m): khối ảnh đã dời theo các điểm này; hãy kiểm tra bản đồ tại một nơi đã biết rõ.",
        "{a}: the control points stand {b} m from where this flight's own positions put the block, {c} times "
        "what those are uncertain by (± {d} m): the block was moved onto them; check the map at a place you "
        "know.",
    ),
    _LogPhrase(
        "{a}: {b} of {c} control points lie elsewhere than their marks show them ({d}); correct or remove "
        "them.",
        "{a}: {b} trong {c} điểm khống chế nằm khác chỗ so với dấu trên ảnh ({d}); hãy sửa hoặc bỏ các điểm "
        "đó.",
        "{a}: control points that lie elsewhere than their marks show them: {b} of {c} ({d}); correct or "
        "remove them.",
    ),
    _LogPhrase(
        "{a}: {b} of {c} windows agree, but this flight's ties, heights and cameras contradict a block that "
        "lies on it: the block was not moved onto it; check the reference's place and its date.",
        "{a}: {b} trong {c} ô khớp, nhưng điểm liên kết, độ cao và máy ảnh của chuyến bay mâu thuẫn với khối "
        "ảnh nằm theo ảnh này: khối ảnh không dời theo; hãy kiểm tra vị trí và ngày chụp của ảnh tham chiếu.",
        "{a}: windows in agreement: {b} of {c}, but this flight's ties, heights and cameras contradict a "
        "block that lies on it: the block was not moved onto it; check the reference's place and its date.",
    ),
    _LogPhrase(
        "{a}: it stands {b} m from where this flight's own positions put the block, {c} times what those are "
        "uncertain by (± {d} m): the block was moved onto it; check the map at a place you know.",
        "{a}: ảnh này lệch {b} m so với vị trí do chính chuyến bay cho, gấp {c} lần độ không chắc của vị trí "
        "đó (± {d} m): khối ảnh đã dời theo ảnh này; hãy kiểm tra bản đồ tại một nơi đã biết rõ.",
        "{a}: it stands {b} m from where this flight's own positions put the block, {c} times what those are "
        "uncertain by (± {d} m): the block was moved onto it; check the map at a place you know.",
    ),
    _LogPhrase(
        "{a}: {b} of {c} windows agree; the block was {d} m off it, single windows scatter by {e} m.",
        "{a}: {b} trong {c} ô khớp; khối ảnh lệch so với ảnh này {d} m, từng ô tản mát {e} m.",
        "{a}: windows in agreement: {b} of {c}; the block was {d} m off it, and single windows scatter by "
        "{e} m.",
    ),
    _LogPhrase(
        "{a}: not used as reference, for none of the ground looks alike in both; another season or another "
        "place? The absolute position stays that of the aircraft's GNSS.",
        "{a}: không dùng làm ảnh tham chiếu vì không có chỗ nào giống nhau trên hai ảnh; khác mùa hay khác"
        " nơi? Vị trí tuyệt đối vẫn theo GNSS của máy bay.",
        "{a}: not used as a reference, because no ground looks alike in both; another season or another "
        "place? The absolute position remains that of the aircraft's GNSS.",
    ),
    _LogPhrase(
        "{a}: not used as reference, for only {b} of {c} windows agree on one shift; another season or "
        "another place? The absolute position stays that of the aircraft's GNSS.",
        "{a}: không dùng làm ảnh tham chiếu vì chỉ {b} trong {c} ô cho cùng một độ lệch; khác mùa hay khác"
        " nơi? Vị trí tuyệt đối vẫn theo GNSS của máy bay.",
        "{a}: not used as a reference, because too few windows agree on one shift ({b} of {c}); another "
        "season or another place? The absolute position remains that of the aircraft's GNSS.",
    ),
)

_PATTERNS = [
    (re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>.+?)", re.escape(heard.pattern))), heard)
    for heard in LOG_PHRASES
]


def translate_log_sentence(sentence: str, language: str) -> str:
    """Translate a logged sentence for the report.

    Unknown sentences are returned unchanged.
    """
    for pattern, heard in _PATTERNS:
        found = pattern.fullmatch(sentence)
        if found:
            if language == "en":
                return heard.en.format_map(found.groupdict())
            return heard.vi.format_map(
                {name: _localise_decimals(text) for name, text in found.groupdict().items()}
            )
    return sentence


def _localise_decimals(text: str) -> str:
    """Replace decimal points by commas; names of files are left as they are."""
    return re.sub(r"(?<=\d)\.(?=\d)", ",", text) if re.fullmatch(r"[-+]?[\d.]+ ?%?", text) else text
