"""The contract of kinds of input: a declaration that is data, and feeds that make of a stream what graphs read.

Values are those that the kind gives as its example, at the pace at which something comes of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from edgemm.errors import EdgeMMError, InputError
from edgemm.inputs.kind import Feed, InputKind, Tensors
from edgemm.model.rules import Trigger
from edgemm.tensors import BATCH, DTYPES, TensorSpec
from edgemm.testing.contract import ContractError, expect, expect_declaration, expect_line

_PACES_MS = (10, 33, 100, 1, 1000)
_EXAMPLES = 8  # different values, in turn: frames are large
_MOST_PUSHES = 500
_ENOUGH = 3  # arrivals
_ROWS = 3
_LONGEST_MS = 86_400_000
_Arrival = tuple[Tensors, int]


def check_input(kind: InputKind, *, seed: int = 0) -> None:
    """Check everything that EdgeMM asks of a kind of input.

    A frozen declaration that comes back from JSON as it was; tensors with a batch axis and fixed sizes; random tensors that are legal; a feed
    that makes tensors of the kind's own example, in order of time, refuses what does not fit and goes on as if it had not come, keeps what it
    does not say that it lends, and forgets everything when it is reset.

    Args:
        kind: a declaration, such as `edgemm.Image(96, 96)`.
        seed: of what is drawn.

    Raises:
        ContractError: for the first thing that does not hold.
    """
    expect_declaration(kind)
    _check_tensors(kind)
    _check_words(kind)
    _check_drawn(kind, seed)
    _check_convert(kind, seed)
    examples = [kind.example(np.random.default_rng(seed + number)) for number in range(_EXAMPLES)]
    values = [examples[number % _EXAMPLES] for number in range(_MOST_PUSHES)]
    pace_ns, count = _pace(kind, values)
    wanted = _copied(_pushed(kind.open_feed(), values[:count], pace_ns))
    _check_arrivals(kind, wanted)
    _check_refusal(kind, values[:count], pace_ns, wanted)
    _check_lending(kind, values[:count], pace_ns)
    _check_reset(kind, values[:count], pace_ns, wanted)
    _check_prepared(kind, seed)


def _check_words(kind: InputKind) -> None:
    expect_line("modality", kind.modality)
    expect_line("describe()", kind.describe())
    try:
        Trigger.parse(kind.trigger)
    except EdgeMMError as error:
        raise ContractError(f"trigger: {error}") from error
    whole = type(kind.live_packets) is int and kind.live_packets >= 1
    expect(whole, f"live_packets: expected a whole number of at least 1, got {kind.live_packets!r}")
    period_ms = kind.period_ms
    timed = isinstance(period_ms, (int, float)) and not isinstance(period_ms, bool) and 0 < period_ms < _LONGEST_MS
    expect(timed, f"period_ms: expected milliseconds above 0 and below a day, got {period_ms!r}")


def _check_tensors(kind: InputKind) -> None:
    specs = kind.tensors
    several = isinstance(specs, tuple) and bool(specs) and all(isinstance(spec, TensorSpec) for spec in specs)
    expect(several, f"tensors: expected a tuple of edgemm.tensors.TensorSpec, got {specs!r:.200}")
    names = [spec.name for spec in specs]
    expect(len(set(names)) == len(names), f"tensors: two have the same name: {', '.join(names)}")
    for spec in specs:
        expect(spec.name.isidentifier(), f"tensors: '{spec.name}' is no name: letters, digits and '_'")
        expect(spec.dtype in DTYPES, f"tensor '{spec.name}': unknown dtype '{spec.dtype}'; known: {', '.join(DTYPES)}")
        batched = spec.shape[:1] == (BATCH,) and all(type(size) is int and size >= 1 for size in spec.shape[1:])
        expect(batched, f"tensor '{spec.name}': expected the batch axis '{BATCH}', then fixed sizes; got {spec}")


def _check_drawn(kind: InputKind, seed: int) -> None:
    for count in (1, _ROWS):
        _expect_tensors(kind, f"draw({count})", kind.draw(count, np.random.default_rng(seed)), count)
    first, again, other = (kind.draw(_ROWS, np.random.default_rng(number)) for number in (seed, seed, seed + 1))
    expect(_equal(first, again), "draw: the same generator draws something else: it must be the only source of chance")
    expect(not _equal(first, other), "draw: another generator draws the same: nothing could be proven on it")


def _check_convert(kind: InputKind, seed: int) -> None:
    _refuse("convert", lambda: kind.convert(object()))
    value = kind.example(np.random.default_rng(seed))
    before = copy.deepcopy(value)
    with suppress(InputError):  # one value of a stream need not be enough for a window
        _expect_tensors(kind, "convert(example)", kind.convert(value), 1)
    expect(_same_value(value, before), "convert changes the value that it is given")


def _pace(kind: InputKind, values: Sequence[Any]) -> tuple[int, int]:
    """The time between two values at which the feed makes tensors of them, and how many it takes for a few."""
    for pace_ms in _PACES_MS:
        feed, arrivals = kind.open_feed(), 0
        for number, value in enumerate(values):
            arrivals += sum(1 for _ in _push(feed, value, number * pace_ms * 1_000_000))
            if arrivals >= _ENOUGH:
                return pace_ms * 1_000_000, number + 1
    raise ContractError(
        f"its feed makes nothing of {len(values)} values such as example() gives, not every {' nor every '.join(f'{p} ms' for p in _PACES_MS)}"
    )


def _check_arrivals(kind: InputKind, arrivals: Sequence[_Arrival]) -> None:
    newest_ns = -1
    for tensors, at_ns in arrivals:
        _expect_tensors(kind, "what its feed makes", tensors, 1)
        expect(
            type(at_ns) is int and at_ns >= newest_ns,
            f"capture times must be whole ns that never go back: {at_ns!r} after {newest_ns}",
        )
        newest_ns = at_ns


def _check_refusal(kind: InputKind, values: Sequence[Any], pace_ns: int, wanted: Sequence[_Arrival]) -> None:
    feed = kind.open_feed()
    got: list[_Arrival] = []
    for number, value in enumerate(values):
        _refuse("push", lambda number=number: list(feed.push(object(), number * pace_ns)))
        got += _copied(_push(feed, value, number * pace_ns))
    expect(
        _same_arrivals(got, wanted),
        "a value that was refused changes what comes later: check it before anything is kept",
    )


def _check_lending(kind: InputKind, values: Sequence[Any], pace_ns: int) -> None:
    feed = kind.open_feed()
    if feed.borrowed:
        return
    kept = [(tensors, copy.deepcopy(tensors)) for tensors, _ in _pushed(feed, values, pace_ns)]
    for tensors, before in kept:
        expect(_equal(tensors, before), "its feed overwrites what it gave before: give copies, or set `borrowed`")


def _check_reset(kind: InputKind, values: Sequence[Any], pace_ns: int, wanted: Sequence[_Arrival]) -> None:
    feed = kind.open_feed()
    for used in (values, values[: len(values) // 2]):
        for _ in _pushed(feed, used, pace_ns):
            pass
        feed.reset()
        again = _copied(_pushed(feed, values, pace_ns))
        expect(_same_arrivals(again, wanted), "after reset() its feed remembers what came before")
        feed.reset()


def _check_prepared(kind: InputKind, seed: int) -> None:
    import torch

    drawn = kind.draw(_ROWS, np.random.default_rng(seed))
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in drawn]
    prepared = kind.prepared(*tensors)
    parts = prepared if isinstance(prepared, tuple) else (prepared,)
    batched = all(isinstance(part, torch.Tensor) and part.shape[:1] == (_ROWS,) for part in parts)
    expect(bool(parts) and batched, "prepared: expected a tensor, or a tuple of them, with the batch axis first")


def _push(feed: Feed, value: Any, captured_ns: int) -> Iterator[_Arrival]:
    try:
        yield from feed.push(value, captured_ns)
    except InputError as error:
        raise ContractError(f"its feed refuses what example() gives: {error}") from error


def _pushed(feed: Feed, values: Sequence[Any], pace_ns: int) -> Iterator[_Arrival]:
    for number, value in enumerate(values):
        yield from _push(feed, value, number * pace_ns)


def _copied(arrivals: Iterator[_Arrival]) -> list[_Arrival]:
    """Of lent arrays, what they are now."""
    return [(tuple(np.array(tensor) for tensor in tensors), at_ns) for tensors, at_ns in arrivals]


def _refuse(what: str, attempt: Any) -> None:
    """Raise unless `attempt`, with a value that no kind can take, raises `InputError`."""
    try:
        attempt()
    except InputError as error:
        expect_line(f"the message of {what} for a value that does not fit", str(error))
        return
    except Exception as error:
        raise ContractError(
            f"{what} of what it cannot take must raise edgemm.errors.InputError, raised {type(error).__name__}: {error}"
        ) from error
    raise ContractError(f"{what} takes any object; what does not fit must raise edgemm.errors.InputError")


def _expect_tensors(kind: InputKind, what: str, tensors: Any, count: int) -> None:
    specs = kind.tensors
    fits = isinstance(tensors, tuple) and len(tensors) == len(specs) and all(isinstance(t, np.ndarray) for t in tensors)
    expect(fits, f"{what}: expected a tuple of {len(specs)} arrays, got {type(tensors).__name__}")
    for spec, tensor in zip(specs, tensors, strict=True):
        shape = spec.with_batch(count)
        got = f"{tensor.dtype} {list(tensor.shape)}"
        expect(
            tensor.dtype == spec.dtype and tensor.shape == shape,
            f"{what}: tensor '{spec.name}' is {got}, expected {spec.dtype} {list(shape)}",
        )
        expect(bool(np.isfinite(tensor).all()), f"{what}: tensor '{spec.name}' is not finite")


def _equal(left: Tensors, right: Tensors) -> bool:
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def _same_arrivals(left: Sequence[_Arrival], right: Sequence[_Arrival]) -> bool:
    return [at for _, at in left] == [at for _, at in right] and all(
        _equal(a, b) for (a, _), (b, _) in zip(left, right, strict=True)
    )


def _same_value(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_same_value, left, right))
    if hasattr(left, "__dict__"):
        return all(_same_value(value, vars(right)[name]) for name, value in vars(left).items())
    return bool(left == right)
