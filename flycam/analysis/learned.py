"""What a learned model adds to flycam's own evidence: patches that it proposes, and its word in each score.

A score is pooled: weighed mean of both logits, the logarithmic opinion pool (Genest and Zidek 1986,
Statistical Science 1). It is never surer than the surer of the two, and as well calibrated as the network is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.analysis.evidence import CellEvidence
from flycam.analysis.least_sizes import LEAST_BARE_M2, LEAST_FLOODED_M2
from flycam.analysis.measures import Measured, measured
from flycam.analysis.network import Ground, Network
from flycam.analysis.objects import Patch, patches_of, tidied, without_holes
from flycam.analysis.pair import ImagePair
from flycam.analysis.relief import Relief
from flycam.analysis.workgrid import WorkPair
from flycam.frame.change import ChangeKind

Reals = NDArray[np.float32]
Patches = list[tuple[Patch, Measured]]

_OPEN_M, _CLOSE_M, _HOLE_M2 = 2.5, 2.0, 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What a network says of each cell, ln(p / (1 - p)) float32 H×W by kind, and the weight of its word."""

    logits: Mapping[str, Reals]
    weight: float

    def pooled(self, kind: str, patch: Patch, logit: float) -> float:
        """The logit of a patch with the network's word in it, which may be none on a kind."""
        plane = self.logits.get(kind)
        if plane is None:
            return logit
        said = float(plane[patch.place][patch.mask].mean())
        return (1.0 - self.weight) * logit + self.weight * said


def learned_of(network: Network, pair: ImagePair, work: WorkPair, relief: Relief) -> Learned:
    """Ask a network of a pair, which lies on the work grid too, with its relief. Raises NetworkUnusable."""
    rows, cols = work.seen.shape
    ground = Ground(shape=(rows, cols), to_pixels=work.to_pixels, slope=relief.slope)
    return Learned(logits=network.logits(pair, ground), weight=network.card.weight)


def proposed(learned: Learned, seen: CellEvidence) -> tuple[Patches, Patches]:
    """Patches of dry and of flooded ground that the network takes for changed rather than not, measured as
    all others are. The old river is no flood."""
    dry: Patches = []
    wet: Patches = []
    cell_m = seen.work.cell_m
    for kind, plane in learned.logits.items():
        is_flood = kind == ChangeKind.FLOOD
        there = seen.work.seen & ~seen.planes.water.there if is_flood else seen.work.seen
        mask = tidied((plane > 0.0) & there, _OPEN_M, _CLOSE_M, cell_m)
        mask = without_holes(mask, _HOLE_M2 / cell_m**2) & there
        least = LEAST_FLOODED_M2 if is_flood else LEAST_BARE_M2
        evidence = seen.flooded if is_flood else seen.bare
        found = wet if is_flood else dry
        found += [
            (patch, measured(patch, evidence, seen.planes)) for patch in patches_of(mask, least / cell_m**2)
        ]
    return dry, wet
