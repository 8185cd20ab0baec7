"""Options of an adjustment, and prior sigmas that frames do not carry themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class AdjustOptions:
    """Options of `adjust_block`; the defaults suit a consumer drone.

    held_out_share        share of tracks that take no part and are triangulated with the final poses. The
                          acceptance test needs some: below 0.02 it is 0.02
    self_calibration      estimate the interior orientation within its prior
    max_iterations        of all stages together
    outlier_sigmas        residuals beyond this many (robustly estimated) sigmas are rejected at the end
    noise_share           a frame's sigma_position_m and sigma_attitude_rad are of one exposure alone. This
                          share of them is noise that is new in every frame; the rest, sqrt(1 - share²), is a
                          GNSS bias common to the flight, and a yaw offset common to a strip. With 0.5 a
                          position of ±1.5 m is a bias of ±1.3 m and noise of ±0.75 m. A height's noise is
                          at most twice the horizontal one: the rest of its sigma is of its zero. The noise is
                          estimated anew from the block itself; the bias cannot be
    estimate_noise        do so (variance components); False takes the sigmas as they are
    session_gap_s         a longer pause between frames is a landing: the GNSS bias starts anew
    turn_sigma_radps      of a camera's rotation rate during readout: 0.3° a second of a gimbal's; gusts look
                          the same from straight above (0.6 m/s over 120 m)
    boresight_sigma_rad   of the camera against the gimbal's zero, per axis
    focal_floor_rel       least relative sigma of a focal length, whatever its metadata state
    dem_correlation_m     errors of the DEM are alike within this distance: all tie points within a square of
                          this side count as one observation of its height
    dem_length_m          distance at which the correlation of those errors has fallen to 1/e; the errors that
                          squares share are in the covariance (`shared_terrain_error`)
    min_parallax_deg      tracks whose rays meet at less are left out: they determine no point
    min_ties_tied         a frame with fewer used ties, or ties in fewer than min_cells of its 8×8 grid, is
    min_cells             WEAK
    """

    held_out_share: float = 0.05
    self_calibration: bool = True
    max_iterations: int = 60
    outlier_sigmas: float = 4.0
    noise_share: float = 0.5
    estimate_noise: bool = True
    session_gap_s: float = 300.0
    turn_sigma_radps: float = 0.005
    boresight_sigma_rad: float = 0.009
    focal_floor_rel: float = 0.002
    dem_correlation_m: float = 100.0
    dem_length_m: float = 200.0
    min_parallax_deg: float = 1.5
    min_ties_tied: int = 20
    min_cells: int = 7
