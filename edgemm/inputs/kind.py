"""The protocol of an input kind: what reaches a model from outside, and how it becomes the tensors that graphs read.

A kind is a frozen dataclass that a plugin registers (hook `edgemm_inputs`); an instance is one input's declaration, carried as data in a
model.toml and in a bundle's manifest. The same code serves training, calibration, parity and running, so that they cannot drift apart.
What can be in a graph (normalisation, log-mel) belongs in the graph; what cannot (resizing, windowing, bytes) belongs here. It knows
nothing of sources, threads or torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from edgemm.errors import InputError, SpecError
from edgemm.limits import LARGEST_COUNT

if TYPE_CHECKING:
    import numpy as np

    from edgemm.tensors import TensorSpec

Tensors: TypeAlias = "tuple[np.ndarray, ...]"
CAMERA_PERIOD_MS = 33.0  # 30 Hz, the usual rate of cameras, which is what sets the pace of most models


class InputKind:
    """Base of every declaration of an input; subclass it as a frozen dataclass.

    Attributes:
        kind: the name that it is registered under.
        modality: what sources must deliver for it, and what encoders say that they encode; the kind's name if it says nothing else.
            One of modality `audio` has `sample_rate_hz` (`edgemm.inputs.sampled`), and is given `edgemm.Sound` at that rate.
        trigger: when a node that encodes it runs, unless the model says otherwise: `arrival` or `change`.
        live_packets: how many values of a live source wait for the model before the oldest is dropped.
        period_ms: time between two arrivals of a usual stream, which gives values in windows their ages where no clock runs (calibration, parity,
            `verify`); of a kind with a rate or a hop, its own.
        assets: names of the fields that hold a file (`edgemm.assets`), which travels inside the bundle.
    """

    kind: ClassVar[str] = ""
    assets: ClassVar[tuple[str, ...]] = ()
    trigger: ClassVar[str] = "arrival"
    live_packets: ClassVar[int] = 8

    if TYPE_CHECKING:
        modality: Any
        period_ms: Any
    else:
        period_ms = CAMERA_PERIOD_MS

        @property
        def modality(self) -> str:
            """The kind's name."""
            return self.kind

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """What graphs read of it, batch axis first; one or several, each with a name."""
        raise NotImplementedError

    def convert(self, raw: Any) -> Tensors:
        """One raw value to an array per tensor, with a batch of 1; may return views of `raw`.

        Raises:
            InputError: when `raw` is not what this input takes: what was expected, and what came.
        """
        raise NotImplementedError

    def open_feed(self) -> Feed:
        """What turns a stream of raw values into a stream of tensors; one of its own for each stream."""
        return Feed(self)

    def raw_rows(self, rows: np.ndarray) -> Sequence[Any]:
        """Raw values from one array of a calibration file (.npz)."""
        return list(rows)

    def draw(self, count: int, generator: np.random.Generator) -> Tensors:
        """Random tensors of `count` rows that are legal: for examples and checks, not for accuracy."""
        return tuple(random_tensor(spec, count, generator) for spec in self.tensors)

    def example(self, generator: np.random.Generator) -> Any:
        """A raw value as a source would deliver it; for profiles and contract checks."""
        tensors = self.draw(1, generator)
        return tensors[0][0] if len(tensors) == 1 else tuple(tensor[0] for tensor in tensors)

    def prepared(self, *tensors: Any) -> Any:
        """What a network of one's own is given for these torch tensors, where `wrap` is not told otherwise.

        Only methods of the tensors are used, so that declarations need no torch.
        """
        return tensors[0] if len(tensors) == 1 else tensors

    def describe(self) -> str:
        """One line for people: `96 x 96 RGB frames`."""
        return ", ".join(str(spec) for spec in self.tensors)


class Feed:
    """A stream of one input's values: each is converted and passed on at its own time.

    Attributes:
        borrowed: whether what it yields is overwritten by a later `push`; who reads it later then keeps a copy.
    """

    borrowed = False

    def __init__(self, kind: InputKind) -> None:
        self._convert = kind.convert

    def push(self, raw: Any, captured_ns: int) -> Iterable[tuple[Tensors, int]]:
        """Take one value; iterate over (tensors, their capture time) that it completes.

        Raises:
            InputError: the value does not fit; the feed goes on as if it had not come.
        """
        return ((self._convert(raw), captured_ns),)

    def reset(self) -> None:
        """Forget what came before."""


def random_tensor(spec: TensorSpec, count: int, generator: np.random.Generator) -> np.ndarray:
    """Random rows of a dtype: floats in [-1, 1], whole numbers below 128, bools."""
    import numpy as np

    shape, dtype = spec.with_batch(count), np.dtype(spec.dtype)
    if dtype.kind == "f":
        return generator.uniform(-1, 1, shape).astype(dtype)
    return generator.integers(0, 2 if dtype.kind == "b" else 128, shape).astype(dtype)


def not_this(expected: str, raw: Any) -> InputError:
    """The one wording of a value that does not fit: what was expected, what came."""
    shape, dtype = getattr(raw, "shape", None), getattr(raw, "dtype", None)
    got = f"{dtype} {list(shape)}" if isinstance(shape, tuple) and dtype is not None else type(raw).__name__
    return InputError(f"expected {expected}; got {got}")


def check_positive(declaration: InputKind, *names: str) -> None:
    """Raise `SpecError` unless each named field is a whole number of at least 1, and not larger than any size."""
    for name in names:
        value = getattr(declaration, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SpecError(f"{declaration.kind} input: {name} must be a whole number of at least 1, got {value!r}")
        if value > LARGEST_COUNT:
            raise SpecError(f"{declaration.kind} input: {name} must be at most {LARGEST_COUNT}, got {value}")


def check_choice(declaration: InputKind, name: str, choices: Sequence[str]) -> None:
    """Raise `SpecError` unless a field is one of `choices`."""
    value = getattr(declaration, name)
    if value not in choices:
        raise SpecError(
            f"{declaration.kind} input: {name} must be {', '.join(choices[:-1])} or {choices[-1]}, got '{value}'"
        )
