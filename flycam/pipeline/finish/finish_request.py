"""Options of `finish`, and their validation against a flight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from flycam.adjust.bundle_adjustment import MIN_HELD_OUT, AdjustOptions
from flycam.errors import InputUnusable, OptionUnusable
from flycam.frame.flight import Flight, FlightState
from flycam.ingest.photo.photo_reader import compute_sha256
from flycam.messages import _
from flycam.pipeline.orthorectification.flight_session import check_gsd

_MAX_GSD_FACTOR = 16.0
_DSM_PER_GSD = 4.0
# At 1.7 cm GSD, surface and blend on 7 cm posts took 300 of 335 processor seconds.
_MIN_DSM_SPACING_M = 0.2
_MAX_DSM_SPACING_M = 100.0
_MAX_HELD_OUT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishRequest:
    """Options of a finish.

    surface          compute the DSM from the flight itself, and orthorectify on it
    dsm_spacing_m    distance of its posts; None: four ground samples, 0.2 m at least
    rolling_shutter  give every image row its own pose where the camera's readout is known
    held_out_share   share of the tie points kept out of the adjustment and reported
    gsd_m            of the revision; None: the live mosaic's
    reference        a map of the same ground that the block is tied to
    reference_sigma_m  how far off that map itself may be (radial 1-sigma); None: not known, and bounded by
        the flight's own positions
    gcp              ground control points, as OpenDroneMap's list writes them
    report           make the quality report
    redo             make a further revision even if one of the same inputs exists
    """

    surface: bool = True
    dsm_spacing_m: float | None = None
    rolling_shutter: bool = True
    held_out_share: float = AdjustOptions().held_out_share
    gsd_m: float | None = None
    reference: Path | None = None
    reference_sigma_m: float | None = None
    gcp: Path | None = None
    report: bool = True
    redo: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Options that decide the result, as JSON values.

        Files by their content, which is read each time.

        Raises SourceUnreadable.
        """
        plain = {name: value for name, value in asdict(self).items() if name not in ("report", "redo")}
        if self.reference_sigma_m is None:
            # Revisions from before this option existed have the same inputs.
            del plain["reference_sigma_m"]
        for name in ("reference", "gcp"):
            path = getattr(self, name)
            plain[name] = None if path is None else {"name": path.name, "sha256": compute_sha256(path)}
        return plain

    def spacing_m(self, flight: Flight) -> float:
        """Return the post spacing of the DSM on this flight, metres."""
        return self.dsm_spacing_m or max(_DSM_PER_GSD * flight.gsd_m, _MIN_DSM_SPACING_M)

    @property
    def adjust_options(self) -> AdjustOptions:
        """Options of the adjustment."""
        return AdjustOptions(held_out_share=self.held_out_share)


def restore_request(options: Mapping[str, Any], find_file: Callable[[str, str], Path]) -> FinishRequest:
    """Restore the request from a revision's recorded options.

    find_file  a local copy of a file, by its SHA-256 and name; what it raises is passed on
    """
    asked = {one.name: options[one.name] for one in fields(FinishRequest) if one.name in options}
    for name in ("reference", "gcp"):
        if asked.get(name) is not None:
            asked[name] = find_file(asked[name]["sha256"], asked[name]["name"])
    return FinishRequest(**asked)


def check_request(flight: Flight, request: FinishRequest) -> None:
    """Raise unless the flight can be finished with the request.

    InputUnusable for the flight, OptionUnusable for an option's value.
    """
    if flight.state is FlightState.WITHDRAWN:
        raise InputUnusable(
            _("{name}: this flight was withdrawn; there is nothing to finish", name=flight.name)
        )
    if flight.state is FlightState.INGESTING:
        raise InputUnusable(
            _("{name}: its ingest is not complete; run 'flycam ingest' again first", name=flight.name)
        )
    if not MIN_HELD_OUT <= request.held_out_share <= _MAX_HELD_OUT:
        raise OptionUnusable(
            _(
                "--held-out {held_out_share:g}: give a share from {least_held_out:g} to "
                "{most_held_out:g}; without points held out nothing tells whether the "
                "adjustment is better than what it began with",
                held_out_share=request.held_out_share,
                least_held_out=MIN_HELD_OUT,
                most_held_out=_MAX_HELD_OUT,
            )
        )
    for option, path in (("--reference", request.reference), ("--gcp", request.gcp)):
        if path is not None and not path.is_file():
            raise InputUnusable(
                _("{option} {path}: there is no such file; check the path", option=option, path=path)
            )
    if request.gsd_m is not None:
        check_gsd(request.gsd_m, flight.gsd_m, _MAX_GSD_FACTOR * flight.gsd_m)
    if request.dsm_spacing_m is not None and not flight.gsd_m <= request.dsm_spacing_m <= _MAX_DSM_SPACING_M:
        raise OptionUnusable(
            _(
                "--dsm-spacing {dsm_spacing_m:g}: give metres, from the flight's ground "
                "sample ({gsd_m:.2g} m) to {coarsest_dsm_m:g}",
                dsm_spacing_m=request.dsm_spacing_m,
                gsd_m=flight.gsd_m,
                coarsest_dsm_m=_MAX_DSM_SPACING_M,
            )
        )
