"""The plugin host: finds plugins, isolates broken ones, and resolves what they offer when it is used.

One bad plugin never takes the host down: entry points load one by one, every hook implementation is called alone, and each failure is
kept with its plugin, distribution and stage. It knows nothing of what the entries are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import pluggy

from edgemm.errors import PluginError, UnknownNameError
from edgemm.host import hookspecs
from edgemm.host.entries import (
    HOOK_API,
    NAME,
    CommandEntry,
    DeviceEntry,
    EncoderEntry,
    Entry,
    ExporterEntry,
    FusionEntry,
    HeadEntry,
    InputEntry,
    ObserverEntry,
    Option,
    OutputEntry,
    QuantizerEntry,
    RunnerEntry,
    SinkEntry,
    SourceEntry,
    TaskEntry,
)
from edgemm.host.named import describe_error, plugins_of_environment, resolve_entry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "edgemm"
OURS = "edgemm"
E = TypeVar("E", bound=Entry)
E_co = TypeVar("E_co", bound=Entry, covariant=True)


class EntryKind(NamedTuple):
    """What a plugin can provide: its name for people, the record that says so, and the hook that yields such records."""

    name: str
    record: type[Entry]
    hook: str


ENTRY_KINDS: Mapping[str, EntryKind] = {
    kind.name: kind
    for kind in (
        EntryKind("encoder", EncoderEntry, "edgemm_encoders"),
        EntryKind("fusion", FusionEntry, "edgemm_fusions"),
        EntryKind("head", HeadEntry, "edgemm_heads"),
        EntryKind("input", InputEntry, "edgemm_inputs"),
        EntryKind("output", OutputEntry, "edgemm_outputs"),
        EntryKind("task", TaskEntry, "edgemm_tasks"),
        EntryKind("source", SourceEntry, "edgemm_sources"),
        EntryKind("sink", SinkEntry, "edgemm_sinks"),
        EntryKind("exporter", ExporterEntry, "edgemm_exporters"),
        EntryKind("quantizer", QuantizerEntry, "edgemm_quantizers"),
        EntryKind("runner", RunnerEntry, "edgemm_runners"),
        EntryKind("device", DeviceEntry, "edgemm_devices"),
        EntryKind("command", CommandEntry, "edgemm_commands"),
        EntryKind("observer", ObserverEntry, "edgemm_observers"),
    )
}
_KIND_OF_RECORD: Mapping[type[Entry], EntryKind] = {kind.record: kind for kind in ENTRY_KINDS.values()}


@dataclass(frozen=True)
class Failure:
    """Why a plugin, or a part of it, is not used."""

    plugin: str
    distribution: str
    stage: str
    error: str

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' ({self.distribution}) failed at {self.stage}: {self.error}"


@dataclass(frozen=True)
class Registered(Generic[E_co]):
    """An entry and who provides it."""

    entry: E_co
    kind: str
    plugin: str
    distribution: str


class PluginHost:
    """All plugins of this process.

    Args:
        strict: raise `PluginError` at the first failure instead of recording it.
        only: plugin names to load; None for all. The environment's `EDGEMM_PLUGINS` (names, or `none`) is the default.
    """

    def __init__(self, *, strict: bool = False, only: Iterable[str] | None = None) -> None:
        self.strict = strict
        self.only = set(only) if only is not None else plugins_of_environment()
        self.failures: list[Failure] = []
        self.plugins: dict[str, str] = {}  # name -> distribution and version
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._collected: dict[type[Entry], dict[str, Registered[Any]]] = {}

    def discover(self) -> PluginHost:
        """Load every installed plugin; our own distribution first, so that nobody can take over its names."""
        from importlib.metadata import entry_points

        found = sorted(entry_points(group=GROUP), key=lambda point: (_owner(point) != OURS, point.name))
        for point in found:
            if self.only is None or point.name in self.only:
                self._load(point)
        for name in sorted((self.only or set()) - {point.name for point in found}):
            self._fail(
                name, "not installed", "discovery", "it is named in EDGEMM_PLUGINS, but no such plugin is installed"
            )
        return self

    def register(self, plugin: object, name: str, distribution: str = "registered by hand") -> bool:
        """Register one plugin object; False when it was refused (see `failures`)."""
        if name in self.plugins:
            self._fail(name, distribution, "registration", f"a plugin named '{name}' exists ({self.plugins[name]})")
            return False
        try:
            self._manager.register(plugin, name)
        except (Exception, SystemExit) as error:
            self._unregister(name)
            self._fail(name, distribution, "registration", describe_error(error), error)
            return False
        self.plugins[name] = distribution
        self._collected.clear()
        self._report_unknown_hooks(plugin, name, distribution)
        return True

    def entries(self, record: type[E]) -> Mapping[str, Registered[E]]:
        """Every usable entry of a kind, by name; first registered wins, duplicates are refused.

        Args:
            record: the kind's record class (see `ENTRY_KINDS`); entries may be of a subclass.
        """
        if record not in self._collected:
            self._collected[record] = self._collect(_kind_of(record))
        return self._collected[record]

    def find(self, record: type[E], name: str) -> Registered[E]:
        """The entry of that name.

        Raises:
            UnknownNameError: lists the known names and suggests the nearest.
        """
        entries = self.entries(record)
        if name not in entries:
            advice = "see 'edgemm plugins'"
            if self.failures:
                advice += f" ({len(self.failures)} plugin failure(s) recorded there)"
            raise UnknownNameError(_kind_of(record).name, name, entries, advice)
        return entries[name]

    def load(self, record: type[Entry], name: str) -> Any:
        """The factory of an entry.

        Raises:
            UnknownNameError: nobody registered it.
            MissingDependencyError: it needs a package that is not installed; the message says which extra brings it.
            PluginError: it could not be imported.
        """
        registered = self.find(record, name)
        return self.resolve(registered, registered.entry.factory)

    def resolve(self, registered: Registered[Entry], reference: str) -> Any:
        """Import a "module:attribute" of an entry, with its provider named when that fails."""
        return resolve_entry(registered.entry, reference, registered.plugin, registered.distribution)

    def first_result(self, hook: str, **arguments: Any) -> Any:
        """Ask a `firstresult` hook, one implementation at a time; None when nobody answers."""
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                answer = implementation.function(*(arguments[name] for name in implementation.argnames))
            except (Exception, SystemExit) as error:
                self.record_failure(implementation.plugin_name, hook, error)
                continue
            if answer is not None:
                return answer
        return None

    def _load(self, point: EntryPoint) -> None:
        distribution = _distribution(point)
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:
            self._fail(point.name, distribution, "import", describe_error(error), error)
            return
        self.register(plugin, point.name, distribution)

    def _unregister(self, name: str) -> None:
        try:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
        except (Exception, SystemExit):  # pluggy left it half registered; it is recorded as failed either way
            self._manager.set_blocked(name)

    def _collect(self, kind: EntryKind) -> dict[str, Registered[Any]]:
        collected: dict[str, Registered[Any]] = {}
        hook = getattr(self._manager.hook, kind.hook)
        for implementation in hook.get_hookimpls():  # pluggy lists the first registered first
            name = implementation.plugin_name
            distribution = self.plugins.get(name, "unknown")
            try:
                entries: Sequence[Entry] = list(implementation.function() or ())
            except (Exception, SystemExit) as error:
                self.record_failure(name, hook.name, error)
                continue
            for entry in entries:
                problem = _problem(entry, kind, collected)
                if problem:
                    self.record_failure(name, hook.name, problem)
                else:
                    collected[entry.name] = Registered(entry, kind.name, name, distribution)
        return collected

    def _report_unknown_hooks(self, plugin: object, name: str, distribution: str) -> None:
        for caller in self._manager.get_hookcallers(plugin) or ():
            if not caller.has_spec():
                self._fail(name, distribution, "registration", f"there is no hook '{caller.name}' in this EdgeMM")

    def record_failure(self, plugin: str, stage: str, error: BaseException | str) -> None:
        """Note what is wrong with something that a plugin brings, once; with `strict` it is raised.

        Raises:
            PluginError: with `strict`.
        """
        text = error if isinstance(error, str) else describe_error(error)
        failure = Failure(plugin, self.plugins.get(plugin, "unknown"), stage, text)
        if failure not in self.failures:
            self._fail(plugin, failure.distribution, stage, text, error if isinstance(error, BaseException) else None)

    def _fail(self, plugin: str, distribution: str, stage: str, text: str, error: BaseException | None = None) -> None:
        failure = Failure(plugin, distribution, stage, text)
        self.failures.append(failure)
        if self.strict:
            raise PluginError(str(failure)) from error


@lru_cache(maxsize=1)
def default_host() -> PluginHost:
    """The host of this process, with everything installed; made on first use."""
    return PluginHost().discover()


def _kind_of(record: type[Entry]) -> EntryKind:
    kind = _KIND_OF_RECORD.get(record)
    if kind is None:
        known = ", ".join(known.__name__ for known in _KIND_OF_RECORD)
        raise PluginError(f"no hook yields {record!r}: ask for one of the records {known}")
    return kind


def _problem(entry: object, kind: EntryKind, collected: Mapping[str, Registered[Any]]) -> str:
    if not isinstance(entry, Entry):
        return f"yielded {type(entry).__name__}, not an edgemm entry"
    if not isinstance(entry, kind.record):
        given = type(entry)
        return f"yielded {given.__module__}.{given.__name__} '{entry.name}', which is no edgemm.{kind.record.__name__}"
    if entry.api != HOOK_API:
        return f"'{entry.name}' was written for hook API {entry.api}; this EdgeMM has {HOOK_API}"
    if not isinstance(entry.name, str) or NAME.fullmatch(entry.name) is None:
        return f"'{entry.name}' is not a name: lower case letters, digits, '-', '_', dots between the parts"
    for item in fields(entry):
        value = getattr(entry, item.name)
        if isinstance(item.default, tuple) and isinstance(value, str):  # a text would be read letter by letter
            return f"'{entry.name}': {item.name} must be a tuple, got the text '{value}'"
    if isinstance(entry, (SourceEntry, SinkEntry)) and (wrong := _problem_of_options(entry.options)):
        return f"'{entry.name}': {wrong}"
    if entry.name in collected:
        other = collected[entry.name]
        return f"{kind.name} '{entry.name}' is already provided by plugin '{other.plugin}' ({other.distribution})"
    return ""


def _problem_of_options(options: Sequence[object]) -> str:
    known: set[str] = set()
    for option in options:
        if not isinstance(option, Option):
            return f"options must be edgemm.Option, got {type(option).__name__}"
        if not str(option.name).isidentifier() or option.name in known:
            return f"option '{option.name}': expected a name of letters, digits and '_', once"
        if type(option.default) not in (str, int, float, bool):
            return (
                f"option {option.name}: its default must be a text, a number or a truth value, got {option.default!r}"
            )
        known.add(option.name)
    return ""


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown"
