"""The files that ship: the trained checkpoint, calibration samples, and the sample clip with its text track and truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgemm.errors import MissingDependencyError

__all__ = ["Shipped"]


@dataclass(frozen=True)
class Shipped:
    """The shipped files, in one folder; by default this one."""

    folder: Path = Path(__file__).parent

    @property
    def checkpoint(self) -> Path:
        """The trained model."""
        return self.folder / "weights.safetensors"

    @property
    def calibration(self) -> Path:
        """Aligned samples for INT8."""
        return self.folder / "calibration.npz"

    @property
    def clip(self) -> Path:
        """The film; its text track (.srt) and truth (.jsonl) stand beside it."""
        return self.folder / "clip.mp4"

    @property
    def captions(self) -> Path:
        """The film's text track."""
        return self.clip.with_suffix(".srt")

    @property
    def truth(self) -> Path:
        """The film's scored intervals."""
        return self.clip.with_suffix(".jsonl")

    def check(self) -> None:
        """Raise `MissingDependencyError` unless every file is there."""
        for path in (self.checkpoint, self.calibration, self.clip, self.captions, self.truth):
            if not path.is_file():
                raise MissingDependencyError(
                    f"the demo needs '{path}', which is not there; install edgemm-digit-desk again"
                )
