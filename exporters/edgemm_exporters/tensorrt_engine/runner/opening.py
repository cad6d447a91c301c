"""What this machine needs to run an engine, checked before anything of it is deserialised, and the runner's factory."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from edgemm.bundle.manifest import Variant
from edgemm.errors import BundleError, EdgeMMError, MissingDependencyError
from edgemm.host.interfaces import RunnerFit
from edgemm.host.optional import require
from edgemm_exporters.tensorrt_engine.compiler import OLDEST_VERSION, version_of
from edgemm_exporters.tensorrt_engine.gpu import compute_capabilities, cuda_index
from edgemm_exporters.tensorrt_engine.runner.device import cuda_device
from edgemm_exporters.tensorrt_engine.runner.kernel_cache import KernelCache, user_folder
from edgemm_exporters.tensorrt_engine.runner.runner import EngineRunner

_RTX = "tensorrt_rtx"
_EXTRAS = {"tensorrt": "tensorrt", _RTX: "tensorrt-rtx"}
_REBUILD = "build the engines on this machine: edgemm build BUNDLE"


def open_engine(content: bytes, options: Mapping[str, Any]) -> EngineRunner:
    """Load an engine; blocks while TensorRT-RTX compiles its kernels.

    Args:
        content: the serialized engine. It is native code: only what is trusted may come here.
        options: `graph`, its name; `variant`, the `Variant` that it is part of; `record`, the manifest's `GraphRecord`.

    Raises:
        MissingDependencyError: TensorRT, the CUDA packages, the driver or the GPU is not here; says what to install.
        BundleError: the engine is for another GPU or TensorRT, or is none.
        EngineError: it could not be loaded.
    """
    variant: Variant = options["variant"]
    trt, rt = _requirements(variant)
    folder = user_folder() if variant.backend == _RTX else None
    cache = KernelCache(content, trt.__version__, folder) if folder else None
    return EngineRunner(
        content,
        trt=trt,
        device=cuda_device(rt, cuda_index(rt, variant.compute_capability)),
        graph=options["graph"],
        record=options.get("record"),
        cache=cache,
    )


def fit(variant: Variant) -> RunnerFit:
    """Whether this machine could run a variant's engines; loads none."""
    try:
        trt, _ = _requirements(variant)
    except EdgeMMError as error:
        return RunnerFit(problem=str(error).splitlines()[0])
    return RunnerFit(exact=trt.__version__ == variant.backend_version)


def _requirements(variant: Variant) -> tuple[ModuleType, ModuleType]:
    """The TensorRT module and `cuda.bindings.runtime`, on a machine that has the GPU."""
    if variant.backend not in _EXTRAS:
        raise BundleError(f"engines of '{variant.backend}' are not known; known: {', '.join(_EXTRAS)}")
    _check_gpu(variant)
    trt = require(variant.backend, _EXTRAS[variant.backend], "running engines")
    rt = require("cuda.bindings.runtime", "cuda", "running engines")
    _check_version(trt, variant)
    return trt, rt


def _check_gpu(variant: Variant) -> None:
    capabilities = compute_capabilities()
    if not capabilities:
        raise MissingDependencyError(
            "running engines needs an NVIDIA GPU with a working driver, and this machine has none; 'edgemm doctor' checks it"
        )
    if variant.compute_capability not in capabilities:
        here = ", ".join(f"SM{capability}" for capability in capabilities)
        raise BundleError(
            f"these engines were built for SM{variant.compute_capability} ({variant.device}), and this machine's GPU is {here}; {_REBUILD}"
        )


def _check_version(trt: ModuleType, variant: Variant) -> None:
    """TensorRT engines run with the version that wrote them; TensorRT-RTX judges its own when it has the engine."""
    if variant.backend == _RTX:
        return
    found = version_of(trt)
    if found[:2] < OLDEST_VERSION:
        raise MissingDependencyError(f"TensorRT {trt.__version__} is too old: EdgeMM needs 10.3 or later")
    written = tuple(int(part) for part in variant.backend_version.split(".")[:3] if part.isdigit())
    if found != written:
        raise BundleError(
            f"these engines were written by TensorRT {variant.backend_version}, and this machine has {trt.__version__}; {_REBUILD}"
        )
