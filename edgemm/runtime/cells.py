"""Cells: what is held of each input and each node of one stream, since when, and whether it may be used.

A cell is a cache of one: the newest values of an edge's source. Versions and changes count upwards and are compared, never
subtracted from a clock: a reader remembers which version it has seen, so nobody has to be told. It knows nothing of when nodes run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any, NoReturn

import numpy as np

from edgemm.errors import EdgeMMError, InputError
from edgemm.inputs.kind import Feed, InputKind, Tensors
from edgemm.inputs.windows import Ring
from edgemm.model.edge import Window
from edgemm.runners.values import HostValue, Value

NEVER = -1
NS_PER_MS = 1_000_000
_LONG_AGO = -(2**62)


class Cell:
    """What readers read, and what results report.

    Attributes:
        values: one per tensor of the source; the arrays are overwritten, the values may be swapped (double buffering).
        captured_ns: capture time of what is held; `NEVER` while that is not usable.
        version: grows whenever something arrived or was lost.
        repeats: how many of these said again what was there.
        reason: why it is not usable.
        watchers: called with the capture time after each arrival; windows listen here.
        maker: the step that fills it; None for an input.
        made_of: whether what it was computed from may still be used at a time; None where that cannot change without its being computed anew.
        tells_of: the input whose state results tell from it, where they do.
    """

    __slots__ = (
        "captured_ns", "made_of", "maker", "reason", "repeats", "reported", "stale_after_ns", "tells_of", "valid_for_ns", "values", "version",
        "watchers",
    )  # fmt: skip

    def __init__(self, values: tuple[Value, ...], stale_after_ms: float = 1000.0, valid_for_ms: float = 0.0) -> None:
        self.values = values
        self.captured_ns = NEVER
        self.version = 0
        self.repeats = 0
        self.reported = 0  # the version that the result before was made of
        self.reason = ""
        self.stale_after_ns = int(stale_after_ms * NS_PER_MS)
        self.valid_for_ns = int(valid_for_ms * NS_PER_MS)
        self.watchers: tuple[Callable[[int], None], ...] = ()
        self.maker: Any = None
        self.made_of: Callable[[int], bool] | None = None
        self.tells_of: InputCell | None = None

    @property
    def changes(self) -> int:
        """Grows as `version`, but only when what arrived differs from what was there."""
        return self.version - self.repeats

    def age_ns(self, now_ns: int) -> int:
        """Age of what may be used at `now_ns`, or `NEVER`. What was captured after `now_ns` is of age 0."""
        captured_ns = self.captured_ns
        if captured_ns == NEVER or (self.made_of is not None and not self.made_of(now_ns)):
            return NEVER
        age_ns = now_ns - captured_ns
        if age_ns <= 0:
            return 0
        if self.valid_for_ns and age_ns > self.valid_for_ns:
            return NEVER
        return age_ns

    def tell(self, captured_ns: int) -> None:
        """Tell the watchers of an arrival."""
        for watcher in self.watchers:
            watcher(captured_ns)

    def withdraw(self, reason: str, *, news: bool = False) -> None:
        """Say that nothing usable is held any more: news if there was something, or if a run has just found nothing."""
        if news or self.captured_ns != NEVER:
            self.captured_ns = NEVER
            self.version += 1
        self.reason = reason

    def disown(self, reason: str) -> None:
        """Say that what is held was never usable. That is found late, and is no news: it sets nobody off."""
        self.captured_ns, self.reason = NEVER, reason

    def refresh(self, captured_ns: int) -> None:
        """What is held was captured again, unchanged: its age starts anew."""
        if self.captured_ns != NEVER:
            self.captured_ns = captured_ns

    def report(self, now_ns: int) -> tuple[int, bool, str]:
        """For a result: (age or NEVER, whether it served a result before, why it is absent)."""
        age_ns = self.age_ns(now_ns)
        served_before = self.version == self.reported
        self.reported = self.version
        if age_ns == NEVER:
            ended = "" if self.tells_of is None else self.tells_of.ended
            return NEVER, False, self.reason or ended or ("expired" if self.captured_ns != NEVER else "no data")
        return age_ns, served_before, ""

    def clear(self) -> None:
        """Forget what is held, and that anything ever was."""
        self.version = self.repeats = self.reported = 0
        self.captured_ns, self.reason = NEVER, ""


class InputCell(Cell):
    """One input of the model: its feed, and the newest tensors.

    Attributes:
        late: values refused because something newer had come before.
        ended: why nothing more will come; "" while something may.
        compare: whether some reader runs on change, so that values are compared; not where a feed of its own makes more of them than one.
        keep: whether some reader reads later than at the push, so that what the feed only lends is copied.
        refreshed: called with the capture time when this input says the same again.
    """

    __slots__ = (
        "_compared",
        "compare",
        "ended",
        "feed",
        "keep",
        "kind",
        "late",
        "name",
        "newest_ns",
        "refreshed",
    )

    def __init__(self, name: str, kind: InputKind) -> None:
        super().__init__(
            tuple(HostValue(np.zeros(spec.with_batch(1), spec.dtype), fixed=False) for spec in kind.tensors)
        )
        self.name = name
        self.kind = kind
        self.feed = kind.open_feed()
        self.newest_ns = _LONG_AGO
        self.late = 0
        self.ended = ""
        self.compare = False
        self.keep = False
        self.refreshed: list[Callable[[int], None]] = []
        self._compared: Any = None

    def accept(self, raw: Any, captured_ns: int) -> None:
        """Take a value where it makes one arrival, and nothing is to be done before it: the hot path of `arrivals`.

        Raises:
            InputError: it does not fit; the message names the input.
        """
        try:
            tensors = self.kind.convert(raw)
        except BaseException as error:  # a plugin's, whatever it is: a library's panic is no Exception
            self._refuse(error)
        self.newest_ns = captured_ns
        self.ended = ""
        self.take(tensors, captured_ns)

    def arrivals(self, raw: Any, captured_ns: int, before: Callable[[int], None]) -> Iterable[int]:
        """Take a value; the capture time of each arrival that it makes, each held until the next is asked for.

        Args:
            raw: the value.
            captured_ns: its capture time.
            before: called with that time once the value is known to fit, before any of it is held.

        Raises:
            InputError: it does not fit; the message names the input.
        """
        made: Iterable[tuple[Tensors, int]] = ()
        try:
            again = self.compare and self.captured_ns != NEVER and _same(raw, self._compared)
            if not again:
                made = self.feed.push(raw, captured_ns)
        except BaseException as error:  # a plugin's, whatever it is: a library's panic is no Exception
            self._refuse(error)
        before(captured_ns)
        self.newest_ns = captured_ns
        self.ended = ""
        if again:
            self._take_again(captured_ns)
            return (captured_ns,)
        if self.compare:  # its owner may change it in place, so what is compared with must be a copy
            self._compared = raw if isinstance(raw, str) else _copy_of(raw)
        return self._one_by_one(made)

    def _take_again(self, captured_ns: int) -> None:
        """Take a value that says again what is held: an arrival, but no change."""
        self.captured_ns = captured_ns
        self.version += 1
        self.repeats += 1
        self.tell(captured_ns)
        for said_again in self.refreshed:
            said_again(captured_ns)

    def _one_by_one(self, made: Iterable[tuple[Tensors, int]]) -> Iterator[int]:
        try:
            for tensors, at_ns in made:
                self.take(tensors, at_ns)
                yield at_ns
        except GeneratorExit:  # nobody asks for more
            raise
        except BaseException as error:  # of a feed that is a generator
            self._refuse(error)

    def _refuse(self, error: BaseException) -> NoReturn:
        """A value was not taken: whatever its kind raised, only the value is lost. What is missing on this machine is no matter of one value."""
        if isinstance(error, InputError):
            raise InputError(f"input '{self.name}': {error}") from None
        if isinstance(error, (EdgeMMError, KeyboardInterrupt, SystemExit)):  # the latter may be a signal's
            raise error
        raise InputError(f"input '{self.name}': {type(error).__name__}: {error}") from error

    @property
    def direct(self) -> bool:
        """Whether each value makes one arrival, which need not be compared with the one before."""
        return type(self.feed) is Feed and not self.compare

    def take(self, tensors: Tensors, captured_ns: int) -> None:
        """Hold new tensors."""
        if self.keep:
            self._copy(tensors)
        else:
            for value, tensor in zip(self.values, tensors):  # noqa: B905 - the hot path
                value.array = tensor  # type: ignore[misc]
        self.captured_ns = captured_ns
        self.version += 1
        if self.watchers:
            self.tell(captured_ns)

    def _copy(self, tensors: Tensors) -> None:
        """Into the cell's own arrays, which stay where they are: who reads them has bound them once."""
        for value, tensor in zip(self.values, tensors, strict=True):
            np.copyto(value.array, tensor)

    def own(self) -> None:
        """Somebody reads later than at the push: keep what the feed only lends, from now on."""
        if self.feed.borrowed and not self.keep:
            self.keep = True
            for value in self.values:
                value.array = value.array.copy()  # type: ignore[misc]

    def clear(self) -> None:
        """Forget everything, also what the feed has of the past."""
        super().clear()
        self.newest_ns, self.ended, self._compared = _LONG_AGO, "", None
        self.feed.reset()
        for value, spec in zip(self.values, self.kind.tensors, strict=True):
            value.array = np.zeros(spec.with_batch(1), spec.dtype)  # type: ignore[misc]


