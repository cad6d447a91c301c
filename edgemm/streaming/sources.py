"""From what a user writes for an input (URI, path, object) to sources, one for all inputs that share a URI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgemm import uris
from edgemm.errors import UnknownNameError, UsageError
from edgemm.host.entries import SourceEntry
from edgemm.host.interfaces import Source
from edgemm.inputs.kind import InputKind
from edgemm.streaming.inbox import Inbox

if TYPE_CHECKING:
    from edgemm.host.plugin_host import PluginHost, Registered


def sources_from_inputs(specs: Mapping[str, InputKind], inputs: Mapping[str, Any]) -> list[Source]:
    """Make the sources of a stream; files are opened here, devices when their packets are asked for.

    Args:
        specs: the model's inputs.
        inputs: input name -> URI, path, or an object with the Source protocol.

    Raises:
        UnknownNameError: no source is registered for a URI's scheme.
        UsageError: a value is none of these.
    """
    sources: list[Source] = []
    shared: dict[tuple[str, str], dict[str, InputKind]] = {}
    for name, value in inputs.items():
        if isinstance(value, (str, os.PathLike)):
            registered = _find(uris.parse(os.fspath(value)), specs[name].modality)
            shared.setdefault((os.fspath(value), registered.entry.name), {})[name] = specs[name]
        elif isinstance(value, Inbox):
            sources.append(value.source(name))
        elif isinstance(value, Source):
            if name not in value.inputs:
                raise UsageError(f"input '{name}': its source delivers {', '.join(value.inputs)}")
            if not any(value is source for source in sources):
                sources.append(value)
        else:
            raise UsageError(
                f"input '{name}': expected a URI such as 'camera:0', a path, or a source object; got {type(value).__name__}"
            )
    try:
        for (uri, entry), its in shared.items():
            made: Source = _host().load(SourceEntry, entry)(uri, its, {})
            sources.append(made)
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def _find(location: uris.Location, modality: str) -> Registered[SourceEntry]:
    """The source registered for a scheme and a modality."""
    schemes: set[str] = set()
    modalities: set[str] = set()
    for registered in _host().entries(SourceEntry).values():
        entry = registered.entry
        schemes.update(entry.schemes)
        if location.scheme in entry.schemes:
            if modality in entry.modalities or not entry.modalities:
                return registered
            modalities.update(entry.modalities)
    if modalities:
        raise UsageError(
            f"'{location}' cannot feed an input of modality '{modality}': '{location.scheme}:' sources deliver "
            f"{', '.join(sorted(modalities))}"
        )
    raise UnknownNameError("source scheme", location.scheme, schemes, "a path needs no scheme; see 'edgemm plugins'")


def _host() -> PluginHost:
    from edgemm.host.plugin_host import default_host

    return default_host()
