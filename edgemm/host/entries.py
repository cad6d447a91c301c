"""The frozen records that hooks yield.

A record names things; it does not import them. `factory` and `config` are "module:attribute" strings that the host resolves
when the entry is used, so that listing every plugin of a machine loads neither torch nor a camera driver.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

HOOK_API = 1  # grows when a hook or a record changes in a way that is not compatible
NAME = re.compile(r"[a-z0-9][a-z0-9_\-]*(\.[a-z0-9][a-z0-9_\-]*)*")


@dataclass(frozen=True)
class Option:
    """What a user may set of a source or a sink, in a URI, on the command line or in Python.

    Attributes:
        name: letters, digits and '_'.
        default: when it is not set; every value has its type.
        summary: what it means, and in which unit.
        choices: the only texts that it may be; empty for any.
    """

    name: str
    default: str | int | float | bool
    summary: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """What every record says.

    Attributes:
        name: unique among the entries of its kind; lower case, dots between the parts (`vision.cnn`).
        factory: "module:attribute" of what makes it.
        summary: one line for `edgemm plugins`.
        requires: top-level modules that must be importable before the factory is resolved.
        extra: the extra of `edgemm` (or the distribution) that brings them.
        api: the hook API that the entry was written for.
    """

    name: str
    factory: str = ""
    summary: str = ""
    requires: tuple[str, ...] = ()
    extra: str = ""
    api: int = field(default=HOOK_API, kw_only=True)


@dataclass(frozen=True)
class ConfiguredEntry(Entry):
    """A part of a model: `config` names the pydantic model that checks its options in model.toml."""

    config: str = ""


@dataclass(frozen=True)
class EncoderEntry(ConfiguredEntry):
    """`factory(config, input) -> nn.Module` with `forward(x) -> tokens (B, T, d), valid (B, T)`.

    d is the model's width, which all its encoders share. They get it in `config`: where that has a field `width`, and the model.toml does not set
    it, it is filled in.

    Attributes:
        modality: of the inputs that it encodes (`InputKind.modality`), so that others are refused; "" takes any, and has to look at `input` itself.
    """

    modality: str = ""


@dataclass(frozen=True)
class FusionEntry(ConfiguredEntry):
    """`factory(config, inputs, width) -> nn.Module` with `forward(tokens, valid, presence, age_ms) -> (B, d)`.

    Tokens `(B, T, d)` and valid `(B, T)` are a list each, one per input; presence and age in ms are `(B, M)`. Every non-empty subset of inputs gives
    a finite answer, and what a masked slot holds cannot change it.
    """


@dataclass(frozen=True)
class HeadEntry(ConfiguredEntry):
    """`factory(config, width) -> nn.Module` with `forward(f) -> (B, …)`, f the fused vector `(B, d)`."""


@dataclass(frozen=True)
class InputEntry(Entry):
    """`factory` is a subclass of `edgemm.inputs.kind.InputKind`, whose `kind` is the entry's name. Torch-free."""


@dataclass(frozen=True)
class OutputEntry(Entry):
    """`factory` is a subclass of `edgemm.outputs.kind.OutputKind`, whose `kind` is the entry's name. Torch-free."""


@dataclass(frozen=True)
class TaskEntry(Entry):
    """`factory(data_folder) -> edgemm.training.task.Task`."""


@dataclass(frozen=True)
class SourceEntry(Entry):
    """`factory(uri, inputs, options) -> edgemm.host.interfaces.Source` for the URI schemes in `schemes`.

    `options` has a value for each of the entry's own, checked and of its default's type (see `edgemm.host.options`).
    """

    schemes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class SinkEntry(Entry):
    """`factory(model, options) -> edgemm.streaming.interfaces.Sink`; `options` as for a source."""

    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class ExporterEntry(Entry):
    """`factory() -> edgemm.host.interfaces.Exporter`, for device profiles whose backend is `backend`."""

    backend: str = ""


@dataclass(frozen=True)
class QuantizerEntry(Entry):
    """`factory() -> edgemm.host.interfaces.Quantizer`, for the precisions that it writes."""

    backend: str = ""
    precisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunnerEntry(Entry):
    """`factory(content, options) -> edgemm.host.interfaces.Runner`, for files that end in one of `formats`.

    `content` is the file's bytes, already compared with its hash; `options` are `graph` (its name), `variant` and `record` (what the
    manifest says of the two). `fit(variant) -> edgemm.host.interfaces.RunnerFit` says, loading nothing, whether this machine could run it; it is what
    makes a runner eligible when nobody asked for a variant by name.

    Attributes:
        formats: endings of the files that it runs, without the dot; no file of another ending reaches it.
        fit: "module:attribute" of the function above; "" runs only what is asked for by name.
        native: running such a file runs code that came with it (an engine, a shared library), so that it is loaded only from a bundle that the
            caller trusts. False is for formats that are data, whoever wrote them, and only if the runner refuses what would load anything else.
    """

    formats: tuple[str, ...] = ()
    fit: str = ""
    native: bool = True


@dataclass(frozen=True)
class DeviceEntry(Entry):
    """A device profile: `factory` is "package:path/inside/it.toml", a data file that is never executed."""


@dataclass(frozen=True)
class CommandEntry(Entry):
    """`factory` is a module with `add_arguments(parser)` and `run(arguments) -> int`."""


@dataclass(frozen=True)
class ObserverEntry(Entry):
    """`factory() -> edgemm.streaming.interfaces.Observer`."""
