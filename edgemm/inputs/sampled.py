"""What a source of sound must know of the kind that it feeds, whoever wrote that kind. Apart, as a bundle opens without it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class SampledInput(Protocol):
    """A kind of input that says at which rate it takes samples; those of modality `audio` do."""

    @property
    def sample_rate_hz(self) -> int:
        """Samples in a second."""
        ...
