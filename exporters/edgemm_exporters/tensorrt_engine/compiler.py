"""Compiles one ONNX graph with a TensorRT module: one code path for `tensorrt` 10.3 to 11.x and `tensorrt_rtx`.

Networks are always strongly typed: precision is what the graph says, never a builder flag, which TensorRT 11 does not have. What some
versions lack is looked up before use. The module is an argument; this file imports none and knows nothing of processes.

Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgemm.errors import ExportError
from edgemm.host.interfaces import ShapeRange
from edgemm_exporters.tensorrt_engine.messages import WARNINGS_KEPT, Log, explanation, logger_for, parser_errors

OLDEST_VERSION = (10, 3)


@dataclass(frozen=True)
class Plan:
    """A compiled graph.

    Attributes:
        engine: the serialized engine; `bytes(engine)` copies it, writing it to a file does not.
        activation_bytes: memory for activations that the builder reported; 0 when it did not.
        warnings: what it warned of, at most a few lines.
    """

    engine: Any
    activation_bytes: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Hooks:
    """How a build reports and is stopped; both may be called from the builder's threads."""

    progress: Callable[[str], None] = lambda phase: None
    cancelled: Callable[[], bool] = lambda: False


def plan_from_onnx(
    trt: ModuleType,
    source: Path,
    *,
    compute_capability: int,
    shapes: Mapping[str, ShapeRange],
    hooks: Hooks = Hooks(),
) -> Plan:
    """Compile `source`; blocks for seconds to minutes.

    Raises:
        ExportError: with the parser's or builder's own reasons, and what to do where that is known.
    """
    _check_version(trt)
    log = Log()
    logger = logger_for(trt, log)  # one for both: TensorRT ignores a second
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(source)):
        reasons = parser_errors(parser) or log.errors
        raise ExportError(f"{_name(trt)} cannot read {source.name}:{explanation(reasons)}")
    if network.num_outputs == 0:  # the parser takes some files that are no ONNX at all
        raise ExportError(f"{_name(trt)} cannot read {source.name}: it is not an ONNX graph, or has no outputs")
    config = builder.create_builder_config()
    _set_target(trt, config, compute_capability)
    if hasattr(config, "max_aux_streams"):
        config.max_aux_streams = 0  # graphs overlap on streams of their own; auxiliary streams multiply scratch memory
    if hasattr(trt, "IProgressMonitor") and hasattr(config, "progress_monitor"):
        config.progress_monitor = _monitor_for(trt, hooks)
    _set_shapes(builder, network, config, shapes, source.name)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        if hooks.cancelled():
            raise ExportError(f"compiling {source.name} was cancelled")
        target = f" for SM{compute_capability}" if compute_capability else ""
        raise ExportError(f"{_name(trt)} cannot compile {source.name}{target}:{explanation(log.errors)}")
    return Plan(engine, log.activation_bytes, tuple(log.warnings[:WARNINGS_KEPT]))


def version_of(trt: ModuleType) -> tuple[int, ...]:
    """The module's version as numbers."""
    return tuple(int(part) for part in trt.__version__.split(".")[:3] if part.isdigit())


def is_rtx(trt: ModuleType) -> bool:
    """Whether the module compiles for chosen GPUs (TensorRT-RTX) rather than for the one that is there."""
    return hasattr(trt, "ComputeCapability")


def _name(trt: ModuleType) -> str:
    return f"{'TensorRT-RTX' if is_rtx(trt) else 'TensorRT'} {trt.__version__}"


def _check_version(trt: ModuleType) -> None:
    if not is_rtx(trt) and version_of(trt)[:2] < OLDEST_VERSION:
        raise ExportError(
            f"{_name(trt)} is too old: EdgeMM needs TensorRT 10.3 or later (JetPack 6.1 or later), "
            "the first that takes strongly typed networks from ONNX"
        )


def _set_target(trt: ModuleType, config: Any, compute_capability: int) -> None:
    if not is_rtx(trt):
        return
    capability = getattr(trt.ComputeCapability, f"SM{compute_capability}", None)
    if capability is None:
        known = sorted(name for name in dir(trt.ComputeCapability) if name.startswith("SM"))
        raise ExportError(
            f"{_name(trt)} cannot compile for SM{compute_capability}; it knows {', '.join(known)}\n"
            "  what to do: compile on the device, with its own TensorRT: edgemm build BUNDLE"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(capability, 0)


def _set_shapes(builder: Any, network: Any, config: Any, shapes: Mapping[str, ShapeRange], graph: str) -> None:
    inputs = {tensor.name: tuple(tensor.shape) for tensor in map(network.get_input, range(network.num_inputs))}
    unknown = sorted(set(shapes) - set(inputs))
    if unknown:
        raise ExportError(f"{graph} has no input '{unknown[0]}'; it has: {', '.join(inputs)}")
    dynamic = [name for name, shape in inputs.items() if -1 in shape]
    if not dynamic:
        return
    profile = builder.create_optimization_profile()
    for name in dynamic:
        if name not in shapes:
            raise ExportError(f"{graph}: input '{name}' has dynamic axes {list(inputs[name])} but no range of shapes")
        wanted = shapes[name]
        profile.set_shape(name, wanted.minimum, wanted.usual, wanted.maximum)
    if config.add_optimization_profile(profile) < 0:
        ranges = "".join(
            f"\n  {n}: {list(shapes[n].minimum)} to {list(shapes[n].maximum)}, graph {list(inputs[n])}" for n in dynamic
        )
        raise ExportError(f"{graph}: these ranges of shapes do not fit the graph:{ranges}")


def _monitor_for(trt: ModuleType, hooks: Hooks) -> Any:
    base: Any = trt.IProgressMonitor

    class Monitor(base):  # type: ignore[misc]  # the base class exists only at run time
        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            hooks.progress(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return not hooks.cancelled()

        def phase_finish(self, phase_name: str) -> None:
            pass

    return Monitor()
