"""SemanticKITTI's raw class ids, as far as the synthetic data have them.

Source: the dataset's label definition (semantic-kitti.yaml).
"""

from typing import Final

CAR: Final = 10
BICYCLE: Final = 11
MOTORCYCLE: Final = 15
TRUCK: Final = 18
OTHER_VEHICLE: Final = 20
PERSON: Final = 30
BICYCLIST: Final = 31
MOTORCYCLIST: Final = 32
ROAD: Final = 40
PARKING: Final = 44
SIDEWALK: Final = 48
OTHER_GROUND: Final = 49
BUILDING: Final = 50
FENCE: Final = 51
VEGETATION: Final = 70
TRUNK: Final = 71
TERRAIN: Final = 72
POLE: Final = 80
TRAFFIC_SIGN: Final = 81
OTHER_OBJECT: Final = 99
"""Not scored: bins, cabinets, containers, which can be confused with scored classes."""

MOVING: Final = {CAR: 252, BICYCLIST: 253, PERSON: 254, MOTORCYCLIST: 255, TRUCK: 258, OTHER_VEHICLE: 259}
"""Raw id of a moving object, by its raw id at rest."""

THINGS: Final = frozenset({CAR, BICYCLE, MOTORCYCLE, TRUCK, OTHER_VEHICLE, PERSON, BICYCLIST, MOTORCYCLIST})
"""Classes with an instance id."""
