"""Plugin `tensorrt_engine`: compiles ONNX graphs with `tensorrt_rtx` (any machine, for desktop GPUs) or `tensorrt` (on the device)."""

from __future__ import annotations

from collections.abc import Iterator

from edgemm.entries import ExporterEntry
from edgemm.hookspecs import hookimpl


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
