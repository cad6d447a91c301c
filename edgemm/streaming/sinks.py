"""From what a user names as a sink (`json_lines`, `json_lines:path=out.jsonl`, an object) to sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgemm.errors import UsageError
from edgemm.host.options import checked_options, options_from_text
from edgemm.streaming.interfaces import Sink
from edgemm.uris import redact

if TYPE_CHECKING:
    from edgemm.runtime.model import Model


def sinks_from_names(model: Model, sinks: Sequence[str | Sink]) -> list[Sink]:
    """Make the sinks that are named; objects are taken as they are.

    Args:
        model: whose results they take.
        sinks: `NAME`, `NAME:option=value&option=value` (see `edgemm.host.options`), or objects with the Sink protocol.

    Raises:
        UnknownNameError: nobody registered such a sink, or it has no such option.
        UsageError: an option's value is wrong, or something is no sink.
        MissingDependencyError, SinkError: it cannot be made here; those made before are closed.
    """
    made: list[Sink] = []
    taken: list[Sink] = []
    try:
        for sink in sinks:
            if isinstance(sink, str):
                made.append(_sink(model, sink))
                taken.append(made[-1])
            elif callable(getattr(sink, "write", None)) and callable(getattr(sink, "close", None)):
                taken.append(sink)
            else:
                raise UsageError(
                    f"a sink is a name, such as 'json_lines', or an object with write(result) and close(); got {type(sink).__name__}"
                )
    except BaseException:
        for sink in made:
            sink.close()
        raise
    return taken


def _sink(model: Model, text: str) -> Sink:
    from edgemm.host.entries import SinkEntry
    from edgemm.host.plugin_host import default_host

    name, colon, words = text.partition(":")
    host = default_host()
    registered = host.find(SinkEntry, name)
    given: dict[str, Any] = options_from_text(words, f"sink '{redact(text)}'") if colon else {}
    options = checked_options(f"sink '{name}'", registered.entry.options, given)
    sink: Sink = host.resolve(registered, registered.entry.factory)(model, options)
    return sink
