"""Errors of a coregistration that is refused, one sentence each."""

from __future__ import annotations

import math

from flycam.errors import CoregistrationFailed
from flycam.messages import _

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
    before, after = names
    if sharp_m < _MIN_FLOWN_GSD_M:
        return CoregistrationFailed(
            _(
                "{before} and {after}: show only {common_m2:,.0f} m² of ground in common, too little to lay "
                "one on the other; fly more of the same ground",
                before=before,
                after=after,
                common_m2=common_m2,
            )
        )
    return CoregistrationFailed(
        _(
            "{before} and {after}: show {common_m2:,.0f} m² of ground in common, at {gsd_m:.3g} m a pixel "
            "too few pixels to lay one on the other; give pictures of at most {sharp_m:.6g} m a pixel, or "
            "of more of the same ground",
            before=before,
            after=after,
            common_m2=common_m2,
            gsd_m=gsd_m,
            sharp_m=math.floor(sharp_m * 100.0) / 100.0,
        )
    )


def make_resolution_mismatch_error(
    coarse: str, fine: str, times: float, min_gsd_m: float, *, is_file: bool
) -> CoregistrationFailed:
    """Make the error for an image so much coarser that it shows different things.

    min_gsd_m  the pixel at which the finer one could be compared, to two figures, rounded up
    is_file    whether the finer one is a file, which flycam does not export
    """
    if is_file:
        cure = _(
            "make the finer one coarser, {gsd_m:.2g} m a pixel (gdalwarp -r average -tr, in a CRS of metres)",
            gsd_m=min_gsd_m,
        )
    else:
        gsd = f"{min_gsd_m:.2g}"
        cure = _("export the finer one at --gsd {gsd} and give that file", gsd=gsd)
    return CoregistrationFailed(
        _(
            "{coarse}: is {times:.0f} times coarser than {fine}; give a sharper picture, or {cure}",
            coarse=coarse,
            times=times,
            fine=fine,
            cure=cure,
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
