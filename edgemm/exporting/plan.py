"""What will be built: devices times precisions, with everything that cannot be had refused or planned, and why. Builds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgemm.errors import MissingDependencyError, UnknownNameError, UsageError
from edgemm.exporting.compile import target_key
from edgemm.host.entries import ExporterEntry, QuantizerEntry, RunnerEntry
from edgemm.host.interfaces import Exporter, Quantizer
from edgemm.host.named import Provider
from edgemm.host.plugin_host import PluginHost
from edgemm.machine.profiles import DeviceProfile, find_device
from edgemm.model.precision import FP32, PRECISIONS, Precision
from edgemm.runners.providers import ONNX_RUNTIME


@dataclass(frozen=True)
class Attempt:
    """A precision to try a graph in, and what writes it; None for FP32, which is the reference as it is."""

    precision: Precision
    quantizer: Quantizer | None


@dataclass(frozen=True)
class Target:
    """One variant to make.

    Attributes:
        device: what for.
        attempts: what is tried for each graph, in this order: the precision that was asked for, then those that it may fall back to.
        nothing_after: why the last attempt is the last.
        exporter: what compiles it; None where ONNX itself is what runs.
        deferred: why it cannot be compiled on this machine, with the remedy; "" when it can.
        runner: who brings what runs it; None where ONNX Runtime does, or nobody here.
    """

    device: DeviceProfile
    attempts: tuple[Attempt, ...]
    nothing_after: str = ""
    exporter: Exporter | None = None
    deferred: str = ""
    runner: Provider | None = None

    @property
    def precision(self) -> Precision:
        """The one that was asked for."""
        return self.attempts[0].precision

    @property
    def key(self) -> str:
        """The target key."""
        version = "" if self.exporter is None else "planned" if self.deferred else self.exporter.version()
        return target_key(self.device, self.precision.name, version)


def plan_targets(host: PluginHost, devices: Sequence[str], precision: str) -> tuple[Target, ...]:
    """The variants for `devices`; the CPU's FP32 reference is always the first.

    Args:
        host: plugins to use.
        devices: names of device profiles; a name may be followed by `:` and precisions of its own (`rtx-4090:fp16`).
        precision: `auto` (what the profile says), or one or several of fp32, fp16, int8, int8+fp16, separated by commas.

    Raises:
        UnknownNameError, UsageError: an unknown device or precision, or none.
        ExportError: a device that does not take a precision that was asked for by name, with the reason.
        MissingDependencyError: no plugin compiles for a device, or writes a precision that was asked for.
    """
    targets = [_target(host, find_device(host, "cpu"), PRECISIONS[FP32])]
    for asked in dict.fromkeys(devices):
        name, _, own = asked.partition(":")
        profile = find_device(host, name)
        for wanted in _precisions(profile, own or precision):
            target = _target(host, profile, wanted)
            if target.key not in {known.key for known in targets}:
                targets.append(target)
    return tuple(targets)


def find_quantizer(host: PluginHost, backend: str, precision: str) -> Quantizer:
    """What writes graphs of that precision for that backend.

    Raises:
        MissingDependencyError: no plugin does.
    """
    for name, registered in host.entries(QuantizerEntry).items():
        if registered.entry.backend == backend and precision in registered.entry.precisions:
            quantizer: Quantizer = host.load(QuantizerEntry, name)()
            return quantizer
    raise MissingDependencyError(
        f"no plugin writes {precision} graphs for {backend}: none registers a QuantizerEntry with that backend and precision; "
        "see 'edgemm plugins' for quantizers and failures"
    )


def find_exporter(host: PluginHost, backend: str) -> Exporter:
    """What compiles for that backend.

    Raises:
        MissingDependencyError: no plugin does.
    """
    known: dict[str, str] = {}
    for name, registered in host.entries(ExporterEntry).items():
        known.setdefault(registered.entry.backend, name)
    if backend not in known:
        raise MissingDependencyError(
            f"no plugin compiles for {backend}: none registers an ExporterEntry with that backend; known: {', '.join(sorted(known)) or '(none)'}; "
            "see 'edgemm plugins' for exporters and failures"
        )
    exporter: Exporter = host.load(ExporterEntry, known[backend])()
    return exporter


def find_runner(host: PluginHost, format: str) -> Provider | None:
    """Who brings what runs files of that ending; None where nobody here does."""
    for registered in host.entries(RunnerEntry).values():
        if format in registered.entry.formats:
            return Provider.of(registered)
    return None


def _precisions(profile: DeviceProfile, wanted: str) -> Iterable[Precision]:
    if wanted == "auto":
        return [PRECISIONS[name] for name in profile.default_precisions]
    asked = [part.strip() for part in wanted.split(",") if part.strip()]
    for name in asked:
        if name not in PRECISIONS:
            raise UnknownNameError("precision", name, [*PRECISIONS, "auto"])
        profile.check_precision(name)
    if not asked:
        raise UsageError(
            f"'{wanted}' names no precision for '{profile.name}'; known: {', '.join([*PRECISIONS, 'auto'])}"
        )
    return [PRECISIONS[name] for name in asked]


def _target(host: PluginHost, profile: DeviceProfile, precision: Precision) -> Target:
    exporter = None if profile.backend == ONNX_RUNTIME else find_exporter(host, profile.backend)
    deferred = exporter.unavailable(profile) if exporter else ""
    attempts, nothing_after = _attempts(host, profile, precision)
    runner = find_runner(host, exporter.format) if exporter else None
    return Target(profile, attempts, nothing_after, exporter, deferred, runner)


def _attempts(host: PluginHost, profile: DeviceProfile, precision: Precision) -> tuple[tuple[Attempt, ...], str]:
    """What to try, and why nothing comes after it. What was asked for must be there; what it falls back to need not be."""
    attempts = [_attempt(host, profile, precision)]
    while lower := attempts[-1].precision.fallback:
        if lower not in profile.precisions:
            return tuple(attempts), f"'{profile.name}' does not take {lower}"
        try:
            attempts.append(_attempt(host, profile, PRECISIONS[lower]))
        except MissingDependencyError as error:
            return tuple(attempts), str(error)
    return tuple(attempts), ""


def _attempt(host: PluginHost, profile: DeviceProfile, precision: Precision) -> Attempt:
    if precision.name == FP32:
        return Attempt(precision, None)
    return Attempt(precision, find_quantizer(host, profile.backend, precision.name))
