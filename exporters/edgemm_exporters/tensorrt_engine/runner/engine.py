"""The TensorRT side of a runner: runtime, engine and one execution context, for `tensorrt` 10.3 to 11.x and `tensorrt_rtx`.

TensorRT says None or False when something failed; every answer is checked, and the reason taken from the error recorder. What some versions
lack is looked up before use. It takes tensors that lie densely on the device, with shapes that do not depend on data; it refuses others. It
knows nothing of memory, and has neither CUDA graphs nor shared workspaces.

Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from edgemm.bundle.manifest import GraphRecord
from edgemm.errors import BundleError, EdgeMMError
from edgemm.tensors import BATCH, TensorSpec
from edgemm_exporters.tensorrt_engine.runner.device import Device
from edgemm_exporters.tensorrt_engine.runner.failures import (
    DeviceLostError,
    EngineError,
    failure,
    logger_of,
    recorder_for,
)
from edgemm_exporters.tensorrt_engine.runner.kernel_cache import KernelCache

_log = logging.getLogger("edgemm.exporters.tensorrt_engine")
_PROFILE = 0
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}
Shape = tuple[int, ...]


@dataclass(frozen=True)
class InputRange:
    """Smallest, usual and largest shape that an engine takes for one input."""

    minimum: Shape
    usual: Shape
    maximum: Shape


class Engine:
    """A deserialised engine and its one execution context. One thread at a time; its device must be the thread's.

    Its objects are held by this one alone, never by a local variable: the traceback of an error would keep them alive beyond their parents.

    Args:
        trt: `tensorrt` or `tensorrt_rtx`.
        content: the serialized engine.
        graph: for messages.
        device: told when TensorRT reports that the GPU is lost.
        stream: that it will run on.
        cache: where TensorRT-RTX keeps what it compiles.

    Attributes:
        inputs, outputs: tensors in the engine's order.
        ranges: input -> shapes that it takes.

    Raises:
        BundleError: not an engine that this TensorRT and GPU run.
        EngineError: it could not be loaded.
    """

    def __init__(
        self,
        trt: ModuleType,
        content: bytes,
        *,
        graph: str,
        device: Device,
        stream: Any,
        cache: KernelCache | None = None,
    ) -> None:
        self._trt: Any = trt
        self._graph = graph
        self._device = device
        self._cache = cache
        self._recorder = recorder_for(trt)
        # Children before parents when they are released; TensorRT does not survive another order.
        self._context: Any = None
        self._kernels: Any = None
        self._config: Any = None
        self._engine: Any = None
        self._runtime: Any = None
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self.ranges: dict[str, InputRange] = {}
        # What the context was told last: several users take turns with one context, and each says all that it needs.
        self._shapes: Mapping[str, Shape] = {}
        self._found: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        try:
            self._deserialise(content)
            self._read_tensors()
            self._make_context(stream)
        except EdgeMMError:
            self.release()
            raise
        except Exception as error:  # bindings raise what they like
            self.release()
            raise self._failure(f"cannot be loaded ({type(error).__name__}: {error})") from error

    def take_record(self, record: GraphRecord) -> None:
        """Order tensors as the manifest does, and name their axes so.

        Raises:
            BundleError: they are not the manifest's tensors.
        """
        self.inputs = self._fitted("input", self.inputs, record.inputs)
        self.outputs = self._fitted("output", self.outputs, record.outputs)

    def set_shapes(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """Set the shape of every input where it is not what it was; returns that of every output.

        Raises:
            EngineError: the engine does not take them.
        """
        if shapes == self._shapes:
            return self._found
        self._shapes = {}  # none, until all of it succeeded
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._failure(f"does not take {list(shape)} for input '{name}'")
        try:
            unknown = self._context.infer_shapes()
        except RuntimeError as error:
            raise self._failure(f"does not take these shapes together: {error}") from error
        if unknown:
            raise self._failure(f"the shapes of {', '.join(unknown)} are not determined")
        found = {spec.name: _shape(self._context.get_tensor_shape(spec.name)) for spec in self.outputs}
        for name, shape in found.items():
            if any(size < 0 for size in shape):
                raise self._failure(
                    f"output '{name}' has a shape that depends on data, {list(shape)}; export fixed sizes"
                )
        self._shapes, self._found = dict(shapes), found
        return found

    def set_addresses(self, addresses: Mapping[str, int]) -> None:
        """Where tensors lie on the device, where it is not what it was; read at `enqueue`, so what runs already is not concerned."""
        known = self._addresses
        for name, address in addresses.items():
            if known.get(name) != address:
                known.pop(name, None)
                if not self._context.set_tensor_address(name, address):
                    raise self._failure(f"does not take the address of '{name}'")
                known[name] = address

    def enqueue(self, stream: Any) -> None:
        """Start one run; returns before it is done.

        Raises:
            EngineError: it was not started; `DeviceLostError` when the process cannot use the GPU any more.
        """
        if not self._context.execute_async_v3(int(stream)):
            raise self._failure("could not be started")

    def keep_kernels(self) -> None:
        """Keep what TensorRT-RTX compiled, for the next start."""
        if self._kernels is None or self._cache is None:
            return
        content = self._kernels.serialize()
        if content is None:
            _log.warning("graph '%s': compiled kernels could not be kept: %s", self._graph, self._recorder.drain())
            return
        self._cache.write(bytes(content))

    def release(self) -> None:
        """Context, kernels, configuration, engine, runtime, in this order."""
        self._context = None
        self._config = None
        self._kernels = None
        self._engine = None
        self._runtime = None

    def _deserialise(self, content: bytes) -> None:
        trt = self._trt
        logger = logger_of(trt)
        self._runtime = trt.Runtime(logger)
        if self._runtime is None:
            raise self._failure("TensorRT has no runtime here")
        self._runtime.error_recorder = self._recorder
        if hasattr(trt, "init_libnvinfer_plugins"):
            trt.init_libnvinfer_plugins(logger, "")
        if hasattr(self._runtime, "get_engine_validity"):
            self._check_validity(content)
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise self._failure("cannot be loaded", otherwise=BundleError)

    def _check_validity(self, content: bytes) -> None:
        validity, reasons = self._runtime.get_engine_validity(content)
        if int(validity) == int(self._trt.EngineValidity.VALID):
            return
        known = getattr(self._trt, "EngineInvalidityDiagnostics", None)
        names = [name for name, bit in known.__members__.items() if int(reasons) & int(bit)] if known else []
        why = ", ".join(names) or f"reasons {int(reasons):#x}"
        if int(validity) == int(self._trt.EngineValidity.INVALID):
            raise self._failure(f"cannot be loaded: {why}", [why], otherwise=BundleError)
        _log.warning("graph '%s': the engine runs here, but not at its best (%s)", self._graph, why)

    def _make_context(self, stream: Any) -> None:
        if hasattr(self._engine, "create_runtime_config"):
            self._configure()
            self._context = self._engine.create_execution_context(self._config)
        else:
            self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._failure("no execution context could be made")
        if not self._context.set_optimization_profile_async(_PROFILE, int(stream)):
            raise self._failure(f"has no optimization profile {_PROFILE}")
        self._device.synchronize(stream)

    def _configure(self) -> None:
        """TensorRT-RTX compiles kernels here, not in the background while a stream runs, and keeps them."""
        self._config = self._engine.create_runtime_config()
        if self._config is None:
            raise self._failure("no runtime configuration could be made")
        strategies = getattr(self._trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is not None and hasattr(self._config, "dynamic_shapes_kernel_specialization_strategy"):
            self._config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        if self._cache is None or not hasattr(self._config, "create_runtime_cache"):
            return
        self._kernels = self._config.create_runtime_cache()
        if self._kernels is None:
            return
        kept = self._cache.read()
        if kept and not self._kernels.deserialize(kept):
            _log.info(
                "graph '%s': compiled kernels do not fit this machine any more; compiling them again", self._graph
            )
        if not self._config.set_runtime_cache(self._kernels):
            _log.warning("graph '%s': kernels will be compiled at every start", self._graph)
            self._kernels = None
        self._recorder.clear()  # of a cache that was rejected

    def _read_tensors(self) -> None:
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            shape = _shape(self._engine.get_tensor_shape(name))
            dtype = self._engine.get_tensor_dtype(name).name
            problem = ""
            if dtype not in _DTYPES:
                problem = f"its type is {dtype}, which numpy does not have"
            elif self._engine.get_tensor_location(name) != self._trt.TensorLocation.DEVICE:
                problem = "its values determine shapes"
            elif self._engine.get_tensor_format(name, _PROFILE) != self._trt.TensorFormat.LINEAR:
                problem = "its memory layout is not dense"
            if problem:
                raise BundleError(f"graph '{self._graph}': tensor '{name}' of the engine cannot be served: {problem}")
            spec = TensorSpec(name, _DTYPES[dtype], tuple(map(_size, range(len(shape)), shape)))
            if self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT:
                self.inputs += (spec,)
                self.ranges[name] = self._range(name, shape)
            else:
                self.outputs += (spec,)

    def _range(self, name: str, shape: Shape) -> InputRange:
        if -1 not in shape:
            return InputRange(shape, shape, shape)
        return InputRange(*map(_shape, self._engine.get_tensor_profile_shape(name, _PROFILE)))

    def _fitted(self, kind: str, own: tuple[TensorSpec, ...], wanted: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        found = {spec.name: spec for spec in own}
        fits = found.keys() == {spec.name for spec in wanted} and all(_same(found[spec.name], spec) for spec in wanted)
        if not fits:
            raise BundleError(
                f"graph '{self._graph}': the engine's {kind}s are {_listed(own)}, the manifest says {_listed(wanted)}; "
                "build the engines again: edgemm build BUNDLE"
            )
        return wanted

    def _failure(
        self, what: str, lines: list[str] | None = None, *, otherwise: type[EdgeMMError] = EngineError
    ) -> EdgeMMError:
        """The error for a call that failed; from now on no call is made if the GPU is lost."""
        found = self._recorder.drain() or lines or []
        error = failure(f"graph '{self._graph}': the engine {what}", found, otherwise=otherwise)
        if isinstance(error, DeviceLostError):
            self._device.lose(str(error))
        return error


def _shape(dims: Any) -> Shape:
    return tuple(int(size) for size in dims)


def _size(axis: int, size: int) -> int | str:
    """A dynamic axis has a name; the first one is the batch."""
    if size >= 0:
        return size
    return f"axis{axis}" if axis else BATCH


def _same(own: TensorSpec, wanted: TensorSpec) -> bool:
    """Whether an engine's tensor can be the manifest's: a named axis may have become a fixed one."""
    return (
        own.dtype == wanted.dtype
        and len(own.shape) == len(wanted.shape)
        and all(
            isinstance(a, str) or isinstance(b, str) or a == b for a, b in zip(own.shape, wanted.shape, strict=True)
        )
    )


def _listed(specs: tuple[TensorSpec, ...]) -> str:
    return "; ".join(f"{spec.name} {spec}" for spec in specs) or "(none)"
