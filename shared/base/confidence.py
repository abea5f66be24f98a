"""From which confidence on the boxes of groups are drawn and written, where nothing else is asked for."""

from typing import Final

LEAST_CONFIDENCE: Final = 0.3
"""Below, a group is seldom one object."""
