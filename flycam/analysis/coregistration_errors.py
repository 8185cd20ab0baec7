"""Errors of a coregistration that is refused, one sentence each, in both languages."""

from __future__ import annotations

import math

from flycam.errors import CoregistrationFailed
from flycam.frame.text_normalization import format_decimal_comma
from flycam.messages import Bilingual, _

Names = tuple[str, str]
"""Names of the before and the after image in sentences."""

_MIN_FLOWN_GSD_M = 0.02  # a light drone some 70 m above the ground


def make_no_overlap_error(names: Names) -> CoregistrationFailed:
    """Make the error for two images without common ground."""
    before, after = names
    return CoregistrationFailed(
        _(
            "{before} and {after}: show no ground in common; give two pictures of the same place",
            before=before,
            after=after,
        )
    )


def make_empty_image_error(name: str) -> CoregistrationFailed:
    """Make the error for an image that shows nothing: another place would not help."""
    return CoregistrationFailed(
        _(
            "{name}: shows nothing: all of it is without data, or exactly black or white; "
            "open it and see, then give a picture that was imaged",
            name=name,
        )
    )


def make_little_overlap_error(
    names: Names, common_m2: float, gsd_m: float, sharp_m: float
) -> CoregistrationFailed:
    """Make the error for too few common pixels to coregister.

    gsd_m    their pixel
    sharp_m  the pixel at which as much ground would do; where no flight is so low, more ground is the cure
    """
    both = f"{names[0]} and {names[1]}: show"
    both_vi = f"{names[0]} và {names[1]}: chỉ có {_number(common_m2)} m² đất chung"
    if sharp_m < _MIN_FLOWN_GSD_M:
        return CoregistrationFailed(
            _(
                "{both} only {common_m2:,.0f} m² of ground in common, too little to lay one "
                "on the other; fly more of the same ground",
                both=Bilingual(both, both_vi),
                common_m2=common_m2,
            )
        )
    pixel, sharp = f"{gsd_m:.3g}", f"{math.floor(sharp_m * 100.0) / 100.0:g}"
    return CoregistrationFailed(
        _(
            "{both} {common_m2:,.0f} m² of ground in common, at {pixel} m a pixel too few "
            "pixels to lay one on the other; give pictures of at most {sharp} m a pixel, or "
            "of more of the same ground",
            both=Bilingual(both, both_vi),
            common_m2=common_m2,
            pixel=Bilingual(pixel, format_decimal_comma(pixel)),
            sharp=Bilingual(sharp, format_decimal_comma(sharp)),
        )
    )


def make_resolution_mismatch_error(
    coarse: str, fine: str, times: float, min_gsd_m: float, *, is_file: bool
) -> CoregistrationFailed:
    """Make the error for an image so much coarser that it shows different things.

    min_gsd_m  the pixel at which the finer one could be compared, to two figures, rounded up
    is_file    whether the finer one is a file, which flycam does not export
    """
    pixel = f"{min_gsd_m:.2g}"
    cure, cure_vi = (
        (
            f"make the finer one coarser, {pixel} m a pixel (gdalwarp -r average -tr, in a CRS of metres)",
            f"làm thô ảnh nét còn {format_decimal_comma(pixel)} m mỗi điểm ảnh (gdalwarp -r average -tr, "
            "trong hệ toạ độ mét)",
        )
        if is_file
        else (
            f"export the finer one at --gsd {pixel} and give that file",
            f"xuất ảnh nét với --gsd {pixel} rồi đưa tệp đó",
        )
    )
    return CoregistrationFailed(
        _(
            "{coarse}: is {times:.0f} times coarser than {fine}; give a sharper picture, or {cure}",
            coarse=coarse,
            times=times,
            fine=fine,
            cure=Bilingual(cure, cure_vi),
        )
    )


def make_no_match_error(names: Names, tried: int, clear: int, reach_m: float) -> CoregistrationFailed:
    """Make the error for images of which hardly a window matches."""
    before, after = names
    return CoregistrationFailed(
        _(
            "{before} and {after}: of {tried} windows only {clear} look alike in both within "
            "{reach_m:g} m; another place, night, cloud, water? give pictures by daylight "
            "of ground with edges",
            before=before,
            after=after,
            tried=tried,
            clear=clear,
            reach_m=reach_m,
        )
    )


def make_no_consensus_error(names: Names, clear: int, agreed: int, reach_m: float) -> CoregistrationFailed:
    """Make the error for windows that match, each somewhere else."""
    before, after = names
    return CoregistrationFailed(
        _(
            "{before} and {after}: of {clear} windows found only {agreed} agree on how the "
            "pictures lie; another place, or more than {reach_m:g} m apart? check where "
            "each of them lies",
            before=before,
            after=after,
            clear=clear,
            agreed=agreed,
            reach_m=reach_m,
        )
    )


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", ".")
