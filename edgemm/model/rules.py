"""When a node runs (its trigger) and what it reads together (its policy).

Both are asked about cells: what is held of each edge now. They are data, compared and written as text, and they decide without
knowing what a cell holds.

    arrival                          whenever something new has come
    hop(4)                           after every 4th arrival: for windows on edges
    change                           when what has come differs from what came before
    tick(10)                         10 times a second, whatever has come
    until(stop)                      again and again, a step at a time, until its output `stop` is true
    until(stop, 64)                  at most 64 steps
    until(stop, 64, finish)          news waits until it is done; by default it starts again

    latest                           any news; the newest of every edge is read
    barrier                          news on every edge
    reference(image, 50)             news on that edge; of the others what was captured within 50 ms of it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import isfinite, nan
from typing import Any, ClassVar, Protocol

from edgemm.errors import SpecError, UnknownNameError
from edgemm.limits import LONGEST_MS

RESTART, FINISH = "restart", "finish"
_CALL = r"\s*([a-z_]+)\s*(?:\((.*)\))?\s*"
_TRIGGERS = ("arrival", "hop(count)", "change", "tick(hz)", "until(output)")
_POLICIES = ("latest", "barrier", "reference(edge, ms)")


class Cell(Protocol):
    """As much of a cell as rules see.

    Attributes:
        version: grows whenever what it holds changes hands: an arrival, a loss.
        changes: grows only when what arrived differs from what was there.
        captured_ns: capture time of what it holds; negative while that is not usable.
    """

    version: int
    captured_ns: int

    @property
    def changes(self) -> int:
        """A count that grows with changes."""
        ...


Due = Callable[[Sequence[Cell], Sequence[int]], bool]


class _Rule:
    """Compared as data: the same class with the same numbers is the same rule.

    Rules are plain classes because every start of a program defines them all, and a `dataclass` compiles five methods for each.
    """

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Trigger(_Rule):
    """When a node runs: by default whenever something has arrived.

    Attributes:
        period_ns: time between two runs, of what runs at a rate; else 0.
        by_changes: whether a cell's `changes` are remembered when the node runs, to tell news from them, and not its `version`.
    """

    name: ClassVar[str] = "arrival"
    period_ns: ClassVar[int] = 0
    by_changes: ClassVar[bool] = False

    @classmethod
    def parse(cls, text: str, where: str = "trigger") -> Trigger:
        """Read `arrival`, `hop(COUNT)`, `change`, `tick(HZ)` or `until(OUTPUT[, LIMIT[, restart|finish]])`."""
        name, arguments = _parse_call(text, where)
        kinds: dict[str, type[Trigger]] = {kind.name: kind for kind in (Trigger, Hop, Change, Tick, Until)}
        kind = kinds.get(name)
        if kind is None:
            raise UnknownNameError(f"trigger in {where}:", name, _TRIGGERS)
        return kind._of(arguments, where, text)

    @classmethod
    def _of(cls, arguments: list[str], where: str, text: str) -> Trigger:
        if arguments:
            raise SpecError(f"{where}: '{cls.name}' takes no arguments, got '{text}'")
        return cls()

    def news(self, cell: Cell, mark: int) -> bool:
        """Whether a cell has news since `mark`."""
        return cell.version != mark

    def __str__(self) -> str:
        return self.name


ARRIVAL = Trigger()


class Hop(Trigger):
    """After every so many arrivals; that there was nothing to arrive counts as one, so that the pace stays."""

    name: ClassVar[str] = "hop"

    def __init__(self, count: int) -> None:
        self.count = count

    @classmethod
    def _of(cls, arguments: list[str], where: str, text: str) -> Trigger:
        count = _number(arguments, 0, where, text)
        if len(arguments) != 1 or count != int(count) or not 1 <= count <= 1_000_000:
            raise SpecError(f"{where}: write hop(COUNT) with a whole number of arrivals, such as hop(4); got '{text}'")
        return cls(int(count))

    def news(self, cell: Cell, mark: int) -> bool:
        """Whether so many have arrived since `mark`."""
        return cell.version - mark >= self.count

    def __str__(self) -> str:
        return f"hop({self.count})"


class Change(Trigger):
    """When what arrived differs; what comes again unchanged only starts its age anew.

    Values of inputs are compared. What nodes compute counts as changed each time, and so does what a feed makes of several values.
    """

    name: ClassVar[str] = "change"
    by_changes: ClassVar[bool] = True

    def news(self, cell: Cell, mark: int) -> bool:
        """Whether it has changed since `mark`."""
        return cell.changes != mark


class Tick(Trigger):
    """At a rate: at whole periods of the stream's clock."""

    name: ClassVar[str] = "tick"

    def __init__(self, hz: float) -> None:
        self.hz = hz

    @classmethod
    def _of(cls, arguments: list[str], where: str, text: str) -> Trigger:
        hz = _number(arguments, 0, where, text)
        if len(arguments) != 1 or not 1000 / LONGEST_MS <= hz <= 1000:
            raise SpecError(f"{where}: tick(hz) needs a rate above 0 and up to 1000, got '{text}'")
        return cls(hz)

    @property
    def period_ns(self) -> int:  # type: ignore[override]
        """Time between two runs."""
        return round(1e9 / self.hz)

    def __str__(self) -> str:
        return f"tick({self.hz:g})"


