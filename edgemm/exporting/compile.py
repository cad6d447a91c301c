"""One variant compiled from its ONNX sources, in an export or, later, on the device. Chooses neither graphs nor precisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgemm.bundle.manifest import Variant
from edgemm.bundle.writer import BundleWriter
from edgemm.host.interfaces import Exporter, ShapeRange
from edgemm.host.named import Provider
from edgemm.machine.profiles import DeviceProfile
from edgemm.runners.self_contained import check_self_contained
from edgemm.tensors import TensorSpec

LARGEST_BATCH = 8


def target_key(device: DeviceProfile, precision: str, version: str = "") -> str:
    """`device.backend-version.precision`; without a version where ONNX itself is what runs."""
    return f"{device.name}.{device.backend}{f'-{version}' if version else ''}.{precision}"


def shape_ranges(inputs: Sequence[TensorSpec]) -> dict[str, ShapeRange]:
    """Batch 1 to `LARGEST_BATCH` for every input of a graph."""
    return {
        spec.name: ShapeRange(spec.with_batch(1), spec.with_batch(1), spec.with_batch(LARGEST_BATCH)) for spec in inputs
    }


def compile_variant(
    key: str,
    device: DeviceProfile,
    precision: str,
    exporter: Exporter,
    runner: Provider | None,
    *,
    sources: Mapping[str, str],
    inputs: Mapping[str, Sequence[TensorSpec]],
    writer: BundleWriter,
    tell: Callable[[str], None],
) -> Variant:
    """Compile a variant's graphs into the bundle that is being written.

    Args:
        key: its target key.
        device: what for.
        precision: what its graphs are written in.
        exporter: what compiles.
        runner: who brings what runs it; None where nobody here does.
        sources: graph -> path of its ONNX in the bundle.
        inputs: graph -> its inputs.
        writer: the bundle.
        tell: told of each graph before it is compiled.

    Raises:
        ExportError: the compiler refuses.
        BundleError: a graph would have it read another file.
    """
    files = {graph: f"variants/{key}/{graph}.{exporter.format}" for graph in sources}
    build: dict[str, Any] = {}
    for graph, source in sources.items():
        tell(f"{key}: {graph}")
        check_self_contained(writer.path(source).read_bytes(), graph)  # compilers read what a graph names, too
        shapes = shape_ranges(inputs[graph])
        record = exporter.build(writer.path(source), writer.path(files[graph]), device=device, shapes=shapes)
        build[graph] = {**record.__dict__, "warnings": list(record.warnings)}
    return Variant(
        device.name, device.backend, exporter.version(), precision, files, sources, device.compute_capability, build, runner or ()
    )  # fmt: skip
