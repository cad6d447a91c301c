"""The exporters that this plugin registers: checks what this machine can compile, then compiles in a guarded child process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from edgemm.errors import ExportError
from edgemm.host.interfaces import Device, EngineRecord, ShapeRange
from edgemm.host.optional import is_installed, missing_message, require
from edgemm_exporters.tensorrt_engine.gpu import compute_capabilities
from edgemm_exporters.tensorrt_engine.guard import call_guarded
from edgemm_exporters.tensorrt_engine.plan_header import COMPUTE_CAPABILITY_BITS, HEADER_BYTES, plan_problem

TIMEOUT_S = 3600.0  # an Orin Nano takes minutes for a large graph


class EngineExporter:
    """Compiles graphs with one TensorRT module; implements `edgemm.host.interfaces.Exporter`.

    Args:
        module: `tensorrt_rtx` or `tensorrt`.
        local_gpus: gives the compute capabilities of this machine's GPUs, as 89 for 8.9.
        timeout_s: longest time that one graph may take.
    """

    format = "engine"

    def __init__(
        self,
        module: str,
        *,
        local_gpus: Callable[[], tuple[int, ...]] = compute_capabilities,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._module = module
        self._local_gpus = local_gpus
        self._timeout_s = timeout_s

    def unavailable(self, device: Device) -> str:
        """Why this machine cannot build for `device`, with the remedy; "" when it can."""
        if self._module == "tensorrt_rtx":
            return self._rtx_unavailable(device)
        return self._tensorrt_unavailable(device)

    def version(self) -> str:
        """Full version of the module.

        Raises:
            MissingDependencyError: when it is not installed.
        """
        extra = self._module.replace("_", "-")
        return str(require(self._module, extra, "compiling engines").__version__)

    def build(self, source: Path, target: Path, *, device: Device, shapes: Mapping[str, ShapeRange]) -> EngineRecord:
        """Compile `source` into `target`, which appears only when it is complete. Blocks; Ctrl-C leaves nothing behind.

        Raises:
            ExportError: with the compiler's own reason, also when it crashes, hangs or runs out of memory.
        """
        reason = self.unavailable(device)
        if reason:
            raise ExportError(f"cannot compile {source.name} for '{device.name}': {reason}")
        with tempfile.TemporaryDirectory(prefix=".compiling-", dir=target.parent) as folder:
            aside = Path(folder) / target.name
            payload = {
                "module": self._module,
                "source": str(source.absolute()),
                "target": str(aside.absolute()),
                "compute_capability": device.compute_capability,
                "shapes": {name: [list(s.minimum), list(s.usual), list(s.maximum)] for name, s in shapes.items()},
            }
            answer = call_guarded(
                "edgemm_exporters.tensorrt_engine.worker:compile_graph",
                payload,
                what=f"compiling {source.name} for '{device.name}'",
                timeout_s=self._timeout_s,
            )
            size_bytes = self._checked_size(aside, device)
            os.replace(aside, target)
        return EngineRecord(
            builder=answer["builder"],
            seconds=answer["seconds"],
            engine_bytes=size_bytes,
            activation_bytes=answer["activation_bytes"],
            warnings=tuple(answer["warnings"]),
        )

    def _checked_size(self, engine: Path, device: Device) -> int:
        size_bytes = engine.stat().st_size
        if self._module == "tensorrt_rtx":
            with engine.open("rb") as file:
                problem = plan_problem(file.read(HEADER_BYTES), size_bytes, device.compute_capability)
            if problem:
                raise ExportError(f"the compiler's result for '{device.name}' is not usable: {problem}")
        return size_bytes

    def _rtx_unavailable(self, device: Device) -> str:
        if device.compute_capability not in COMPUTE_CAPABILITY_BITS:
            known = ", ".join(f"SM{capability}" for capability in COMPUTE_CAPABILITY_BITS)
            return (
                f"TensorRT-RTX has no target SM{device.compute_capability} (it has {known}); "
                "compile on the device, with its own TensorRT: edgemm build BUNDLE"
            )
        if not is_installed(self._module):
            return missing_message("compiling engines ahead of time", self._module, "tensorrt-rtx")
        return ""

    def _tensorrt_unavailable(self, device: Device) -> str:
        on_device = f"compile on the device ({device.title}): edgemm build BUNDLE"
        gpus = self._local_gpus()
        if not gpus:
            return f"TensorRT compiles only for the GPU of the machine it runs on, and this one has none; {on_device}"
        if device.compute_capability not in gpus:
            here = ", ".join(f"SM{capability}" for capability in gpus)
            return f"engines of TensorRT fit only the GPU they are made on: this machine has {here}; {on_device}"
        if not is_installed(self._module):
            return (
                f"{missing_message('compiling engines', self._module, 'tensorrt')}; on a Jetson use JetPack's own module: "
                "sudo apt install python3-libnvinfer, and an environment made with --system-site-packages"
            )
        return ""


def rtx_exporter() -> EngineExporter:
    """Ahead of time, for desktop RTX GPUs."""
    return EngineExporter("tensorrt_rtx")


def tensorrt_exporter() -> EngineExporter:
    """On the device, for the GPU that it has."""
    return EngineExporter("tensorrt")
