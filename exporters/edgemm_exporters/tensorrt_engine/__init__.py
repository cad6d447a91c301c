"""Plugin `tensorrt_engine`: compiles ONNX graphs with `tensorrt_rtx` (any machine, for desktop GPUs) or `tensorrt` (on the device), and
runs the engines on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.host.entries import ExporterEntry, RunnerEntry
from edgemm.host.marker import hookimpl


@hookimpl
def edgemm_exporters() -> Iterator[ExporterEntry]:
    """One exporter per TensorRT module; both are the same code."""
    yield ExporterEntry(
        name="tensorrt_rtx",
        factory="edgemm_exporters.tensorrt_engine.exporter:rtx_exporter",
        summary="engines for desktop RTX GPUs, ahead of time and without a GPU",
        backend="tensorrt_rtx",
    )
    yield ExporterEntry(
        name="tensorrt",
        factory="edgemm_exporters.tensorrt_engine.exporter:tensorrt_exporter",
        summary="engines for the NVIDIA GPU of this machine, with the system's or pip's TensorRT",
        backend="tensorrt",
    )


@hookimpl
def edgemm_runners() -> Iterator[RunnerEntry]:
    """One runner for the engines of both modules; what it needs is checked when it is used, since that depends on the engine."""
    yield RunnerEntry(
        name="tensorrt",
        factory="edgemm_exporters.tensorrt_engine.runner.opening:open_engine",
        summary="engines on an NVIDIA GPU (not yet run on hardware)",
        extra="cuda",
        formats=("engine",),
        fit="edgemm_exporters.tensorrt_engine.runner.opening:fit",
    )
