"""Remarks on a comparison for its reader."""

from __future__ import annotations

from collections.abc import Sequence

from flycam.analysis.colour_check import ColourFault
from flycam.analysis.coregistration import Registration
from flycam.catalog.records import CommuneRecord
from flycam.frame.text_normalization import format_shell_command
from flycam.messages import Message, _
from flycam.pipeline.change.image_sources import ImageSource

_COLOURS: dict[ColourFault, Message] = {
    ColourFault.GREY: _("has no colours (grey, panchromatic or infrared)"),
    ColourFault.UNREAL: _("has not the colours of daylight (an infrared band?)"),
    ColourFault.DARK: _("is too dark to have colours (night?)"),
}


def describe_missing_detection(name: str, fault: ColourFault) -> Message:
    """Return the remark that the images were coregistered but changes not looked for."""
    return _(
        "{name}: {fault}: changes were not looked for, the pictures were only laid on each other; give a "
        "colour picture taken by day",
        name=name,
        fault=_COLOURS[fault],
    )


_MIN_UNKNOWN_SHARE = 0.01
_MIN_CLOUD_SHARE = 0.0005


def describe_clouds(share: float) -> list[Message]:
    """Return the remark that clouds hide a share (0 to 1) of common ground, if so.

    It also states which clouds are not recognised (`analysis.cloud_mask`).
    """
    if share < _MIN_CLOUD_SHARE:
        return []
    percent = 100.0 * float(share)
    return [
        _(
            "clouds hide {percent} % of the ground in common on one of the dates: nothing is said of it; "
            "only white clouds are recognised, look for grey ones yourself; fly there again under the clouds",
            percent=Message("{value:.0f}" if percent >= 1.0 else "{value:.1f}", {"value": percent}),
        )
    ]


# Share of the windows found; a remark is made where fewer agree.
_MIN_AGREEING_SHARE = 0.5


def list_pair_doubts(sources: tuple[ImageSource, ImageSource], registration: Registration) -> list[Message]:
    """Return why every change between two sides is less sure than elsewhere.

    Most of the ground disagrees with the registration, or a side's photos are not adjusted.
    """
    said: list[Message] = []
    if registration.agreed_share < _MIN_AGREEING_SHARE:
        said.append(
            _(
                "only {agreed} of {windows} windows found agree on how the pictures lie, the others are up "
                "to {off_m:.2f} m off: most of the ground changed or does not fit; look at the registration "
                "layer before you trust a change",
                agreed=int(registration.agreed.sum()),
                windows=registration.found,
                off_m=registration.found_p95_m,
            )
        )
    if live := " & ".join(side.name for side in sources if side.is_live):
        said.append(
            _(
                "{names}: not finished, its photos lie metres off each other, and so do changes at their "
                "seams; run 'flycam finish' first",
                names=live,
            )
        )
    return said


# Offset of AFTER as it came: more is worth an adjustment.
_FAR_PX = 2.0


def list_pair_remarks(
    sources: tuple[ImageSource, ImageSource],
    unfit: Message | None,
    came_off_px: float,
    without_heights: float,
) -> list[Message]:
    """Return remarks on the two sides and the terrain.

    unfit            why the comparison is not recorded, if so
    came_off_px      offset of AFTER from BEFORE before coregistration
    without_heights  share of the common ground whose height is not known, 0 to 1
    """
    said: list[Message] = []
    if unfit is not None:
        said.append(unfit)
    elif came_off_px > _FAR_PX and (said_off := _to_be_tied(*sources)):
        said.append(said_off)
    said += _without_terrain(without_heights)
    if not any(side.flight for side in sources):
        said.append(
            _("scores were fitted on drills of flights over mountains: of other pictures they are worth less")
        )
    return said


def list_commune_remarks(communes: Sequence[CommuneRecord]) -> list[Message]:
    """Return the remark that no boundaries are known there, if so.

    It concerns this node, not the two images.
    """
    if communes:
        return []
    return [_("no boundaries here: changes have no commune; register them with flycam communes add")]


def _without_terrain(share: float) -> list[Message]:
    """Return the remark on candidates without terrain, on a share (0-1) of ground.

    Slope distinguishes a landslide from a field and a flood from mud.
    """
    if share <= _MIN_UNKNOWN_SHARE:
        return []
    if share > 1.0 - _MIN_UNKNOWN_SHARE / 2:
        return [
            _(
                "no terrain: landslide, flood and other cannot be told apart, each candidate may be any of "
                "them, and scores are no probabilities; register it with 'flycam dem add', or give it with "
                "--dem, and compare again"
            )
        ]
    return [
        _(
            "no terrain is known under {percent:.0f} % of the ground: there landslide, flood and other "
            "cannot be told apart, and scores are no probabilities; register it with 'flycam dem add', or "
            "give it with --dem, and compare again",
            percent=100.0 * share,
        )
    ]


def _to_be_tied(before: ImageSource, after: ImageSource) -> Message | None:
    """Return the command that adjusts a finished flight to an earlier finished one."""
    if before.flight is None or after.flight is None or before.is_live or after.is_live:
        return None
    return _(
        "{after}: lay off {before} and was bent onto it; its photos are adjusted by: {command}",
        after=after.name,
        before=before.name,
        command=format_shell_command("finish", after.name, "--reference", before.name),
    )


def explain_unreviewable(sources: tuple[ImageSource, ImageSource]) -> Message | None:
    """Return the reason why a comparison must not be recorded, or None.

    Both sides are one flight or file, or the second was flown first: there "nothing was found" would be
    misread as "no damage".
    """
    before, after = sources
    if is_same_source(before, after):
        return _(
            "{name}: stands as BEFORE and AFTER: nothing can have changed between the two; not put up "
            "for review, and its ground is not on record as compared; give two dates",
            name=after.name,
        )
    if before.flight is None or after.flight is None or after.flight.first_ns >= before.flight.first_ns:
        return None
    return _(
        "{after}: was flown before {before}, yet stands as AFTER: what healed is taken for "
        "damage; not put up for review, and its ground is not on record as compared; give the older one "
        "first",
        after=after.name,
        before=before.name,
    )


def describe_same_pixels(sources: tuple[ImageSource, ImageSource]) -> Message:
    """Return the remark that both sides are one image, which must not be recorded."""
    before, after = (side.name for side in sources)
    return _(
        "{before} and {after}: are alike to the pixel, one picture given twice: nothing can have changed "
        "between the two; not put up for review, and its ground is not on record as compared; give two dates",
        before=before,
        after=after,
    )


def describe_other_location(sources: tuple[ImageSource, ImageSource], event: str, off_m: float) -> Message:
    """Return the remark that the ground is too far off to be the event's.

    So far from all that is known of the event, the images are not those that were meant.
    """
    before, after = (side.name for side in sources)
    return _(
        "{before} and {after}: lie {off_km:,.0f} km from every flight of {event} and every commune known "
        "here: not put up for review, and their ground is not on record as compared; give pictures of that "
        "event, or register the boundaries of their ground with flycam communes add",
        before=before,
        after=after,
        off_km=off_m / 1e3,
        event=event,
    )


def is_same_source(before: ImageSource, after: ImageSource) -> bool:
    """Return True if both sides are one flight or file."""
    if before.flight is not None and after.flight is not None:
        return before.flight.flight_id == after.flight.flight_id
    return before.file is not None and before.file == after.file
