"""Unknowns of a block: six a frame (nine with rolling shutters), three a point.

And a border that all frames share, in this order: GNSS bias (3 a session), boresight (3 a camera), yaw
offset (1 a strip), lens (9 a camera), shift of the DEM (3). Points depend on the last two only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from flycam.adjust.block import Floats
from flycam.geometry.projection import LENS_UNKNOWNS
from flycam.geometry.rotation import rotation_from_angle_axis

POSE_UNKNOWNS, ROLLING_UNKNOWNS = 6, 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Positions of the groups of border unknowns."""

    sessions: int
    cameras: int
    strips: int

    @property
    def bias(self) -> slice:
        """GNSS biases, 3 a session."""
        return slice(0, 3 * self.sessions)

    @property
    def boresight(self) -> slice:
        """Boresight angles, 3 a camera."""
        start = self.bias.stop
        return slice(start, start + 3 * self.cameras)

    @property
    def yaw(self) -> slice:
        """Yaw offsets, 1 a strip."""
        start = self.boresight.stop
        return slice(start, start + self.strips)

    @property
    def lens(self) -> slice:
        """Lens vectors, 9 a camera."""
        start = self.yaw.stop
        return slice(start, start + LENS_UNKNOWNS * self.cameras)

    @property
    def dem(self) -> slice:
        """Shift of the DEM."""
        start = self.lens.stop
        return slice(start, start + 3)

    @property
    def seen(self) -> slice:
        """Part of the border that observations of points depend on: lens and DEM."""
        return slice(self.lens.start, self.size)

    @property
    def size(self) -> int:
        """Number of border unknowns."""
        return int(self.dem.stop)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknowns:
    """Values of all unknowns; metres are relative to the problem's origin.

    centre n×3; rotation n×3×3; turn n×3 rad/s during readout (an unknown only of a block with rolling
    shutters); bias sessions×3 (measured minus true); boresight cameras×3 and yaw (strips) in radians; lens
    cameras×9; dem 3 (shift east, north, up that corrects the DEM); point P×3.
    """

    centre: Floats
    rotation: Floats
    turn: Floats
    bias: Floats
    boresight: Floats
    yaw: Floats
    lens: Floats
    dem: Floats
    point: Floats

    @property
    def layout(self) -> Layout:
        """Positions of the border's groups."""
        return Layout(sessions=len(self.bias), cameras=len(self.lens), strips=len(self.yaw))

    def stepped(self, frames: Floats, border: Floats, points: Floats) -> Unknowns:
        """Return the unknowns after a step.

        frames n×6 (centre, rotation about the camera's axes) or n×9 (and rotation rate), border, points P×3.
        """
        at = self.layout
        return replace(
            self,
            centre=self.centre + frames[:, :3],
            rotation=rotation_from_angle_axis(frames[:, 3:6]) @ self.rotation,
            turn=self.turn + frames[:, 6:] if frames.shape[1] > POSE_UNKNOWNS else self.turn,
            bias=self.bias + border[at.bias].reshape(-1, 3),
            boresight=self.boresight + border[at.boresight].reshape(-1, 3),
            yaw=self.yaw + border[at.yaw],
            lens=self.lens + border[at.lens].reshape(-1, LENS_UNKNOWNS),
            dem=self.dem + border[at.dem],
            point=self.point + points,
        )
