"""Reasons for rejecting parts of a video: keys for counting, names for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flycam.messages import Message, _, join, pgettext, verbatim

_WORDS: Mapping[str, Message] = {
    "overrun": _("{count} arrived faster than they could be processed"),
    "undecoded": _("{count} arrived faster than they could be decoded"),
    "broken": _("{count} could not be decoded"),
    "unrecorded": _("{count} are not in the recording of the video"),
    "thinned": _("{count} left out when late, their neighbours show it"),
    "no_time": _("{count} show new ground that there was no time to process"),
    "store_away": _("{count} show new ground while the store was away"),
    "pts_backwards": _("{count} bear a time that goes backwards"),
    "torn": _("{count} torn"),
    "filmed_before": _("{count} show what is on the map already"),
    "withdrawn": pgettext("frames", "{count} withdrawn"),
    "telemetry_gap": _("{count} the log says nothing of"),
    "pose_rejected": _("{count} position or attitude cannot be right"),
    "horizon_in_view": _("{count} look at the horizon"),
    "outside_terrain": _("{count} outside the terrain that is known"),
    "no_height": _("{count} no usable height"),
    "no_sight": _("{count} do not say which way they look"),
    "no_position": _("{count} no usable position"),
    "calibration_missing": _("{count} lens unknown"),
    "too_blurred": _("{count} too blurred"),
    "lens_covered": _("{count} black, or the lens covered"),
    "unreadable": _("{count} unreadable"),
    "no_fix": _("{count} samples without a GNSS fix"),
    "jump": _("{count} samples that jump"),
    "frozen": _("{count} samples without motion in flight"),
    "bad_signature": _("{count} packets without a valid signature"),
    "noise": _("{count} bytes outside of any packet"),
    "damaged": _("{count} packets damaged"),
    "unwritten": _("{count} packets are not in the recording of the telemetry"),
}

_UNFITTED: Mapping[str, Message] = {
    "first": _("{count} show ground that no frame before showed"),
    "few": _("{count} have too little in common with those before"),
    "unclear": _("{count} agree with those before on no pose"),
    "far": _("{count} would lie farther off than the log allows"),
    "worse": _("{count} would fit worse than by the log"),
    "hurried": _("{count} arrived too fast to be fitted"),
}


def format_unregistered_counts(counts: Mapping[str, int]) -> Message | None:
    """Format counts of video frames not registered to earlier ones, by reason.

    As `format_rejection_counts`.
    """
    return _format_counts(_UNFITTED, counts)


def format_rejection_counts(counts: Mapping[str, int]) -> Message | None:
    """Format counts by reason as a list; None for no counts.

    A reason without a name is written as its key.
    """
    return _format_counts(_WORDS, counts)


def _format_counts(words: Mapping[str, Message], counts: Mapping[str, int]) -> Message | None:
    parts = [
        replace(words[reason], values={"count": count}) if reason in words else verbatim(f"{count} {reason}")
        for reason, count in sorted(counts.items())
        if count
    ]
    return join(parts, ", ") if parts else None
