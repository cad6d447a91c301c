"""Runs ONNX graphs with ONNX Runtime: on the CPU, which is always there, or by another of its execution providers (`providers`).

Outputs of a GPU's provider stay in its memory while the next graph is on the same device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort

from edgemm.errors import BundleError, MissingDependencyError, UnknownNameError
from edgemm.limits import MEMORY_SHARE, RUN_S
from edgemm.runners.providers import BROUGHT_BY, CPU, ON_GPU, PROVIDERS
from edgemm.runners.self_contained import check_self_contained
from edgemm.runners.values import HOST, Bound, HostValue, PlainBound, Value
from edgemm.runners.watchdog import Watched
from edgemm.tensors import BATCH, TensorSpec

_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
}


# Computes what is constant when a session is made, in memory that no ceiling bounds. Export has done it already.
_NOT_BOUNDED = ["ConstantFolding"]


class OnnxRuntimeRunner:
    """One session.

    Several sessions share a process, so each gets an explicit number of threads and never spins: the library's defaults burn four
    times the CPU here.

    Args:
        model: the ONNX file's content.
        name: for messages.
        threads: intra-op threads.
        optimise: False runs the graph as written, as a Q/DQ graph meant for a GPU must be judged.
        provider: `cpu`, `cuda`, `tensorrt` or `openvino`; what it cannot run falls to the CPU, operator by operator.
        max_run_s: how long one run may take, for each row of its batch.

    Raises:
        BundleError: the graph cannot be loaded, or would read another file.
        UnknownNameError: there is no such provider.
        MissingDependencyError: the installed ONNX Runtime was built without it, or it does not start on this machine.
    """

    def __init__(
        self,
        model: bytes,
        name: str,
        *,
        threads: int = 1,
        optimise: bool = True,
        provider: str = CPU,
        max_run_s: float = RUN_S,
    ) -> None:
        check_provider(provider)
        check_self_contained(model, name)
        self.name, self.max_run_s = name, max_run_s
        asked = {CPU: (CPU,), "tensorrt": ("tensorrt", "cuda", CPU)}.get(provider, (provider, CPU))
        try:
            self.session = ort.InferenceSession(
                model,
                _session_options(threads, optimise),
                providers=[PROVIDERS[name] for name in asked],
                disabled_optimizers=_NOT_BOUNDED,
            )
        except Exception as error:  # onnxruntime raises many classes, none of them public
            raise BundleError(f"ONNX Runtime {ort.__version__} cannot load graph '{name}': {error}") from error
        if PROVIDERS[provider] not in self.session.get_providers():  # it only warns, and takes the CPU
            raise MissingDependencyError(
                f"ONNX Runtime {ort.__version__} has the provider '{provider}', but it does not start here: its driver or libraries are missing. "
                f"'edgemm doctor' checks this machine; --provider {CPU} runs everywhere"
            )
        self.memory = "cuda:0" if provider in ON_GPU else HOST
        try:
            self.inputs: Sequence[TensorSpec] = tuple(_spec(value) for value in self.session.get_inputs())
            self.outputs: Sequence[TensorSpec] = tuple(_spec(value) for value in self.session.get_outputs())
        except UnicodeDecodeError:
            raise BundleError(f"graph '{name}' takes or gives what has no name in UTF-8") from None
        self._idle: list[Watched] = []  # of runs from several threads each has its own

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs in declared order; the arrays belong to the caller.

        Raises:
            OverdueError: it took too long, and was stopped.
            BundleError: an output has not the shape that the graph declares, or other rows than were given.
        """
        try:
            watched = self._idle.pop()
        except IndexError:
            watched = Watched(self.name, self.max_run_s)
        rows = next(
            (len(feeds[spec.name]) for spec in self.inputs if spec.shape[:1] == (BATCH,) and spec.name in feeds), 1
        )
        watched.max_s = self.max_run_s * max(rows, 1)
        try:
            with watched as options:
                outputs: list[np.ndarray] = self.session.run(None, feeds, options)
        finally:
            self._idle.append(watched)
        for spec, array in zip(self.outputs, outputs, strict=True):
            _check_shape(spec, array.shape, rows, self.name)
        return outputs

    def bind(self, batch: int = 1) -> Bound:
        """Bind for repeated runs; without copying where every shape is fixed once the batch is."""
        specs = (*self.inputs, *self.outputs)
        if all(isinstance(size, int) for spec in specs for size in spec.shape[1:]):
            return SessionBinding(self, batch)
        return PlainBound(self, batch)

    def close(self) -> None:
        """Release the session's memory; further calls do nothing."""
        self.__dict__.pop("session", None)


