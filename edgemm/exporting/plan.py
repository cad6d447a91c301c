"""What will be built: devices times precisions, with everything that cannot be had refused or planned, and why. Builds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgemm.errors import MissingDependencyError, UnknownNameError
from edgemm.host.entries import ExporterEntry, QuantizerEntry
from edgemm.host.interfaces import Exporter, Quantizer
from edgemm.host.plugin_host import PluginHost
from edgemm.machine.profiles import PRECISIONS, DeviceProfile, find_device

AUTO_GPU = ("fp16", "int8+fp16")
LOWER = {"int8+fp16": "fp16", "int8": "fp32", "fp16": "fp32"}


@dataclass(frozen=True)
class Target:
    """One variant to make.

    Attributes:
        device: what for.
        precision: what precision.
        exporter: what compiles it; None where ONNX itself is what runs.
        deferred: why it cannot be compiled on this machine, with the remedy; "" when it can.
    """

    device: DeviceProfile
    precision: str
    exporter: Exporter | None = None
    deferred: str = ""

    @property
    def key(self) -> str:
        """The target key."""
        if self.exporter is None:
            return f"{self.device.name}.{self.device.backend}.{self.precision}"
        version = "planned" if self.deferred else self.exporter.version()
        return f"{self.device.name}.{self.device.backend}-{version}.{self.precision}"


def plan_targets(host: PluginHost, devices: Sequence[str], precision: str) -> list[Target]:
    """The variants for `devices`; the CPU's FP32 reference is always the first.

    Args:
        devices: names of device profiles; a name may be followed by `:` and precisions of its own (`rtx-4090:fp16`).
        precision: `auto`, or one or several of fp32, fp16, int8, int8+fp16, separated by commas.

    Raises:
        UnknownNameError: an unknown device or precision.
        ExportError: a device that does not take a precision that was asked for by name, with the reason.
    """
    cpu = find_device(host, "cpu")
    targets = [Target(cpu, "fp32")]
    for asked in dict.fromkeys(devices):
        name, _, own = asked.partition(":")
        profile = find_device(host, name)
        for wanted in _precisions(profile, own or precision):
            target = _target(host, profile, wanted)
            if target.key not in {known.key for known in targets}:
                targets.append(target)
    return targets


def find_quantizer(host: PluginHost, backend: str, precision: str) -> Quantizer | None:
    """What writes graphs of that precision for that backend; None for FP32, which needs nothing.

    Raises:
        MissingDependencyError: no plugin does.
    """
    if precision == "fp32":
        return None
    for name, registered in host.entries(QuantizerEntry).items():
        if registered.entry.backend == backend and precision in registered.entry.precisions:
            quantizer: Quantizer = host.load(QuantizerEntry, name)()
            return quantizer
    raise MissingDependencyError(
        f"no plugin writes {precision} graphs for {backend}; see 'edgemm plugins' for quantizers and failures"
    )


def find_exporter(host: PluginHost, backend: str) -> Exporter:
    """What compiles for that backend.

    Raises:
        UnknownNameError: no plugin does.
    """
    known = {}
    for name, registered in host.entries(ExporterEntry).items():
        known[registered.entry.backend] = name
    if backend not in known:
        raise UnknownNameError("exporter backend", backend, known, "see 'edgemm plugins'")
    exporter: Exporter = host.load(ExporterEntry, known[backend])()
    return exporter


def _precisions(profile: DeviceProfile, wanted: str) -> Iterable[str]:
    if wanted == "auto":
        chosen = profile.precisions if profile.backend == "onnxruntime" else AUTO_GPU
        return [precision for precision in chosen if precision in profile.precisions]
    asked = [part.strip() for part in wanted.split(",") if part.strip()]
    for precision in asked:
        if precision not in PRECISIONS:
            raise UnknownNameError("precision", precision, [*PRECISIONS, "auto"])
        profile.check_precision(precision)
    return asked


def _target(host: PluginHost, profile: DeviceProfile, precision: str) -> Target:
    if profile.backend == "onnxruntime":
        return Target(profile, precision)
    exporter = find_exporter(host, profile.backend)
    return Target(profile, precision, exporter, exporter.unavailable(profile))
