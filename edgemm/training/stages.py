"""Finished training stages, kept on disk so that an interrupted run can go on.

A stage is the trained weights of one module, recognised by a fingerprint of what went into it: the seed, the settings,
and the weights before. Data and code are not part of it: delete the folder after changing those. Knows nothing of
training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgemm.errors import CheckpointError

__all__ = ["StageStore", "fingerprint"]


class StageStore:
    """Weights of finished stages in `folder`; keeps nothing when it is None, and takes nothing from it without `resume`."""

    def __init__(self, folder: Path | None, resume: bool = True) -> None:
        self._folder, self._resume = folder, resume

    def load(self, name: str, mark: str, module: nn.Module) -> float | None:
        """Load the stage into `module` and return its training accuracy, or None if no such stage is kept."""
        if self._folder is None or not self._resume or not (path := _path(self._folder, name)).is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
        except SafetensorError:  # cut off while it was written by a killed process
            return None
        if metadata.get("fingerprint") != mark:
            return None
        module.load_state_dict(load_file(path))
        return float(metadata["accuracy"])

    def save(self, name: str, mark: str, module: nn.Module, accuracy: float) -> None:
        """Keep a finished stage: written aside, then renamed."""
        if self._folder is None:
            return
        path = _path(self._folder, name)
        aside = path.with_suffix(".partial")
        state = {key: value.contiguous() for key, value in module.state_dict().items()}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file(state, aside, metadata={"fingerprint": mark, "accuracy": repr(accuracy)})
            aside.replace(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"cannot keep the finished stage '{name}' in '{self._folder}': {error}") from error
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.safetensors"


def fingerprint(module: nn.Module, settings: Mapping[str, Any]) -> str:
    """A mark of a module's weights before training, and of the settings it is trained with."""
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        if isinstance(value, Tensor):
            digest.update(repr((value.dtype, tuple(value.shape))).encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
