"""Remarks on a comparison for its reader, in English and in Vietnamese."""

from __future__ import annotations

from collections.abc import Sequence

from flycam.analysis.colour_check import ColourFault
from flycam.analysis.coregistration import Registration
from flycam.catalog.records import CommuneRecord
from flycam.frame.text_normalization import format_decimal_comma, format_shell_command
from flycam.pipeline.change.image_sources import BilingualText, ImageSource

_COLOURS: dict[ColourFault, BilingualText] = {
    ColourFault.GREY: (
        "has no colours (grey, panchromatic or infrared)",
        "không có màu (đen trắng, toàn sắc hoặc hồng ngoại)",
    ),
    ColourFault.UNREAL: (
        "has not the colours of daylight (an infrared band?)",
        "màu không phải màu ban ngày (có kênh hồng ngoại?)",
    ),
    ColourFault.DARK: ("is too dark to have colours (night?)", "quá tối nên không rõ màu (ban đêm?)"),
}


def describe_missing_detection(name: str, fault: ColourFault) -> BilingualText:
    """Return the remark that the images were coregistered but changes not looked for."""
    english, vietnamese = _COLOURS[fault]
    return (
        f"{name}: {english}: changes were not looked for, the pictures were only laid on each other; give a "
        "colour picture taken by day",
        f"{name}: ảnh {vietnamese} nên không dò thay đổi, chỉ khớp hai ảnh với nhau; hãy đưa ảnh màu chụp "
        "ban ngày",
    )


_MIN_UNKNOWN_SHARE = 0.01
_MIN_CLOUD_SHARE = 0.0005


def describe_clouds(share: float) -> list[BilingualText]:
    """Return the remark that clouds hide a share (0 to 1) of common ground, if so.

    It also states which clouds are not recognised (`analysis.cloud_mask`).
    """
    if share < _MIN_CLOUD_SHARE:
        return []
    percent = 100.0 * share
    said = f"{percent:.0f}" if percent >= 1.0 else f"{percent:.1f}"
    return [
        (
            f"clouds hide {said} % of the ground in common on one of the dates: nothing is said of it; only "
            "white clouds are recognised, look for grey ones yourself; fly there again under the clouds",
            f"mây che {said.replace('.', ',')} % phần chung của hai ảnh ở một trong hai ngày: không kết luận "
            "gì ở đó; chỉ nhận ra mây trắng, mây xám phải tự xem trên ảnh; hãy bay lại bên dưới mây",
        )
    ]


# Share of the windows found; a remark is made where fewer agree.
_MIN_AGREEING_SHARE = 0.5


def list_pair_doubts(
    sources: tuple[ImageSource, ImageSource], registration: Registration
) -> list[BilingualText]:
    """Return why every change between two sides is less sure than elsewhere.

    Most of the ground disagrees with the registration, or a side's photos are not adjusted.
    """
    said: list[BilingualText] = []
    if registration.agreed_share < _MIN_AGREEING_SHARE:
        agreed, windows = int(registration.agreed.sum()), registration.found
        off = f"{registration.found_p95_m:.2f}"
        said.append(
            (
                f"only {agreed} of {windows} windows found agree on how the pictures lie, the others are up "
                f"to {off} m off: most of the ground changed or does not fit; look at the registration layer "
                "before you trust a change",
                f"chỉ {agreed} trong {windows} ô tìm thấy khớp vị trí, các ô khác lệch tới "
                f"{format_decimal_comma(off)} m: phần lớn mặt đất đã thay đổi hoặc không khớp; hãy xem lớp "
                "registration trước khi tin một thay đổi",
            )
        )
    if live := " & ".join(side.name for side in sources if side.is_live):
        said.append(
            (
                f"{live}: not finished, its photos lie metres off each other, and so do changes at their "
                "seams; run 'flycam finish' first",
                f"{live}: chưa hoàn thiện, các ảnh lệch nhau hàng mét nên chỗ giáp ảnh dễ bị báo nhầm; hãy "
                "chạy 'flycam finish' trước",
            )
        )
    return said


# Offset of AFTER as it came: more is worth an adjustment.
_FAR_PX = 2.0


def list_pair_remarks(
    sources: tuple[ImageSource, ImageSource],
    unfit: BilingualText | None,
    came_off_px: float,
    without_heights: float,
) -> list[BilingualText]:
    """Return remarks on the two sides and the terrain.

    unfit            why the comparison is not recorded, if so
    came_off_px      offset of AFTER from BEFORE before coregistration
    without_heights  share of the common ground whose height is not known, 0 to 1
    """
    said: list[BilingualText] = []
    if unfit is not None:
        said.append(unfit)
    elif came_off_px > _FAR_PX and (said_off := _to_be_tied(*sources)):
        said.append(said_off)
    said += _without_terrain(without_heights)
    if not any(side.flight for side in sources):
        said.append(
            (
                "scores were fitted on drills of flights over mountains: of other pictures they are worth "
                "less",
                "điểm số được hiệu chỉnh trên các chuyến bay diễn tập vùng núi: với ảnh khác thì kém tin "
                "cậy hơn",
            )
        )
    return said