class WindowCell(Cell):
    """The newest values of another cell, oldest first, with a mask and ages: what an edge with a window reads.

    `values` are, per tensor of the source, the window `(1, count, …)`, then the mask bool `(1, count)` and the ages in ms `(1, count)`.
    """

    __slots__ = ("_ages", "_count", "_mask", "_read", "_rings", "_stamps", "_written", "source")

    def __init__(self, source: Cell, window: Window) -> None:
        self._count = window.count
        self.source = source
        arrays = [value.array for value in source.values]
        self._rings = [Ring(window.count, array.shape[1:], array.dtype) for array in arrays]
        self._read: tuple[int, ...] = ()
        self._stamps = [NEVER] * window.count
        self._mask = np.zeros((1, window.count), bool)
        self._ages = np.zeros((1, window.count), np.float32)
        self._written = 0
        views = tuple(HostValue(ring.window(), fixed=False) for ring in self._rings)
        super().__init__((*views, HostValue(self._mask), HostValue(self._ages)))
        self.stale_after_ns = source.stale_after_ns
        self.valid_for_ns = min((ns for ns in (int(window.ms * NS_PER_MS), source.valid_for_ns) if ns), default=0)
        source.watchers = (*source.watchers, self._append)

    def read(self, place: int) -> None:
        """Somebody reads that tensor of the source: only such are kept, since one in a device's memory has to be copied down."""
        if 0 <= place < len(self._rings):
            self._read = tuple(dict.fromkeys((*self._read, place)))

    def _append(self, captured_ns: int) -> None:
        for place in self._read:
            self.values[place].array = self._rings[place].append(self.source.values[place].array[0])  # type: ignore[misc]
        self._stamps[self._written % self._count] = captured_ns
        self._written += 1
        self.captured_ns = captured_ns
        self.version += 1

    def align(self, now_ns: int) -> None:
        """Bring mask and ages up to a time; called before a node reads the window."""
        limit_ns = self.valid_for_ns
        for place in range(self._count):
            stamp = self._stamps[(self._written + place) % self._count]
            age_ns = max(0, now_ns - stamp)
            if limit_ns and age_ns > limit_ns and stamp != NEVER:
                self._forget((self._written + place) % self._count)
                stamp = NEVER
            there = stamp != NEVER
            self._mask[0, place] = there
            self._ages[0, place] = age_ns / NS_PER_MS if there else 0.0

    def _forget(self, slot: int) -> None:
        """What has become too old is as what never came: zero, and not there."""
        self._stamps[slot] = NEVER
        for place in self._read:
            self._rings[place].blank(slot)

    def clear(self) -> None:
        """Forget every value."""
        super().clear()
        self._stamps = [NEVER] * self._count
        self._written = 0
        for ring in self._rings:  # what shows them shows zeros now
            ring.clear()


def _same(value: Any, other: Any) -> bool:
    """Whether two raw values say the same; what cannot be compared does not."""
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        both = isinstance(value, np.ndarray) and isinstance(other, np.ndarray)
        return both and value.dtype == other.dtype and np.array_equal(value, other)
    if isinstance(value, (tuple, list)):
        return type(value) is type(other) and len(value) == len(other) and all(map(_same, value, other))
    try:
        return bool(value == other)
    except ValueError:  # of arrays somewhere inside
        return False


def _copy_of(value: Any) -> Any:
    """What a later value is compared with; what cannot be copied equals nothing."""
    try:
        return deepcopy(value)
    except Exception:
        return object()
