"""The meaning of a per-point label: a group id, or one of the negative codes."""

from typing import Final

NOISE: Final = -1
"""Above ground and in range, but in no group."""
GROUND: Final = -2
"""Ground surface; never part of a group."""
NOT_CONSIDERED: Final = -3
"""Ignored: out of range, on the ego vehicle, or an invalid point, whose position may be meaningless."""
FILL: Final = -(2**31)
"""Not a legal label: indicates missing data."""

CODES: Final = {
    NOISE: "noise: above ground and in range, but in no group",
    GROUND: "ground",
    NOT_CONSIDERED: "ignored: out of range, on the ego vehicle, or an invalid point",
}
"""Every legal label below 0."""
