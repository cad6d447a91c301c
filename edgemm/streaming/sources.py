"""From what a user writes for an input (URI, path, object) to sources, one for all inputs that share a URI and its options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from edgemm import uris
from edgemm.errors import PluginError, UnknownNameError, UsageError
from edgemm.host.entries import Option, SourceEntry
from edgemm.host.interfaces import Source
from edgemm.host.options import checked_options
from edgemm.inputs.kind import InputKind
from edgemm.streaming.channels import WHEN_FULL, Queue
from edgemm.streaming.inbox import Inbox

if TYPE_CHECKING:
    from edgemm.host.plugin_host import PluginHost, Registered

QUEUE_OPTIONS = (
    Option("queue", 0, "how many packets may wait for the model; 0: as many as suit the input"),
    Option("when_full", "", "what happens when they do; by default as suits the input", choices=("", *WHEN_FULL)),
)
"""Options that an input of any URI has: they are the stream's, not the source's."""


class SourceUri:
    """A URI or path with options of its source, for those who would rather not write them into the URI.

        edgemm.stream(bundle, {"image": edgemm.SourceUri("rtsp://camera/1", transport="udp", queue=1)})

    It is the same as `"rtsp://camera/1?edgemm.transport=udp&edgemm.queue=1"`; `edgemm plugins --kind source` lists what there is. Printing it
    hides what is secret.

    Raises:
        UsageError: an option is given in the URI and beside it.
    """

    def __init__(self, uri: str | os.PathLike[str], /, **options: Any) -> None:
        self.uri, written = uris.split_options(uri) if isinstance(uri, str) else (os.fspath(uri), {})
        twice = sorted(set(written) & set(options))
        if twice:
            raise UsageError(f"'{uris.redact(self.uri)}': option {twice[0]} is given in the URI and beside it")
        self.options: dict[str, Any] = {**written, **options}

    def __repr__(self) -> str:
        return f"SourceUri({', '.join([repr(uris.redact(self.uri)), *(f'{name}=…' for name in self.options)])})"


class _Planned(NamedTuple):
    """A source to make; inputs for which all of it is the same share one."""

    uri: str
    entry: str
    options: tuple[tuple[str, Any], ...]
    queue: tuple[Any, ...]


def sources_from_inputs(specs: Mapping[str, InputKind], inputs: Mapping[str, Any]) -> list[Source]:
    """Make the sources of a stream; files are opened here, devices when their packets are asked for.

    Args:
        specs: the model's inputs.
        inputs: input name -> URI, path, `SourceUri`, or an object with the Source protocol.

    Raises:
        UnknownNameError: no source is registered for a URI's scheme, or it has no such option.
        UsageError: a value is none of these, or an option's value is wrong.
    """
    sources: list[Source] = []
    shared: dict[_Planned, dict[str, InputKind]] = {}
    for name, value in inputs.items():
        if isinstance(value, (str, os.PathLike, SourceUri)):
            shared.setdefault(_planned(value, specs[name].modality), {})[name] = specs[name]
        elif isinstance(value, Inbox):
            sources.append(value.source(name))
        elif isinstance(value, Source):
            if name not in value.inputs:
                raise UsageError(f"input '{name}': its source delivers {', '.join(value.inputs)}")
            for delivered in value.inputs:
                if delivered not in specs:
                    raise UnknownNameError("input", delivered, specs, f"the source of '{name}' delivers it too")
            if not any(value is source for source in sources):
                sources.append(value)
        else:
            raise UsageError(
                f"input '{name}': expected a URI such as 'camera:0', a path, or a source object; got {type(value).__name__}"
            )
    try:
        for (uri, entry, options, _), its in shared.items():
            made: Source = _host().load(SourceEntry, entry)(uri, its, dict(options))
            sources.append(made)
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def queues_from_inputs(inputs: Mapping[str, Any]) -> dict[str, Queue]:
    """What is asked of the queue of each input that a URI feeds.

    Raises:
        UsageError: a wrong value; the message names the input.
    """
    queues: dict[str, Queue] = {}
    for name, value in inputs.items():
        if isinstance(value, (str, SourceUri)):
            given = _source_uri(value).options
            own = {option.name: given[option.name] for option in QUEUE_OPTIONS if option.name in given}
            checked = checked_options(f"input '{name}'", QUEUE_OPTIONS, own)
            if checked["queue"] < 0:
                raise UsageError(f"input '{name}': queue must be at least 1 packet, got {checked['queue']}")
            queues[name] = Queue(checked["queue"], checked["when_full"])
    return queues


def _planned(value: str | os.PathLike[str] | SourceUri, modality: str) -> _Planned:
    asked = _source_uri(value)
    entry = _find(uris.parse(asked.uri), modality).entry
    clash = {option.name for option in QUEUE_OPTIONS} & {option.name for option in entry.options}
    if clash:
        raise PluginError(f"source '{entry.name}' declares the option '{clash.pop()}', which every input has already")
    options = checked_options(f"source '{entry.name}'", (*entry.options, *QUEUE_OPTIONS), asked.options)
    queue = tuple(options.pop(option.name) for option in QUEUE_OPTIONS)
    return _Planned(asked.uri, entry.name, tuple(options.items()), queue)


def _source_uri(value: str | os.PathLike[str] | SourceUri) -> SourceUri:
    return value if isinstance(value, SourceUri) else SourceUri(value)


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
