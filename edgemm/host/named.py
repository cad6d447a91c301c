"""One registered kind of input or output, or one runner, by name: loading no more than its own module.

A bundle is opened in a moment, on devices with many packages: nothing is scanned for it. Our own kinds are looked up in an index, kept
equal to what our plugins register by a test; another distribution's by the names of distribution and plugin that the bundle
carries. Names only: what they mean is decided by what is installed here, never by the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from edgemm.errors import MissingDependencyError, PluginError, UnknownNameError

if TYPE_CHECKING:
    from edgemm.host.entries import Entry
    from edgemm.host.plugin_host import Registered

_HOOKS = {"input": "edgemm_inputs", "output": "edgemm_outputs", "runner": "edgemm_runners"}
_DISTRIBUTION = r"[A-Za-z0-9](?:[A-Za-z0-9._\-]{0,98}[A-Za-z0-9])?"
_GONE = "the installed '{}' does not {} it any more; install the version that the bundle was made with"
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
    """Who registered an entry: a distribution, and the name of its plugin (its entry point in the group `edgemm`)."""

    distribution: str
    plugin: str

    @classmethod
    def of(cls, registered: Registered[Any]) -> Provider | None:
        """Who registered what a host knows; None for what was registered by hand."""
        distribution, _, version = registered.distribution.rpartition(" ")
        return cls(distribution, registered.plugin) if version[:1].isdigit() else None


@lru_cache(maxsize=256)
def class_of_kind(role: str, name: str, provider: Provider | None = None) -> type[Any]:
    """The class registered as that kind of input or output.

    Raises:
        UnknownNameError: nobody here registered it.
        MissingDependencyError: the distribution that brings it, or a package that it needs, is not installed; the message names it.
        PluginError: its module could not be loaded.
    """
    reference = INDEX.get((role, name), "")
    if reference:
        module, _, attribute = reference.partition(":")
        found: Any = getattr(import_module(module), attribute)
    elif provider is not None:
        found = _from_distribution(role, name, provider)
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

    return Provider.of(default_host().find(ENTRY_KINDS[role].record, name))


def entries_of(role: str, provider: Provider, needing: str) -> list[Any]:
    """What one plugin registers as inputs, outputs or runners, importing its module and nothing else.

    Args:
        role: `input`, `output` or `runner`.
        provider: the plugin.
        needing: what needs it, for messages: `inputs of kind 'depth'`.

    Raises:
        MissingDependencyError: the distribution is not installed; the message names it.
        UnknownNameError: it has no such plugin any more.
        PluginError: the plugin could not be loaded, or the environment does not let it be.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    from edgemm.host.entries import HOOK_API, Entry

    # nothing that a file says is looked up, or told people to install, unseen
    if not re.fullmatch(_DISTRIBUTION, provider.distribution):
        raise PluginError(f"{needing} need {provider.distribution!r:.80}, which is no name of a distribution")
    allowed = plugins_of_environment()
    if allowed is not None and provider.plugin not in allowed:
        raise PluginError(
            f"{needing} need the plugin '{provider.plugin}' of {provider.distribution}, which EDGEMM_PLUGINS leaves out"
        )
    try:
        points = distribution(provider.distribution).entry_points.select(group="edgemm", name=provider.plugin)
    except PackageNotFoundError:
        raise MissingDependencyError(
            f"{needing} need the distribution '{provider.distribution}': pip install {provider.distribution}"
        ) from None
    if not points:
        raise UnknownNameError("plugin", provider.plugin, [], _GONE.format(provider.distribution, "have"))
    found: list[Any] = []
    for point in points:
        try:
            for implementation in _implementations(point.load(), _HOOKS[role]):
                found += implementation()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin '{provider.plugin}' of {provider.distribution} failed at import: {type(error).__name__}: {error}"
            ) from error
    for entry in found:
        if not isinstance(entry, Entry) or entry.api != HOOK_API:
            raise PluginError(
                f"plugin '{provider.plugin}' of {provider.distribution} was not written for hook API {HOOK_API} of this EdgeMM; "
                "see 'edgemm plugins'"
            )
    return found


def resolve_entry(entry: Entry, reference: str, plugin: str, distribution: str) -> Any:
    """Import a "module:attribute" of an entry, with its provider named when that fails.

    Raises:
        MissingDependencyError: it needs a package that is not installed; the message says which extra brings it.
        PluginError: it could not be imported.
    """
    import pkgutil  # a cold start with our own kinds does without these

    from edgemm.host.optional import is_installed, missing_message

    who = f"'{entry.name}' (plugin '{plugin}')"
    for module in entry.requires:
        if not is_installed(module):
            raise MissingDependencyError(missing_message(who, module, entry.extra))
    try:
        return pkgutil.resolve_name(reference)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{who} of {distribution} could not load '{reference}': {describe_error(error)}") from error


def describe_error(error: BaseException) -> str:
    """One line of what a plugin raised."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300] or '(no message)'}"


def plugins_of_environment() -> set[str] | None:
    """The only plugins that may be loaded, where the environment's `EDGEMM_PLUGINS` (names, or `none`) says so."""
    value = os.environ.get("EDGEMM_PLUGINS", "").strip()
    if not value:
        return None
    return set() if value == "none" else {name.strip() for name in value.split(",")}


def _from_distribution(role: str, name: str, provider: Provider) -> Any:
    """The factory of a kind, from the one plugin that registers it."""
    for entry in entries_of(role, provider, f"{role}s of kind '{name}'"):
        if entry.name == name:
            return resolve_entry(entry, entry.factory, *reversed(provider))
    raise UnknownNameError(f"kind of {role}", name, [], _GONE.format(provider.distribution, "bring"))


def _implementations(plugin: Any, hook: str) -> Iterator[Callable[[], Iterable[Any]]]:
    """The functions of a plugin that are marked as implementations of a hook, as pluggy would find them."""
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        options = getattr(function, "edgemm_impl", None)
        if isinstance(options, dict) and callable(function) and (options.get("specname") or name) == hook:
            yield function
