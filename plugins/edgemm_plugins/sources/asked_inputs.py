"""Which inputs a source was asked to feed, and whether it can."""

from __future__ import annotations

from collections.abc import Mapping

from edgemm.errors import SourceError
from edgemm.inputs.kind import InputKind
from edgemm.inputs.sampled import SampledInput
from edgemm.uris import parse


def check_inputs(uri: str, inputs: Mapping[str, InputKind], modalities: tuple[str, ...]) -> None:
    """Refuse inputs of a modality that this source cannot deliver.

    Raises:
        SourceError: names the input and what the source delivers.
    """
    if not inputs:
        raise SourceError(f"'{parse(uri)}' was opened for no input")
    for name, spec in inputs.items():
        if spec.modality not in modalities:
            raise SourceError(
                f"'{parse(uri)}' delivers {' and '.join(modalities)}, but input '{name}' takes {spec.modality}"
            )


def one_input(uri: str, inputs: Mapping[str, InputKind], modality: str) -> tuple[str, InputKind]:
    """The only input of a source that delivers one.

    Raises:
        SourceError: for another modality, or more than one input.
    """
    check_inputs(uri, inputs, (modality,))
    if len(inputs) > 1:
        raise SourceError(f"'{parse(uri)}' feeds one input, got {', '.join(inputs)}")
    return next(iter(inputs.items()))


def sample_rate_hz(uri: str, name: str, spec: InputKind) -> int:
    """The rate at which an input takes sound.

    Raises:
        SourceError: its kind does not say.
    """
    if not isinstance(spec, SampledInput):
        raise SourceError(
            f"'{parse(uri)}' delivers sound, but input '{name}' does not say at which rate it takes it: its kind '{spec.kind}' has no sample_rate_hz"
        )
    return spec.sample_rate_hz
