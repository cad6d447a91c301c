"""The checks of kinds pass what keeps the contract, and find what breaks it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from edgemm.assets import Asset
from edgemm.errors import InputError
from edgemm.inputs.kind import Feed, InputKind, not_this
from edgemm.outputs.kind import OutputKind
from edgemm.tensors import TensorSpec
from edgemm.testing import ContractError, check_input, check_output

# ---- inputs


@dataclass(frozen=True)
class Depth(InputKind):
    """Three numbers."""

    kind: ClassVar[str] = "depth"
    scale: float = 1.0

    @property
    def tensors(self):
        return (TensorSpec("depth", "float32", ("batch", 3)),)

    def convert(self, raw):
        if not isinstance(raw, np.ndarray) or raw.shape != (3,):
            raise not_this("three numbers", raw)
        return (raw[np.newaxis] * np.float32(self.scale),)


@dataclass(frozen=True)
class Sum(Depth):
    """The sum of the last two; its feed is given."""

    feed: ClassVar[Any] = None

    def open_feed(self):
        return type(self).feed(self)


class SumFeed(Feed):
    def __init__(self, kind):
        super().__init__(kind)
        self.reset()

    def reset(self):
        self.last = None

    def push(self, raw, captured_ns):
        (tensor,) = self._convert(raw)
        last, self.last = self.last, tensor
        return () if last is None else (((last + tensor,), captured_ns),)


class Remembers(SumFeed):
    def reset(self):
        if not hasattr(self, "last"):
            self.last = None


class KeepsWhatItRefuses(SumFeed):
    def push(self, raw, captured_ns):
        last = self.last
        self.last = np.ones((1, 3), np.float32)
        (tensor,) = self._convert(raw)
        self.last = tensor
        return () if last is None else (((last + tensor,), captured_ns),)


class Overwrites(SumFeed):
    def __init__(self, kind):
        super().__init__(kind)
        self.sum = np.zeros((1, 3), np.float32)

    def push(self, raw, captured_ns):
        for (made,), at_ns in super().push(raw, captured_ns):
            self.sum[:] = made
            yield (self.sum,), at_ns


class Lends(Overwrites):
    borrowed = True


class GoesBack(SumFeed):
    def push(self, raw, captured_ns):
        return tuple((tensors, -at_ns) for tensors, at_ns in super().push(raw, captured_ns))


class GivesNothing(SumFeed):
    def push(self, raw, captured_ns):
        self._convert(raw)
        return ()


class GivesTwoRows(SumFeed):
    def push(self, raw, captured_ns):
        return tuple(((np.concatenate([t, t]),), at_ns) for (t,), at_ns in super().push(raw, captured_ns))


class RaisesAnything(SumFeed):
    def push(self, raw, captured_ns):
        return super().push(raw + 0, captured_ns)


def with_feed(made):
    return dataclass(frozen=True)(type("Sum", (Sum,), {"feed": made, "__annotations__": {}}))()


def changed(base=Depth, **attributes):
    """A kind with other attributes."""
    return dataclass(frozen=True)(type(base.__name__, (base,), {**attributes, "__annotations__": {}}))()


@dataclass(frozen=True)
class Forgetful(Depth):
    """Reads its own field as something else."""

    def __post_init__(self):
        object.__setattr__(self, "scale", self.scale + 1)


@dataclass(frozen=True)
class Unwritable(Depth):
    what: Any = field(default=object(), hash=False)


@dataclass(frozen=True)
class Infinite(Depth):
    scale: float = float("inf")


@dataclass(frozen=True)
class NotData(Depth):
    words: Asset = Asset("words.txt", b"add")  # noqa: RUF009 (it is frozen)


@dataclass(frozen=True)
class Carrying(NotData):
    assets: ClassVar[tuple[str, ...]] = ("words",)


@dataclass
class NotFrozen(InputKind):
    kind: ClassVar[str] = "depth"


def spec(name="depth", dtype="float32", shape=("batch", 3)):
    return property(lambda self: (TensorSpec(name, dtype, shape),))


def mutating(self, raw):
    converted = Depth.convert(self, raw)
    raw[:] = 0
    return converted


@pytest.mark.parametrize("kind", [Depth(), Depth(2.5), with_feed(SumFeed), with_feed(Lends), Carrying()])
def test_what_keeps_the_contract_of_inputs_passes(kind):
    check_input(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NotFrozen(), "NotFrozen must be a frozen dataclass"),
        (changed(kind="Depth"), "kind: expected a name in lower case, as its entry has it, got 'Depth'"),
        (Forgetful(), "does not come back from JSON as it was"),
        (Unwritable(), "its fields must be what JSON has"),
        (Infinite(), "its fields must be what JSON has"),
        (NotData(), "does not come back from JSON as it was"),
        (changed(modality=""), "modality: expected one line of text"),
        (changed(describe=lambda self: "two\nlines"), r"describe\(\): expected one line of text"),
        (changed(trigger="now and then"), "trigger: "),
        (changed(live_packets=0), "live_packets: expected a whole number of at least 1, got 0"),
        (changed(period_ms=0.0), "period_ms: expected milliseconds above 0 and below a day, got 0.0"),
        (changed(period_ms=float("inf")), "period_ms: expected milliseconds above 0 and below a day, got inf"),
        (changed(period_ms="33"), "period_ms: expected milliseconds above 0 and below a day, got '33'"),
        (changed(tensors=property(lambda self: ())), "tensors: expected a tuple of"),
        (changed(tensors=property(lambda self: Depth().tensors * 2)), "two have the same name: depth, depth"),
        (changed(tensors=spec(name="two words")), "'two words' is no name"),
        (changed(tensors=spec(dtype="float64")), "unknown dtype 'float64'"),
        (changed(tensors=spec(shape=(1, 3))), "expected the batch axis 'batch', then fixed sizes"),
        (changed(tensors=spec(shape=("batch", "n"))), "expected the batch axis 'batch', then fixed sizes"),
        (
            changed(draw=lambda self, count, generator: (np.ones((count, 3)),)),
            r"draw\(1\): tensor 'depth' is float64 \[1, 3\], expected float32 \[1, 3\]",
        ),
        (changed(draw=lambda self, count, generator: (np.ones((1, 3), np.float32),)), r"draw\(3\): .* \[1, 3\]"),
        (
            changed(draw=lambda self, count, generator: [np.ones((count, 3), np.float32)]),
            "a tuple of 1 arrays, got list",
        ),
        (changed(draw=lambda self, count, g: (np.full((count, 3), np.nan, np.float32),)), "is not finite"),
        (
            changed(draw=lambda self, count, g: (np.full((count, 3), time.monotonic_ns() % 10**6, np.float32),)),
            "the same generator draws something else",
        ),
        (changed(draw=lambda self, count, g: (np.ones((count, 3), np.float32),)), "another generator draws the same"),
        (changed(convert=lambda self, raw: Depth.convert(self, raw + 0)), "convert of what it cannot take must raise"),
        (changed(convert=lambda self, raw: Depth.convert(self, np.ones(3, np.float32))), "convert takes any object"),
        (changed(convert=mutating), "convert changes the value that it is given"),
        (changed(convert=lambda self, raw: Depth.convert(self, raw)[0]), r"convert\(example\): expected a tuple"),
        (changed(prepared=lambda self, x: x[:1]), "prepared: expected a tensor"),
        (with_feed(Remembers), r"after reset\(\) its feed remembers"),
        (with_feed(KeepsWhatItRefuses), "a value that was refused changes what comes later"),
        (with_feed(Overwrites), "its feed overwrites what it gave before"),
        (with_feed(GoesBack), "whole ns that never go back"),
        (with_feed(GivesNothing), "its feed makes nothing of 500 values"),
        (with_feed(GivesTwoRows), r"what its feed makes: tensor 'depth' is float32 \[2, 3\]"),
        (with_feed(RaisesAnything), "push of what it cannot take must raise .*InputError, raised TypeError"),
        (changed(example=lambda self, generator: "deep"), "its feed refuses what example"),
    ],
)
def test_what_breaks_the_contract_of_inputs_is_found(kind, message):
    with pytest.raises(ContractError, match=message):
        check_input(kind)


def test_a_misfit_is_told_in_one_line():
    def convert(self, raw):
        if not isinstance(raw, np.ndarray):
            raise InputError("")
        return (raw[np.newaxis],)

    with pytest.raises(ContractError, match="the message of convert for a value that does not fit: expected one line"):
        check_input(changed(convert=convert))


# ---- outputs


@dataclass(frozen=True)
class Angle(OutputKind):
    """One number."""

    kind: ClassVar[str] = "angle"
    unit: str = "°"

    def check(self, specs):
        return "" if specs["value"].shape == ("batch", 1) else "an angle is one number"

    def read(self, tensors):
        return float(tensors["value"][0])

    def show(self, value):
        return f"{value:.1f} {self.unit}"

    def to_json(self, value):
        return {"degrees": value}

    def agreement(self, reference, other):
        return np.isclose(reference["value"][:, 0], other["value"][:, 0])


ONE = {"value": TensorSpec("value", "float32", ("batch", 1))}


def check_raises(self, specs):
    return "" if specs["value"].shape[1] == 1 else "an angle is one number"


def counting():
    count = iter(range(10**6))
    return lambda self, tensors: float(next(count))


@pytest.mark.parametrize("kind", [Angle(), Angle("rad"), changed(Angle, agreement=lambda self, *_: None)])
def test_what_keeps_the_contract_of_outputs_passes(kind):
    check_output(kind, ONE)


@pytest.mark.parametrize(
    ("kind", "specs", "message"),
    [
        (changed(Angle, kind=""), ONE, "kind: expected a name"),
        (changed(Angle, tensors=()), ONE, "tensors: expected a tuple of different names"),
        (changed(Angle, tensors=("value", "value")), ONE, "tensors: expected a tuple of different names"),
        (Angle(), {"angle": ONE["value"]}, "it reads value; specs were given for angle"),
        (
            Angle(),
            {"value": TensorSpec("value", "float32", ("batch", 2))},
            "refuses the specs .* 'an angle is one number'",
        ),
        (
            changed(Angle, check=check_raises),
            ONE,
            r"check must return a reason .* float32 \[batch\] it raised IndexError",
        ),
        (changed(Angle, check=lambda self, specs: "" if specs is ONE else None), ONE, "check must return a text"),
        (changed(Angle, read=counting()), ONE, "is read as something else the second time|are read as something else"),
        (changed(Angle, show=lambda self, value: ""), ONE, "show, of random tensors: expected one line of text"),
        (
            changed(Angle, to_json=lambda self, value: {value}),
            ONE,
            "to_json, of random tensors: expected what JSON has",
        ),
        (
            changed(Angle, to_json=lambda self, value: 1 / value if value else float("nan")),
            ONE,
            "to_json, of zeros: expected what JSON has, finite",
        ),
        (changed(Angle, agreement=lambda self, *_: True), ONE, r"agreement: expected None, or bool \[4\]"),
        (changed(Angle, agreement=lambda self, *_: np.ones(3, bool)), ONE, r"agreement: expected None, or bool \[4\]"),
        (
            changed(Angle, agreement=lambda self, left, right: np.abs(left["value"][:, 0]) <= 1),
            ONE,
            "agreement: large numbers do not agree with themselves",
        ),
    ],
)
def test_what_breaks_the_contract_of_outputs_is_found(kind, specs, message):
    with pytest.raises(ContractError, match=message):
        check_output(kind, specs)
