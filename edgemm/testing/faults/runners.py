"""Runners that fail, or answer what is no number, at chosen runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgemm.host.interfaces import Runner


class FailingRunner:
    """A runner whose runs `first` to `last`, counted from 0, raise.

    Args:
        runner: what runs otherwise.
        first: the first run that fails.
        last: the last one; None for all that follow.
        error: what is raised.

    Attributes:
        runs: how often it was asked.
    """

    def __init__(
        self, runner: Runner, *, first: int = 0, last: int | None = None, error: Exception | None = None
    ) -> None:
        self.inputs, self.outputs = runner.inputs, runner.outputs
        self.runs = 0
        self._runner = runner
        self._first, self._last = first, last
        self._error = error or RuntimeError("the device is gone")

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run, or fail."""
        number = self.runs
        self.runs += 1
        wrong = self._first <= number and (self._last is None or number <= self._last)
        return self._answer(feeds, wrong)

    def _answer(self, feeds: Mapping[str, np.ndarray], wrong: bool) -> list[np.ndarray]:
        if wrong:
            raise self._error
        return self._runner.run(feeds)

    def close(self) -> None:
        """Close what runs."""
        self._runner.close()


class NotFiniteRunner(FailingRunner):
    """The same, but its floating-point outputs are `value` then, instead of nothing."""

    def __init__(self, runner: Runner, *, first: int = 0, last: int | None = None, value: float = float("nan")) -> None:
        super().__init__(runner, first=first, last=last)
        self._value = value

    def _answer(self, feeds: Mapping[str, np.ndarray], wrong: bool) -> list[Any]:
        answer = self._runner.run(feeds)
        return [np.full_like(array, self._value) if wrong and array.dtype.kind == "f" else array for array in answer]
