"""One registered kind of input or output by name, loading no more than its own module.

A bundle is opened in a moment, on devices with many packages: nothing is scanned for it. Our own kinds are looked up in an index, kept
equal to what our plugins register by a test; another distribution's by the names of distribution and plugin that the bundle
carries. Names only: what they mean is decided by what is installed here, never by the file.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from edgemm.errors import MissingDependencyError, PluginError, UnknownNameError

OURS = "edgemm"
_HOOKS = {"input": "edgemm_inputs", "output": "edgemm_outputs"}
INDEX = {
    ("input", "audio"): "edgemm_plugins.inputs.audio:Audio",
    ("input", "clip"): "edgemm_plugins.inputs.clip:Clip",
    ("input", "image"): "edgemm_plugins.inputs.image:Image",
    ("input", "motion"): "edgemm_plugins.inputs.motion:Motion",
    ("input", "tensor"): "edgemm_plugins.inputs.tensor:Tensor",
    ("input", "text"): "edgemm_plugins.inputs.text:Text",
    ("input", "tokens"): "edgemm_plugins.inputs.tokens:Tokens",
    ("output", "array"): "edgemm_plugins.outputs.array:Array",
    ("output", "boxes"): "edgemm_plugins.outputs.boxes:Boxes",
    ("output", "classes"): "edgemm_plugins.outputs.classes:Classes",
    ("output", "values"): "edgemm_plugins.outputs.values:Values",
}


class Provider(NamedTuple):
    """Who registered a kind: a distribution, and the name of its plugin (its entry point in the group `edgemm`)."""

    distribution: str
    plugin: str


@lru_cache(maxsize=256)
def class_of_kind(role: str, name: str, provider: Provider | None = None) -> type[Any]:
    """The class registered as that kind of input or output.

    Raises:
        UnknownNameError: nobody here registered it.
        MissingDependencyError: the distribution that brings it is not installed; the message names it.
        PluginError: its module could not be loaded.
    """
    reference = INDEX.get((role, name), "")
    if not reference and provider is not None:
        reference = _from_distribution(role, name, provider)
    if reference:
        found: Any = pkgutil.resolve_name(reference)
    else:
        from edgemm.host.plugin_host import ENTRY_KINDS, default_host

        found = default_host().load(ENTRY_KINDS[role].record, name)
    if not isinstance(found, type) or not is_dataclass(found):
        raise PluginError(f"{role} kind '{name}': its factory must be a frozen dataclass, got {found!r}")
    return found


def provider_of(role: str, name: str) -> Provider | None:
    """Who registered a kind; None for our own and for what was registered by hand."""
    if (role, name) in INDEX:
        return None
    from edgemm.host.plugin_host import ENTRY_KINDS, default_host

    registered = default_host().find(ENTRY_KINDS[role].record, name)
    distribution, _, version = registered.distribution.rpartition(" ")
    return Provider(distribution, registered.plugin) if version[:1].isdigit() else None


def _from_distribution(role: str, name: str, provider: Provider) -> str:
    """The factory of a kind, from the one plugin that registers it; "" where it is not among that plugin's any more."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        points = distribution(provider.distribution).entry_points.select(group="edgemm", name=provider.plugin)
    except PackageNotFoundError:
        raise MissingDependencyError(
            f"{role}s of kind '{name}' need the distribution '{provider.distribution}': pip install {provider.distribution}"
        ) from None
    for point in points:
        try:
            yielded = list(getattr(importlib.import_module(point.module), _HOOKS[role], tuple)())
        except Exception as error:
            raise PluginError(
                f"plugin '{provider.plugin}' of {provider.distribution} failed at import: {type(error).__name__}: {error}"
            ) from error
        for entry in yielded:
            if entry.name == name:
                return str(entry.factory)
    raise UnknownNameError(
        f"kind of {role}",
        name,
        [],
        f"the installed '{provider.distribution}' does not bring it any more; install the version that the bundle was made with",
    )
