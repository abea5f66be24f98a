"""The rows of the tables: what each one pre-trains with, on which cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SCRATCH: Final = "scratch"
STANDARD: Final = "standard"
"""The cache as pre-processing makes it by default."""
LABELLED: Final = "labelled"
"""The cache whose sweeps are fine-tuned on; the standard one where it is not given."""


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        name: short, for files and results.csv; recipes of pre-training bear the same name.
        title: for people.
        recipes: pre-training recipes, over those of the preset; None trains from scratch.
        cache: which grouping of the training sweeps it learns from.
        note: what it is, in a few words.
    """

    name: str
    title: str
    recipes: tuple[str, ...] | None
    cache: str = STANDARD
    note: str = ""


_ISCC: Final = Row("iscc", "ISCC", (), note="global + local + occupancy")

SEGMENTATION: Final = (
    Row(SCRATCH, "from scratch", None, note="no pre-training"),
    Row("pointcontrast", "PointContrast", ("pointcontrast",), note="contrast of matched points"),
    Row("depthcontrast", "DepthContrast", ("depthcontrast",), note="contrast of scenes"),
    Row("segcontrast", "SegContrast", ("segcontrast",), note="contrast of groups, one sweep augmented twice"),
    Row("sspl", "SSPL", ("sspl",), note="contrast of volumes; our reconstruction"),
    _ISCC,
)

ABLATION: Final = (
    Row("occ_only_8", "occupancy alone (8)", ("occ_only_8",)),
    Row("occ_only_16", "occupancy alone (16)", ("occ_only_16",)),
    Row("occ_only_32", "occupancy alone (32)", ("occ_only_32",)),
    Row("local_only", "local alone", ("local_only",)),
    Row("global_only", "global alone", ("global_only",)),
    Row("full_100", "global + local (100)", ("full_100",)),
    Row("full_200", "global + local (200)", ("full_200",)),
    _ISCC,
)
"""The authors' ablation."""

FURTHER: Final = (
    Row("ground_kept", "ground kept", (), cache="ground_kept", note="groups of all points, ground included"),
    Row("single_sweep", "single-sweep groups", ("same_sweep",), cache="single_sweep", note="grouped sweep by sweep"),
    Row("same_sweep", "same-sweep pairs", ("same_sweep",), note="x_j is x_i, augmented once more"),
    Row("no_masking", "nothing masked", ("no_masking",), note="points in the masked balls stay"),
    Row("unrotated", "groups left in place", ("unrotated",), note="instead of rotated about the sensor"),
    Row("groups_only", "groups alone", ("groups_only",), note="without ground patches"),
    Row("whole_groups", "groups pooled whole", ("whole_groups",), note="instead of by voxel"),
    Row("segcontrast_voxels", "SegContrast, pooled by voxel", ("segcontrast", "voxel_samples")),
    Row("assign_softmax", "softmax assignment", ("assign_softmax",)),
    Row("assign_argmax", "argmax assignment", ("assign_argmax",)),
)
"""What a reviewer would ask for besides."""

ALL: Final = {row.name: row for row in (*SEGMENTATION, *ABLATION, *FURTHER)}
"""By name."""
CACHES: Final = frozenset({STANDARD, LABELLED, *(row.cache for row in ALL.values())})
"""Names of all caches of training sweeps that something reads."""
