"""Every hook that a plugin can implement.

A plugin is a module named in the entry-point group `edgemm`. Nouns yield frozen records (`edgemm.host.entries`), verbs decide
(the first answer that is not None wins):

    import edgemm

    @edgemm.hookimpl
    def edgemm_encoders():
        yield edgemm.EncoderEntry(name="depth.cnn", modality="depth", factory="my_pkg.depth:build", config="my_pkg.depth:Config")

An implementation may take fewer arguments than its hook offers, so that adding one is compatible. `entries.HOOK_API` grows
when a hook or a record changes in a way that is not.

The two markers are pluggy's, written here: a bundle's kinds are found in the modules that register them, and opening one must not import pluggy
and what it needs for that. A test holds them equal to pluggy's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from edgemm.host import entries
    from edgemm.machine.machine import Machine

PROJECT = "edgemm"
SPEC, IMPLEMENTATION = f"{PROJECT}_spec", f"{PROJECT}_impl"
F = TypeVar("F", bound=Callable[..., Any])


def hookspec(*, firstresult: bool = False) -> Callable[[F], F]:
    """Mark a function of this module as a hook; with `firstresult`, the first answer that is not None wins."""
    return _marking(
        SPEC, {"firstresult": firstresult, "historic": False, "warn_on_impl": None, "warn_on_impl_args": None}
    )


@overload
def hookimpl(function: F, *, specname: str | None = None, tryfirst: bool = False, trylast: bool = False) -> F: ...
@overload
def hookimpl(*, specname: str | None = None, tryfirst: bool = False, trylast: bool = False) -> Callable[[F], F]: ...
def hookimpl(
    function: F | None = None, *, specname: str | None = None, tryfirst: bool = False, trylast: bool = False
) -> F | Callable[[F], F]:
    """Mark a function of a plugin as an implementation of the hook of its name, or of the one that `specname` names."""
    chosen = {"specname": specname, "tryfirst": tryfirst, "trylast": trylast}
    mark: Callable[[F], F] = _marking(
        IMPLEMENTATION, {**chosen, "optionalhook": False, "wrapper": False, "hookwrapper": False}
    )
    return mark if function is None else mark(function)


def _marking(marker: str, options: dict[str, Any]) -> Callable[[F], F]:
    def mark(function: F) -> F:
        setattr(function, marker, options)
        return function

    return mark


@hookspec()
def edgemm_encoders() -> Iterable[entries.EncoderEntry]:  # type: ignore[empty-body]
    """Encoders: one modality's raw tensor to tokens. Torch side; exported into the bundle."""


@hookspec()
def edgemm_fusions() -> Iterable[entries.FusionEntry]:  # type: ignore[empty-body]
    """Fusion strategies: the tokens of all inputs, with presence and age, to one vector."""


@hookspec()
def edgemm_heads() -> Iterable[entries.HeadEntry]:  # type: ignore[empty-body]
    """Heads: the fused vector to an output."""


@hookspec()
def edgemm_inputs() -> Iterable[entries.InputEntry]:  # type: ignore[empty-body]
    """Kinds of input: a raw frame, sound or record to the tensors that graphs read, alone and in a stream. Torch-free."""


@hookspec()
def edgemm_outputs() -> Iterable[entries.OutputEntry]:  # type: ignore[empty-body]
    """Kinds of output: a graph's tensors to what a program reads. Torch-free."""


@hookspec()
def edgemm_tasks() -> Iterable[entries.TaskEntry]:  # type: ignore[empty-body]
    """Tasks: the data, labels and truth that `edgemm train` and `edgemm evaluate` work on."""


@hookspec()
def edgemm_sources() -> Iterable[entries.SourceEntry]:  # type: ignore[empty-body]
    """Sources: a URI scheme to a stream of packets."""


@hookspec()
def edgemm_sinks() -> Iterable[entries.SinkEntry]:  # type: ignore[empty-body]
    """Sinks: where results go."""


@hookspec()
def edgemm_exporters() -> Iterable[entries.ExporterEntry]:  # type: ignore[empty-body]
    """Exporters: an ONNX graph to what a backend loads."""


@hookspec()
def edgemm_quantizers() -> Iterable[entries.QuantizerEntry]:  # type: ignore[empty-body]
    """Quantizers: an ONNX graph and calibration data to an ONNX graph of lower precision."""


@hookspec()
def edgemm_runners() -> Iterable[entries.RunnerEntry]:  # type: ignore[empty-body]
    """Runners: a compiled graph to something that runs it."""


@hookspec()
def edgemm_devices() -> Iterable[entries.DeviceEntry]:  # type: ignore[empty-body]
    """Device profiles: what a machine is, and which precisions it takes."""


@hookspec()
def edgemm_commands() -> Iterable[entries.CommandEntry]:  # type: ignore[empty-body]
    """Further commands of `edgemm`."""


@hookspec()
def edgemm_observers() -> Iterable[entries.ObserverEntry]:  # type: ignore[empty-body]
    """Observers of a running stream."""


@hookspec(firstresult=True)
def edgemm_detect_device(machine: Machine) -> str | None:
    """Name the device profile of `machine` (`edgemm.machine.machine.Machine`), or None."""
