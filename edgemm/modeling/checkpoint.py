"""Checkpoints: one safetensors file that holds the weights, the model.toml they belong to and the files that it names. Never pickle."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from edgemm.assets import Files
from edgemm.errors import CheckpointError
from edgemm.host.plugin_host import PluginHost
from edgemm.limits import SPARE_PARAMETERS
from edgemm.modeling.compose import ComposedModel, compose
from edgemm.modeling.spec import ModelSpec, files_of_spec, spec_from_text
from edgemm.reading.plain_json import value_from_json
from edgemm.uris import redact

FILE_NAME = "model.safetensors"
_FORMAT = "edgemm-checkpoint-1"
_FILE = "edgemm.file:"  # in front of a name in the model.toml: its file, as a tensor of bytes


def save(model: ComposedModel, path: str | Path, about: dict[str, Any] | None = None) -> Path:
    """Write weights and spec to `path` (a file, or a folder that gets a model.safetensors); aside first, then renamed.

    Args:
        about: what else to remember, as JSON (seed, training record, package versions).
    """
    target = checkpoint_path(path) if Path(path).is_dir() else Path(path)
    weights = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    for name, content in files_of_spec(model.spec).items():
        weights[f"{_FILE}{name}"] = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
    metadata = {"format": _FORMAT, "spec": model.spec.text, "about": json.dumps(about or {})}
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, aside, metadata=metadata)
        aside.chmod(0o644)  # safetensors writes for the owner alone; a checkpoint is there to be shared
        os.replace(aside, target)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write the checkpoint '{target}': {error}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return target


def load(path: str | Path, *, host: PluginHost | None = None, spec: ModelSpec | None = None) -> ComposedModel:
    """Make the model of a checkpoint, in evaluation mode.

    Args:
        path: a .safetensors file, or the folder that `edgemm train` wrote.
        host: plugins to make it of.
        spec: use this one instead of the spec inside.

    Raises:
        CheckpointError: not a checkpoint, or its weights do not fit the spec; the message names the first that do not.
    """
    path = checkpoint_path(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            redact(f"cannot read the checkpoint '{path}': {error}")
            + "; a checkpoint is the .safetensors file that 'edgemm train' writes"
        ) from None
    files = {
        name.removeprefix(_FILE): tensor.numpy().tobytes() for name, tensor in tensors.items() if name.startswith(_FILE)
    }
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(_FILE)}
    if spec is None:
        if metadata.get("format") != _FORMAT or "spec" not in metadata:
            raise CheckpointError(
                f"'{path}' holds weights but no EdgeMM model specification; load it into your own nn.Module and use edgemm.wrap"
            )
        spec = spec_from_text(metadata["spec"], f"the specification in {path}", _files(path, files))
    with _at_most(sum(tensor.numel() for tensor in weights.values()) + SPARE_PARAMETERS, path):
        model = compose(spec, host)
    _check_fit(model, weights, path)
    model.load_state_dict({name: weights[name].to(tensor.dtype) for name, tensor in model.state_dict().items()})
    return model.eval()


def about(path: str | Path) -> dict[str, Any]:
    """What `save` was told to remember."""
    path = checkpoint_path(path)
    try:
        with safe_open(path, "pt") as file:
            found = value_from_json((file.metadata() or {}).get("about", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"cannot read what the checkpoint '{path}' remembers of itself: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(
            f"what the checkpoint '{path}' remembers of itself is {type(found).__name__}, expected a table"
        )
    return found


def checkpoint_path(path: str | Path) -> Path:
    """The file itself, or the checkpoint inside a folder."""
    path = Path(path)
    return path / FILE_NAME if path.is_dir() else path


def _files(path: Path, held: Mapping[str, bytes]) -> Files:
    """The files in a checkpoint, and no others: what came from elsewhere must not name files of this machine."""

    def read(name: str) -> bytes:
        if name not in held:
            raise CheckpointError(f"the checkpoint '{path}' lacks the file '{name}' that its specification names")
        return held[name]

    return read


@contextlib.contextmanager
def _at_most(parameters: int, path: Path) -> Iterator[None]:
    """A specification of a few bytes cannot make more parameters than that: refused before they are initialised, hence before they take memory."""
    left, maker = parameters, threading.get_ident()

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> None:
        nonlocal left
        left -= parameter.numel() if threading.get_ident() == maker else 0
        if left < 0:
            raise CheckpointError(
                f"the checkpoint '{path}' does not fit its specification, which asks for more parameters than it holds, "
                f"'{name}' {list(parameter.shape)} of a {type(module).__name__} among them"
            )

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _check_fit(model: ComposedModel, weights: dict[str, torch.Tensor], path: Path) -> None:
    expected = model.state_dict()
    problems = [f"'{name}' is missing" for name in expected if name not in weights]
    problems += [f"'{name}' is not part of the model" for name in weights if name not in expected]
    problems += [
        f"'{name}' has shape {list(weights[name].shape)}, the model wants {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        shown = "\n  ".join(problems[:5])
        more = f"\n  and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(
            f"the checkpoint '{path}' does not fit its specification:\n  {shown}{more}\n"
            "  train it again with this model.toml, or use the model.toml that it was trained with"
        )