class Until(Trigger):
    """A loop: started by news, then run a step at a time until an output says stop.

    Attributes:
        stop: the bool output that ends it.
        limit: steps after which it ends all the same; 0 for none.
        on_news: `restart` at once when what it reads changes, or `finish` first with what it read at its start.
    """

    name: ClassVar[str] = "until"

    def __init__(self, stop: str, limit: int = 0, on_news: str = RESTART) -> None:
        self.stop = stop
        self.limit = limit
        self.on_news = on_news

    @classmethod
    def _of(cls, arguments: list[str], where: str, text: str) -> Trigger:
        if not 1 <= len(arguments) <= 3 or not arguments[0]:
            raise SpecError(
                f"{where}: write until(OUTPUT), until(OUTPUT, LIMIT) or until(OUTPUT, LIMIT, finish); got '{text}'"
            )
        limit = _number(arguments, 1, where, text) if len(arguments) > 1 else 0
        if limit != int(limit) or limit < 0:
            raise SpecError(f"{where}: the limit of until(…) is a whole number of steps, got '{text}'")
        on_news = arguments[2] if len(arguments) > 2 else RESTART
        if on_news not in (RESTART, FINISH):
            raise UnknownNameError(f"what until(…) does on news in {where}:", on_news, (RESTART, FINISH))
        return cls(arguments[0], int(limit), on_news)

    def __str__(self) -> str:
        more = [str(self.limit)] if self.limit or self.on_news != RESTART else []
        return f"until({', '.join([self.stop, *more, *([self.on_news] if self.on_news != RESTART else [])])})"


class Policy(_Rule):
    """Which values a node with several edges reads together: by default the newest of each, on any news."""

    name: ClassVar[str] = "latest"

    @classmethod
    def parse(cls, text: str, where: str = "policy") -> Policy:
        """Read `latest`, `barrier` or `reference(EDGE, MS)`."""
        name, arguments = _parse_call(text, where)
        kinds: dict[str, type[Policy]] = {kind.name: kind for kind in (Policy, Barrier, Reference)}
        kind = kinds.get(name)
        if kind is None:
            raise UnknownNameError(f"sync policy in {where}:", name, _POLICIES)
        return kind._of(arguments, where, text)

    @classmethod
    def _of(cls, arguments: list[str], where: str, text: str) -> Policy:
        if arguments:
            raise SpecError(f"{where}: '{cls.name}' takes no arguments, got '{text}'")
        return cls()

    def bound(self, sources: Sequence[str]) -> BoundPolicy:
        """The same, for a node whose cells come in this order."""
        return BoundPolicy()

    def __str__(self) -> str:
        return self.name


LATEST = Policy()


