"""A graph that is run again and again on one stream: buffers that last, inputs bound without copying.

`BoundGraph` is the fast way, for ONNX Runtime sessions whose shapes are fixed once the batch is 1; `PlainGraph` serves every other
runner. Both write into a `Buffer`, which keeps what a node computed until it is that buffer's turn again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort

from edgemm.host.interfaces import Runner
from edgemm.runners.onnxruntime import OnnxRuntimeRunner


class Buffer:
    """Outputs of one run of a node.

    Attributes:
        values: the arrays, in the node's order; overwritten by a later run.
        handles: what binds them without copying; empty for runners that cannot.
    """

    __slots__ = ("handles", "values")

    def __init__(self, values: list[np.ndarray], handles: list[Any]) -> None:
        self.values = values
        self.handles = handles


class BoundGraph:
    """A session with pre-bound outputs; batch 1, every shape fixed."""

    def __init__(self, runner: OnnxRuntimeRunner) -> None:
        self._session = runner.session
        self._binding = runner.session.io_binding()
        self._outputs = [(spec.name, spec.with_batch(1), spec.dtype) for spec in runner.outputs]
        self._written: Buffer | None = None  # whose arrays are bound as outputs

    def new_buffer(self) -> Buffer:
        """A buffer of zeros that this graph can write into."""
        values = [np.zeros(shape, dtype) for _, shape, dtype in self._outputs]
        return Buffer(values, [ort.OrtValue.ortvalue_from_numpy(value) for value in values])

    def feed(self, name: str, array: np.ndarray) -> None:
        """Read `array` in place at the next runs; it must stay alive and unchanged until then."""
        self._binding.bind_cpu_input(name, array)

    def link(self, name: str, buffer: Buffer, index: int) -> None:
        """Read another node's output in place at the next runs."""
        if buffer.handles:
            self._binding.bind_ortvalue_input(name, buffer.handles[index])
        else:
            self._binding.bind_cpu_input(name, buffer.values[index])

    def run(self, buffer: Buffer) -> None:
        """Run and write into `buffer`."""
        if buffer is not self._written:
            self._written = buffer
            for (name, _, _), handle in zip(self._outputs, buffer.handles, strict=True):
                self._binding.bind_ortvalue_output(name, handle)
        self._session.run_with_iobinding(self._binding)


class PlainGraph:
    """Any runner, fed by name; outputs are new arrays at each run."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._feeds: dict[str, np.ndarray] = {}

    def new_buffer(self) -> Buffer:
        """A buffer of zeros; dynamic axes are 1 until the first run."""
        shapes = [[size if isinstance(size, int) else 1 for size in spec.shape] for spec in self._runner.outputs]
        return Buffer(
            [np.zeros(shape, spec.dtype) for shape, spec in zip(shapes, self._runner.outputs, strict=True)], []
        )

    def feed(self, name: str, array: np.ndarray) -> None:
        """Read `array` at the next runs."""
        self._feeds[name] = array

    def link(self, name: str, buffer: Buffer, index: int) -> None:
        """Read another node's output at the next runs."""
        self._feeds[name] = buffer.values[index]

    def run(self, buffer: Buffer) -> None:
        """Run and put the outputs into `buffer`, as a new list: who reads them sees that they are others."""
        buffer.values = self._runner.run(self._feeds)


def repeated(runner: Runner) -> BoundGraph | PlainGraph:
    """The fastest way to run `runner` again and again."""
    fixed = all(isinstance(size, int) for spec in (*runner.inputs, *runner.outputs) for size in spec.shape[1:])
    if fixed and isinstance(runner, OnnxRuntimeRunner):
        return BoundGraph(runner)
    return PlainGraph(runner)
