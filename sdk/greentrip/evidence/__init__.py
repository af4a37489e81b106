"""What a track says about how somebody travelled: coarse speed features, a scorecard, and signs of a copied track.

`features` may leave the phone (speeds only, never a place, never a heading); everything else here stays or is a
verdict. The server runs the same scorecard on the same features: docs/explanation/mode-evidence.md.
"""

from __future__ import annotations

from greentrip.evidence.bands import Kind
from greentrip.evidence.evenness import is_even
from greentrip.evidence.features import (
    SPEED_KMH_MAX,
    SPEED_STEP_KMH,
    STOPPED_STEP_PERCENT,
    Features,
    features_of,
)
from greentrip.evidence.levels import coarse_cells, speeds_by_minute
from greentrip.evidence.likeness import fingerprint_of
from greentrip.evidence.question import Doubt, question_of
from greentrip.evidence.scorecard import Fit, Reason, Verdict, fit, kind_of

__all__ = [
    "SPEED_KMH_MAX",
    "SPEED_STEP_KMH",
    "STOPPED_STEP_PERCENT",
    "Doubt",
    "Features",
    "Fit",
    "Kind",
    "Reason",
    "Verdict",
    "coarse_cells",
    "features_of",
    "fingerprint_of",
    "fit",
    "is_even",
    "kind_of",
    "question_of",
    "speeds_by_minute",
]
