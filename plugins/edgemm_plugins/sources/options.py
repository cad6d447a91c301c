"""Checks that every source makes of what it was asked for: its inputs' modalities and its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgemm.errors import SourceError, UnknownNameError, UsageError
from edgemm.inputs.kind import InputKind
from edgemm.uris import redact


def check_inputs(uri: str, inputs: Mapping[str, InputKind], modalities: tuple[str, ...]) -> None:
    """Refuse inputs of a modality that this source cannot deliver.

    Raises:
        SourceError: names the input and what the source delivers.
    """
    if not inputs:
        raise SourceError(f"'{redact(uri)}' was opened for no input")
    for name, spec in inputs.items():
        if spec.modality not in modalities:
            raise SourceError(
                f"'{redact(uri)}' delivers {' and '.join(modalities)}, but input '{name}' takes {spec.modality}"
            )


def one_input(uri: str, inputs: Mapping[str, InputKind], modality: str) -> tuple[str, InputKind]:
    """The only input of a source that delivers one.

    Raises:
        SourceError: for another modality, or more than one input.
    """
    check_inputs(uri, inputs, (modality,))
    if len(inputs) > 1:
        raise SourceError(f"'{redact(uri)}' feeds one input, got {', '.join(inputs)}")
    return next(iter(inputs.items()))


def take_options(source: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`defaults` with what `options` changes; numbers given as text become numbers.

    Raises:
        UnknownNameError: for an option that the source does not have.
        UsageError: for a value of another type.
    """
    taken = dict(defaults)
    for name, value in options.items():
        if name not in defaults:
            raise UnknownNameError(f"option of source '{source}'", name, defaults)
        kind = type(defaults[name])
        try:
            taken[name] = kind(value)
        except (TypeError, ValueError):
            raise UsageError(f"source '{source}': option {name} must be {kind.__name__}, got {value!r}") from None
    return taken
