"""The meaning of a per-point label: a group id, or one of the negative codes."""

from typing import Final

NOISE: Final = -1
"""Above ground and in range, but in no group."""
GROUND: Final = -2
"""Ground surface; never part of a group."""
NOT_CONSIDERED: Final = -3
"""Out of range, within the vehicle's own footprint, or not a finite point; its position may be meaningless."""
FILL: Final = -(2**31)
"""Never a legal label: where it shows, data is missing."""

CODES: Final = {
    NOISE: "noise: above ground and in range, but in no group",
    GROUND: "ground",
    NOT_CONSIDERED: "not considered: out of range, the vehicle itself, or not a finite point",
}
"""Every legal label below 0."""
