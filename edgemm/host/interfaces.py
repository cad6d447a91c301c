"""Protocols at the boundaries: what EdgeMM asks of a plugin's objects, and nothing else.

Names nothing of the rooms above it; what takes results is in `edgemm.streaming.interfaces`, and tasks are in `edgemm.training.task`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgemm.tensors import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Encoder(Protocol):
    """A torch module that turns one input into tokens. Batch axis first and dynamic.

    `full_precision` names submodules that stay FP32 in every precision (a log-mel front end). `state`, where it has some, says name -> shape without
    the batch axis; `forward` then takes these behind `x`, float32 and zeros at a stream's start, and returns the next ones behind `valid`.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Raw tensor `(B, …)` to tokens float32 `(B, T, d)` and valid bool `(B, T)`; nothing to encode is all False."""


@runtime_checkable
class TrainableEncoder(Encoder, Protocol):
    """An encoder that `edgemm train` can train alone, because it has a classifier of its own for the classes of its input.

    It may have a slot for the task's augmentation: a submodule `augment`, `torch.nn.Identity()` at rest, that `forward` and `classify` apply in
    training mode only. To what they apply it is said by the encoder, whose inside it changes (of `audio.logmel_cnn`, the power spectrum). What was
    there before is put back after training.
    """

    def classify(self, x: Tensor) -> Tensor:
        """Raw tensor `(B, …)` to logits `(B, classes)`; the last class means "nothing here", for which `forward` says `valid=False`."""
        ...


@dataclass(frozen=True)
class Packet:
    """One timestamped piece of input.

    Attributes:
        input: name of the model's input.
        value: what that input's kind takes.
        captured_ns: when it was captured, on the stream's monotonic clock; of a sound, when its first sample was.
        sequence: counts the packets of one source, gaps included.
    """

    input: str
    value: Any
    captured_ns: int
    sequence: int = 0


@runtime_checkable
class Source(Protocol):
    """Delivers one or more inputs of a stream from a thread of its own.

    A live source that waits for its device to come back says why in an attribute `absent`, which is "" while it delivers.
    One that loses packets itself may count them in an attribute `dropped`, which a stream adds to its own drops.
    """

    inputs: tuple[str, ...]
    live: bool

    def packets(self, stopped: Callable[[], bool]) -> Iterable[Packet]:
        """Yield packets in order of capture until the source ends or `stopped()` is true.

        `captured_ns` counts from 0 at the start of a recorded source (`live` False), and is `time.monotonic_ns()` of a live one, where a
        stamp ahead of the clock is taken as now. What is no packet of its inputs is dropped.

        Raises:
            SourceError: when it cannot be opened or breaks down; credentials are never part of the message.
        """

    def close(self) -> None:
        """Release the device; unblocks `packets`. May be called from another thread and more than once."""


class Runner(Protocol):
    """Runs one compiled graph.

    One that keeps its outputs in a device's memory, or reads host arrays in place, has `bind(batch) -> edgemm.runners.values.Bound` too; any other
    is bound by feeding it by name (`PlainBound`).
    """

    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in declared order; the arrays belong to the caller."""

    def close(self) -> None:
        """Release the device's memory."""


@dataclass(frozen=True)
class RunnerFit:
    """Whether this machine could run a variant.

    Attributes:
        problem: why not, with the remedy; "" when it could.
        exact: the library here is the very version that wrote it.
    """

    problem: str = ""
    exact: bool = False


Feeds = Mapping[str, "np.ndarray"]


class Quantizer(Protocol):
    """Writes an ONNX graph of another precision. Precision is in the graph: casts and Q/DQ, never a builder flag."""

    def quantize(
        self,
        source: Path,
        target: Path,
        *,
        precision: str,
        calibration: Callable[[], Iterable[Feeds]],
        keep_fp32: Sequence[str],
    ) -> None:
        """Convert `source` to `precision` at `target`; nodes whose names are in `keep_fp32` stay as they are.

        Raises:
            ExportError: when the graph cannot be converted.
        """


@dataclass(frozen=True)
class EngineRecord:
    """What a build tells of itself, for the manifest.

    Attributes:
        builder: module and version, e.g. `tensorrt_rtx 1.7.1.116`.
        seconds: build time.
        engine_bytes: size of the engine.
        activation_bytes: memory that the builder reports for activations; 0 when it does not.
        warnings: what it warned of, at most a few lines.
    """

    builder: str
    seconds: float
    engine_bytes: int
    activation_bytes: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShapeRange:
    """Smallest, usual and largest concrete shape of one input."""

    minimum: tuple[int, ...]
    usual: tuple[int, ...]
    maximum: tuple[int, ...]


class Device(Protocol):
    """What an exporter is told of the machine to compile for; a device profile is one."""

    @property
    def name(self) -> str:
        """As `--device` takes it."""
        ...

    @property
    def title(self) -> str:
        """As people call it."""
        ...

    @property
    def backend(self) -> str:
        """Whose engines it runs: `onnxruntime`, `tensorrt_rtx`, `tensorrt`, or a plugin's."""
        ...

    @property
    def compute_capability(self) -> int:
        """Of its GPU, as 89 for 8.9; 0 without one."""
        ...


class Exporter(Protocol):
    """Compiles an ONNX graph for a device."""

    format: str

    def unavailable(self, device: Device) -> str:
        """Why this machine cannot build for `device`, with the remedy; "" when it can."""

    def version(self) -> str:
        """Full version of the compiler, part of the target key."""

    def build(self, source: Path, target: Path, *, device: Device, shapes: Mapping[str, ShapeRange]) -> EngineRecord:
        """Compile `source` into `target`.

        Raises:
            ExportError: with the compiler's own reason.
        """
