"""How long to wait before a device that broke down is tried again, and where it is said.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015
"""

from __future__ import annotations

import random

from edgemm.log import logger

FIRST_S = 0.25
LIMIT_S = 3.0  # a device is back within 5 s of its return, connecting included
REFUSED_S = 60.0  # after a refused login: cameras lock out those who try too often
STEADY_S = 5.0  # a device that delivered for so long counts as back

LOG = logger("sources")


class Backoff:
    """Waiting times that grow, each shortened by chance, so that many readers do not come back at once."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def wait_s(self, *, steady: bool, refused: bool = False) -> float:
        """How long to wait now.

        Args:
            steady: the device had come back for good, so waiting begins anew.
            refused: it refused the login.
        """
        if steady:
            self._next_s = FIRST_S
        longest_s = REFUSED_S if refused else self._next_s
        self._next_s = min(2 * self._next_s, LIMIT_S)
        return longest_s * random.uniform(0.5, 1.0)
