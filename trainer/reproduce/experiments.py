"""The experiments in the tables: recipes and cache of their pre-training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SCRATCH: Final = "scratch"
STANDARD: Final = "standard"
"""The cache of default preprocessing."""
LABELLED: Final = "labelled"
"""The cache for fine-tuning; the standard one where it is not given."""


@dataclass(frozen=True)
class Experiment:
    """An experiment, one row of a table.

    Attributes:
        name: short, for files and results.csv.
        title: for tables and plots.
        recipes: of pre-training, over those of the preset; None trains from scratch.
        cache: name of the cache for pre-training.
        note: what it is, in a few words.
    """

    name: str
    title: str
    recipes: tuple[str, ...] | None
    cache: str = STANDARD
    note: str = ""


_ISCC: Final = Experiment("iscc", "ISCC", (), note="global + local + occupancy")

SEGMENTATION: Final = (
    Experiment(SCRATCH, "from scratch", None, note="no pre-training"),
    Experiment("pointcontrast", "PointContrast", ("pointcontrast",), note="contrast of matched points"),
    Experiment("depthcontrast", "DepthContrast", ("depthcontrast",), note="contrast of scenes"),
    Experiment("segcontrast", "SegContrast (our variant)", ("segcontrast",), note="groups, one sweep augmented twice"),
    Experiment("sspl", "SSPL", ("sspl",), note="contrast of volumes; our reconstruction"),
    _ISCC,
)

ABLATION: Final = (
    Experiment("occ_only_8", "occupancy alone (8)", ("occ_only_8",)),
    Experiment("occ_only_16", "occupancy alone (16)", ("occ_only_16",)),
    Experiment("occ_only_32", "occupancy alone (32)", ("occ_only_32",)),
    Experiment("local_only", "local alone", ("local_only",)),
    Experiment("global_only", "global alone", ("global_only",)),
    Experiment("full_100", "global + local (100)", ("full_100",)),
    Experiment("full_200", "global + local (200)", ("full_200",)),
    _ISCC,
)
"""The authors' ablation."""

FURTHER: Final = (
    Experiment("ground_kept", "ground kept", (), "ground_kept", "groups of all points, ground included"),
    Experiment("single_sweep", "single-sweep groups", ("same_sweep",), "single_sweep", "grouped sweep by sweep"),
    Experiment("same_sweep", "same-sweep pairs", ("same_sweep",), note="x_j is x_i, augmented once more"),
    Experiment("no_masking", "nothing masked", ("no_masking",), note="points in the masked balls stay"),
    Experiment("unrotated", "groups left in place", ("unrotated",), note="instead of rotated about the sensor"),
    Experiment("groups_only", "groups alone", ("groups_only",), note="without ground patches"),
    Experiment("whole_groups", "groups pooled whole", ("whole_groups",), note="instead of by voxel"),
    Experiment("segcontrast_voxels", "SegContrast, pooled by voxel", ("segcontrast", "voxel_samples")),
    Experiment("surroundings", "ISCC and surroundings", ("surroundings",), note="a fourth loss"),
    Experiment("assign_softmax", "softmax assignment", ("assign_softmax",)),
    Experiment("assign_argmax", "argmax assignment", ("assign_argmax",)),
)
"""Our further ablations."""

ALL: Final = {experiment.name: experiment for experiment in (*SEGMENTATION, *ABLATION, *FURTHER)}
"""By name."""
CACHES: Final = frozenset({STANDARD, LABELLED, *(experiment.cache for experiment in ALL.values())})
"""Names of all caches of training sweeps."""