def list_commune_remarks(communes: Sequence[CommuneRecord]) -> list[BilingualText]:
    """Return the remark that no boundaries are known there, if so.

    It concerns this node, not the two images.
    """
    if communes:
        return []
    return [
        (
            "no boundaries here: changes have no commune; register them with flycam communes add",
            "không có ranh giới ở đây nên chưa biết thuộc xã nào; hãy nạp bằng flycam communes add",
        )
    ]


def _without_terrain(share: float) -> list[BilingualText]:
    """Return the remark on candidates without terrain, on a share (0-1) of ground.

    Slope distinguishes a landslide from a field and a flood from mud.
    """
    if share <= _MIN_UNKNOWN_SHARE:
        return []
    cure = "register it with 'flycam dem add', or give it with --dem, and compare again"
    cure_vi = "hãy nạp bằng 'flycam dem add', hoặc đưa bằng --dem, rồi so lại"
    if share > 1.0 - _MIN_UNKNOWN_SHARE / 2:
        return [
            (
                "no terrain: landslide, flood and other cannot be told apart, each candidate may be any of "
                f"them, and scores are no probabilities; {cure}",
                "không có mô hình độ cao: không phân biệt được sạt lở, ngập lụt và loại khác, mỗi chỗ có thể "
                f"là bất kỳ loại nào, điểm số không phải là xác suất; {cure_vi}",
            )
        ]
    percent = f"{100.0 * share:.0f}"
    return [
        (
            f"no terrain is known under {percent} % of the ground: there landslide, flood and other cannot "
            f"be told apart, and scores are no probabilities; {cure}",
            f"{percent} % diện tích không có độ cao: ở đó không phân biệt được sạt lở, ngập lụt và loại "
            f"khác, điểm số không phải là xác suất; {cure_vi}",
        )
    ]


def _to_be_tied(before: ImageSource, after: ImageSource) -> BilingualText | None:
    """Return the command that adjusts a finished flight to an earlier finished one."""
    if before.flight is None or after.flight is None or before.is_live or after.is_live:
        return None
    told = format_shell_command("finish", after.name, "--reference", before.name)
    return (
        f"{after.name}: lay off {before.name} and was bent onto it; its photos are adjusted by: {told}",
        f"{after.name}: lệch so với {before.name} nên đã được nắn lên; muốn bình sai các ảnh theo bản trước "
        f"thay vì nắn, hãy chạy: {told}",
    )


def explain_unreviewable(sources: tuple[ImageSource, ImageSource]) -> BilingualText | None:
    """Return the reason why a comparison must not be recorded, or None.

    Both sides are one flight or file, or the second was flown first: there "nothing was found" would be
    misread as "no damage".
    """
    before, after = sources
    if is_same_source(before, after):
        return (
            f"{after.name}: stands as BEFORE and AFTER: nothing can have changed between the two; not put up "
            "for review, and its ground is not on record as compared; give two dates",
            f"{after.name}: vừa là ảnh trước vừa là ảnh sau nên không thể có thay đổi: không đưa lên để "
            "soát xét và không ghi nhận là đã so sánh; hãy ghi hai chuyến khác ngày",
        )
    if before.flight is None or after.flight is None or after.flight.first_ns >= before.flight.first_ns:
        return None
    return (
        f"{after.name}: was flown before {before.name}, yet stands as AFTER: what healed is taken for "
        "damage; not put up for review, and its ground is not on record as compared; give the older one "
        "first",
        f"{after.name}: bay trước {before.name} mà lại là ảnh sau: chỗ đã hồi phục sẽ bị báo là hư hại; "
        "không đưa lên để soát xét và không ghi nhận là đã so sánh; hãy ghi chuyến cũ hơn trước",
    )


def describe_same_pixels(sources: tuple[ImageSource, ImageSource]) -> BilingualText:
    """Return the remark that both sides are one image, which must not be recorded."""
    before, after = (side.name for side in sources)
    return (
        f"{before} and {after}: are alike to the pixel, one picture given twice: nothing can have changed "
        "between the two; not put up for review, and its ground is not on record as compared; give two dates",
        f"{before} và {after}: giống nhau từng điểm ảnh, là một ảnh đưa hai lần nên không thể có thay đổi: "
        "không đưa lên để soát xét và không ghi nhận là đã so sánh; hãy đưa ảnh của hai ngày",
    )


def describe_other_location(
    sources: tuple[ImageSource, ImageSource], event: str, off_m: float
) -> BilingualText:
    """Return the remark that the ground is too far off to be the event's.

    So far from all that is known of the event, the images are not those that were meant.
    """
    before, after = (side.name for side in sources)
    km = f"{off_m / 1e3:,.0f}"
    return (
        f"{before} and {after}: lie {km} km from every flight of {event} and every commune known here: not "
        "put up for review, and their ground is not on record as compared; give pictures of that event, or "
        "register the boundaries of their ground with flycam communes add",
        f"{before} và {after}: cách mọi chuyến bay của {event} và mọi xã đã nạp {km.replace(',', '.')} km: "
        "không đưa lên để soát xét và không ghi nhận là đã so sánh; hãy đưa ảnh của đúng sự kiện, hoặc nạp "
        "ranh giới nơi đó bằng flycam communes add",
    )


def is_same_source(before: ImageSource, after: ImageSource) -> bool:
    """Return True if both sides are one flight or file."""
    if before.flight is not None and after.flight is not None:
        return before.flight.flight_id == after.flight.flight_id
    return before.file is not None and before.file == after.file