class Barrier(Policy):
    """Waits until every edge has news."""

    name: ClassVar[str] = "barrier"

    def bound(self, sources: Sequence[str]) -> BoundPolicy:
        """The same, for a node."""
        return _BoundBarrier()


class Reference(Policy):
    """Runs when one edge has news; what was captured further from it than the tolerance counts as absent.

    Attributes:
        edge: the input or node that it waits for.
    """

    name: ClassVar[str] = "reference"

    def __init__(self, edge: str, tolerance_ms: float) -> None:
        self.edge = edge
        self.tolerance_ms = tolerance_ms

    @classmethod
    def _of(cls, arguments: list[str], where: str, text: str) -> Policy:
        if len(arguments) != 2 or not arguments[0] or not 0 <= _number(arguments, 1, where, text) <= LONGEST_MS:
            raise SpecError(
                f"{where}: write reference(edge, tolerance_ms) with a tolerance of at least 0 and at most {LONGEST_MS:g}, got '{text}'"
            )
        return cls(arguments[0], _number(arguments, 1, where, text))

    def bound(self, sources: Sequence[str]) -> BoundPolicy:
        """The same, for a node."""
        names = [source.removeprefix("input.") for source in sources]
        return _BoundReference(names.index(self.edge.removeprefix("input.")), int(self.tolerance_ms * 1_000_000))

    def __str__(self) -> str:
        return f"reference({self.edge}, {self.tolerance_ms:g})"


class BoundPolicy:
    """A policy that knows the order of its node's cells. This one: any news will do.

    Attributes:
        selective: whether `admits` may refuse anything; asked once, so that most nodes never call it.
    """

    selective = False

    def due(self, trigger: Trigger) -> Due:
        """What says whether the node runs now; made once, as it is asked at every push."""
        return _any_arrival if trigger == ARRIVAL else lambda cells, marks: any(map(trigger.news, cells, marks))

    def admits(self, cell: Cell, cells: Sequence[Cell]) -> bool:
        """Whether what a cell holds is read together with the rest."""
        return True


class _BoundBarrier(BoundPolicy):
    def due(self, trigger: Trigger) -> Due:
        return _every_arrival if trigger == ARRIVAL else lambda cells, marks: all(map(trigger.news, cells, marks))


class _BoundReference(BoundPolicy):
    selective = True

    def __init__(self, index: int, tolerance_ns: int) -> None:
        self._index = index
        self._tolerance_ns = tolerance_ns

    def due(self, trigger: Trigger) -> Due:
        index = self._index
        return lambda cells, marks: trigger.news(cells[index], marks[index])

    def admits(self, cell: Cell, cells: Sequence[Cell]) -> bool:
        reference_ns = cells[self._index].captured_ns
        return reference_ns < 0 or abs(cell.captured_ns - reference_ns) <= self._tolerance_ns


def _any_arrival(cells: Sequence[Cell], marks: Sequence[int]) -> bool:
    """`latest` with `arrival`, which most nodes have: the hot path, with neither generator nor a call per cell."""
    for cell, mark in zip(cells, marks):  # noqa: B905, SIM110
        if cell.version != mark:
            return True
    return False


def _every_arrival(cells: Sequence[Cell], marks: Sequence[int]) -> bool:
    """`barrier` with `arrival`, likewise."""
    for cell, mark in zip(cells, marks):  # noqa: B905, SIM110
        if cell.version == mark:
            return False
    return True


def _parse_call(text: Any, where: str) -> tuple[str, list[str]]:
    if isinstance(text, str) and text.isascii() and text.isalpha() and text.islower():
        return text, []  # as most are, and without the pattern, whose making a cold start can do without
    match = re.fullmatch(_CALL, text) if isinstance(text, str) else None
    if match is None:
        raise SpecError(f"{where}: cannot read {text!r}")
    return match[1], [part.strip() for part in match[2].split(",")] if match[2] else []


def _number(arguments: list[str], index: int, where: str, text: str) -> float:
    try:
        number = float(arguments[index])
    except (IndexError, ValueError):
        number = nan
    if not isfinite(number):
        raise SpecError(f"{where}: expected a number in '{text}'")
    return number
