"""Sinks, callbacks and observers that fail or block when they are told something, from a chosen call on."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class Failing:
    """Stands for a sink, a callback or an observer; each of its methods fails after so many calls of it.

    Args:
        listener: what is asked before; None for something that takes everything.
        after: calls of each method that go well.
        error: what is raised then.
        only: the methods that fail; all by default.

    Attributes:
        calls: method -> how often it was called.
    """

    def __init__(
        self,
        listener: Any = None,
        *,
        after: int = 0,
        error: BaseException | None = None,
        only: tuple[str, ...] | None = None,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self._listener = listener
        self._after = after
        self._error = error or RuntimeError("it was told to fail")
        self._only = only

    def __call__(self, *told: Any) -> Any:
        """A callback."""
        return self._told("__call__", told)

    def write(self, result: Any) -> Any:
        """A sink's."""
        return self._told("write", (result,))

    def close(self) -> Any:
        """A sink's; fails only where `only` says so, since every stream closes what it has."""
        return self._told("close", (), fails=self._only is not None)

    def on_start(self, *told: Any) -> Any:
        """An observer's."""
        return self._told("on_start", told)

    def on_packet(self, *told: Any) -> Any:
        """An observer's."""
        return self._told("on_packet", told)

    def on_result(self, *told: Any) -> Any:
        """An observer's."""
        return self._told("on_result", told)

    def on_drop(self, *told: Any) -> Any:
        """An observer's."""
        return self._told("on_drop", told)

    def on_error(self, *told: Any) -> Any:
        """An observer's."""
        return self._told("on_error", told)

    def on_stop(self, *told: Any) -> Any:
        """An observer's."""
        return self._told("on_stop", told)

    def _told(self, method: str, told: tuple[Any, ...], fails: bool = True) -> Any:
        self.calls[method] += 1
        if fails and (self._only is None or method in self._only) and self.calls[method] > self._after:
            raise self._error
        asked = getattr(self._listener, method, None)
        return None if asked is None else asked(*told)


class Blocking(Failing):
    """The same, but it blocks instead of failing, until `release` is set."""

    def __init__(
        self, release: threading.Event, listener: Any = None, *, after: int = 0, only: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(listener, after=after, only=only)
        self._release = release

    def _told(self, method: str, told: tuple[Any, ...], fails: bool = True) -> Any:
        try:
            return super()._told(method, told, fails)
        except RuntimeError:
            self._release.wait()
            return None