class SessionBinding:
    """A session with its outputs bound to values that last, and inputs read in place (ONNX Runtime's IO binding)."""

    def __init__(self, runner: OnnxRuntimeRunner, batch: int) -> None:
        self._session = runner.session
        self._watched = Watched(runner.name, runner.max_run_s * batch)
        self._memory = runner.memory
        self._on_host = runner.memory == HOST
        self._binding = runner.session.io_binding()
        self._outputs = [(spec.name, _shape(spec, batch), spec.dtype) for spec in runner.outputs]
        self._input_bytes = {
            spec.name: int(np.prod(_shape(spec, batch))) * np.dtype(spec.dtype).itemsize for spec in runner.inputs
        }
        self._written: Sequence[Value] | None = None  # the values that are bound as outputs
        self._unfixed: dict[str, Value] = {}  # linked, but elsewhere after each run
        self._from_host: set[str] = set()
        self.copied_bytes: dict[str, int] = {"up": 0, "down": 0}

    def new_outputs(self) -> tuple[Value, ...]:
        """Values of zeros in this session's memory."""
        if not self._on_host:
            return tuple(
                _DeviceValue(shape, dtype, self._memory, self.copied_bytes) for _, shape, dtype in self._outputs
            )
        arrays = [np.zeros(shape, dtype) for _, shape, dtype in self._outputs]
        return tuple(HostValue(array, ort.OrtValue.ortvalue_from_numpy(array)) for array in arrays)

    def feed(self, name: str, array: np.ndarray) -> None:
        """Read `array` in place at the next runs; a GPU's provider copies it up at each."""
        if self._unfixed:
            self._unfixed.pop(name, None)
        if not self._on_host:
            self._from_host.add(name)
        self._binding.bind_cpu_input(name, array)

    def link(self, name: str, value: Value) -> None:
        """Read another node's output in place where it lies in this memory, else its host array."""
        if value.memory == self._memory and isinstance(value.handle, ort.OrtValue):
            self._unfixed.pop(name, None)
            self._from_host.discard(name)
            self._binding.bind_ortvalue_input(name, value.handle)
            return
        self.feed(name, value.array)
        if not value.fixed or value.memory != HOST:
            self._unfixed[name] = value

    def run(self, outputs: Sequence[Value]) -> None:
        """Run and write into `outputs`."""
        if self._unfixed:
            for name, value in self._unfixed.items():
                self._binding.bind_cpu_input(name, value.array)
        if outputs is not self._written:
            self._written = outputs
            for (name, _, _), value in zip(self._outputs, outputs, strict=True):
                self._binding.bind_ortvalue_output(name, value.handle)
        with self._watched as options:
            self._session.run_with_iobinding(self._binding, options)
        if not self._on_host:
            self._binding.synchronize_outputs()
            for name in self._from_host:
                self.copied_bytes["up"] += self._input_bytes[name]
            for value in outputs:
                value.stale = True  # type: ignore[attr-defined]

    def wait(self) -> None:
        """Nothing to wait for: a run returns when it is done."""

    def interrupt(self) -> None:
        """Let what runs fail, and whatever would run from now on."""
        self._watched.interrupt()


class _DeviceValue:
    """An output in a GPU's memory, held by ONNX Runtime; copied down when somebody looks at it on the host."""

    fixed = True

    def __init__(self, shape: tuple[int, ...], dtype: str, memory: str, copied_bytes: dict[str, int]) -> None:
        device, _, index = memory.partition(":")
        self.memory = memory
        self.handle = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype), device, int(index))
        self.stale = False
        self._array = np.zeros(shape, dtype)
        self._copied_bytes = copied_bytes

    @property
    def array(self) -> np.ndarray:
        """A copy in host memory, made once per run."""
        if self.stale:
            np.copyto(self._array, self.handle.numpy())
            self._copied_bytes["down"] += self._array.nbytes
            self.stale = False
        return self._array

    def put(self, row: np.ndarray) -> None:
        """Take a row's content, copied up."""
        self._array[0] = row
        self.handle.update_inplace(self._array)
        self._copied_bytes["up"] += self._array.nbytes
        self.stale = False

    def row(self) -> np.ndarray:
        """A copy of the only row, copied down."""
        row: np.ndarray = self.array[0].copy()
        return row

    def clear(self) -> None:
        """Fill it with zeros, on the device."""
        self._array.fill(0)
        self.handle.update_inplace(self._array)
        self.stale = False


def _check_shape(spec: TensorSpec, shape: tuple[int, ...], rows: int, graph: str) -> None:
    """What a graph computes may have another shape than it declares, where that depends on data; only named axes may be empty."""
    declared = [rows if size == BATCH else size for size in spec.shape]
    if len(shape) != len(declared) or any(
        isinstance(size, int) and size != actual for size, actual in zip(declared, shape, strict=True)
    ):
        raise BundleError(
            f"graph '{graph}' gave '{spec.name}' as {list(shape)}; it declares {spec}, for {rows} row{'s' * (rows != 1)}"
        )


def _session_options(threads: int, optimise: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it would print, with whatever the graph says in it, is raised anyway
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    _bound_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # weights are as large as their file, and are given back when the session closes, which the arena's memory is not
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return options


@cache
def _bound_memory() -> None:
    """One arena for what all sessions compute, with a ceiling: a small graph can ask for any amount of memory."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ceiling = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)
    with suppress(Exception):  # there is one already: the program has chosen its own
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(ceiling, -1, -1, -1))


def check_provider(provider: str) -> None:
    """Raise unless the installed ONNX Runtime has an execution provider, named as in `PROVIDERS`."""
    if provider not in PROVIDERS:
        raise UnknownNameError("execution provider", provider, PROVIDERS)
    if PROVIDERS[provider] not in ort.get_available_providers():
        has = ", ".join(name for name, full in PROVIDERS.items() if full in ort.get_available_providers())
        raise MissingDependencyError(
            f"the installed ONNX Runtime {ort.__version__} was built without the provider '{provider}' (it has {has}): "
            f"pip uninstall onnxruntime; pip install {BROUGHT_BY[provider]}"
        )


def _shape(spec: TensorSpec, batch: int) -> tuple[int, ...]:
    """The concrete shape; a graph may have a fixed first axis too."""
    first, *rest = spec.shape
    return (batch if isinstance(first, str) else first, *(int(size) for size in rest))


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else (size or BATCH) for size in value.shape)
    return TensorSpec(value.name, _DTYPES.get(value.type, value.type), shape)
