"""Who is told what happens in a stream: observers, and sinks that have callbacks beside `write`.

Which callbacks there are is settled at the start, so that nothing is called where nobody listens. One that raises is recorded, logged and not
called again; the stream and the other callbacks go on. Knows nothing of threads but that it is told things by several.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from edgemm.errors import EdgeMMError, PluginError
from edgemm.log import clean, logger
from edgemm.streaming.interfaces import Observer, Sink

if TYPE_CHECKING:
    from edgemm.host.entries import ObserverEntry
    from edgemm.host.plugin_host import PluginHost, Registered

OF_OBSERVERS = ("on_start", "on_packet", "on_result", "on_drop", "on_error", "on_stop")
OF_SINKS = ("on_packet", "on_drop", "on_error")
NOBODY: Mapping[str, Callable[[], Observer]] = MappingProxyType({})

_LOG = logger("streaming")


class _Callback(NamedTuple):
    name: str
    call: Callable[..., None]
    muted: dict[str, str]  # where to record that it raised


class Listeners:
    """The callbacks of a stream's sinks and observers.

    Args:
        sinks: whoever takes results; some listen, too.
        observer: the caller's own.
        registered: of plugins: name -> what makes the observer.

    Attributes:
        muted: callback -> the error that muted it.
        muted_observers: the same for those of plugins, which the caller did not ask for; and which of them could not be made.
    """

    def __init__(
        self, sinks: Sequence[Sink], observer: Observer | None, registered: Mapping[str, Callable[[], Observer]]
    ) -> None:
        self.muted: dict[str, str] = {}
        self.muted_observers: dict[str, str] = {}
        self._lock = threading.Lock()
        self._callbacks: dict[str, tuple[_Callback, ...]] = dict.fromkeys(OF_OBSERVERS, ())
        for sink in sinks:
            for event in OF_SINKS:
                if hasattr(sink, event):
                    call = getattr(sink, event)
                    self._callbacks[event] += (_Callback(name_of(call), call, self.muted),)
        if observer is not None:
            for event, call in _overridden(observer):
                self._callbacks[event] += (_Callback(name_of(call), call, self.muted),)
        for name, make in registered.items():
            try:
                for event, call in _overridden(make()):
                    self._callbacks[event] += (_Callback(f"observer {name}, {event}", call, self.muted_observers),)
            except (Exception, SystemExit) as error:  # it happens to be installed: that cannot stop a stream
                self.muted_observers[f"observer {name}"] = reason_of(error)
                _LOG.error("observer %s cannot be made: %s", name, clean(reason_of(error)))

    def tell(self, event: str, *words: object) -> None:
        """Call everyone who has that callback."""
        for callback in self._callbacks[event]:
            try:
                callback.call(*words)
            except (Exception, SystemExit) as error:  # a plugin's, or the user's
                if self._remove(event, callback):
                    self._record(callback.muted, callback.name, error)

    def mute(self, name: str, error: BaseException) -> None:
        """Record that something raised and will not be called again, and tell those who listen for errors."""
        self._record(self.muted, name, error)

    def _record(self, muted: dict[str, str], name: str, error: BaseException) -> None:
        muted[name] = reason_of(error)
        _LOG.error("%s raised, and is not called again: %s", name, clean(muted[name]), exc_info=error)
        self.tell("on_error", name, error)

    def _remove(self, event: str, callback: _Callback) -> bool:
        """False when it raised on another thread too, which has removed it."""
        with self._lock:
            known = self._callbacks[event]
            self._callbacks[event] = tuple(other for other in known if other is not callback)
            return len(self._callbacks[event]) < len(known)


class Losses:
    """What a stream loses: counted by input and cause, told to who listens, and the first of each cause logged.

    Args:
        tell_drop, tell_error: tell who listens.

    Attributes:
        counts: (input, cause) -> packets that were dropped outside the mailbox, which counts its own.
        clamped: input -> live stamps that were ahead of the clock, and were taken as now.
        missed: deadlines that were left out.
    """

    def __init__(self, tell_drop: Callable[[str, str], None], tell_error: Callable[[str, Exception], None]) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.clamped: Counter[str] = Counter()
        self.missed = 0
        self._tell_drop, self._tell_error = tell_drop, tell_error
        self._late: Counter[str] = Counter()
        self._logged: set[tuple[str, str]] = set()

    def lose(self, input: str, cause: str, error: Exception) -> None:
        """A packet is dropped, with a reason."""
        self.counts[input, cause] += 1
        self.tell(input, cause, error)

    def tell(self, input: str, cause: str, error: Exception | None = None) -> None:
        """A packet was dropped, and is counted elsewhere."""
        self._tell_drop(input, cause)
        if error is not None:
            self._tell_error(input, error)
        if (input, cause) not in self._logged:
            self._logged.add((input, cause))
            _LOG.warning("input '%s': packets are dropped: %s", input, cause if error is None else clean(error))

    def late(self, input: str, count: int) -> None:
        """So many of an input's packets were refused so far, because something newer had come; the schedule counts them."""
        for _ in range(count - self._late[input]):
            self.tell(input, "late")
        self._late[input] = count

    def clamp(self, input: str, error: Exception) -> None:
        """A stamp was ahead of the clock."""
        self.clamped[input] += 1
        if self.clamped[input] == 1:
            self._tell_error(input, error)
            _LOG.warning("%s", clean(error))

    def miss(self, deadlines: int) -> None:
        """So many deadlines were left out."""
        if deadlines and not self.missed:
            _LOG.warning(
                "deadlines are missed: the model is late, or time has jumped; of several the newest is answered"
            )
        self.missed += deadlines


def registered_observers() -> dict[str, Callable[[], Observer]]:
    """Name -> what makes it, of every observer that a plugin registers."""
    from edgemm.host.entries import ObserverEntry
    from edgemm.host.plugin_host import default_host

    host = default_host()
    return {name: partial(_made, host, registered) for name, registered in host.entries(ObserverEntry).items()}


def name_of(callback: Callable[..., None]) -> str:
    """What a callback is called in records and errors."""
    return getattr(callback, "__qualname__", repr(callback))


def reason_of(error: BaseException) -> str:
    """An error for people: our own say what they are."""
    return str(error) if isinstance(error, EdgeMMError) else f"{type(error).__name__}: {error}"


def _made(host: PluginHost, registered: Registered[ObserverEntry]) -> Observer:
    made = host.resolve(registered, registered.entry.factory)()
    if not isinstance(made, Observer):
        raise PluginError(f"its factory made an object of type {type(made).__name__}, not an edgemm Observer")
    return made


def _overridden(observer: Observer) -> list[tuple[str, Callable[..., None]]]:
    """The callbacks that are the observer's own, not those that do nothing."""
    own = type(observer)
    return [
        (event, getattr(observer, event))
        for event in OF_OBSERVERS
        if getattr(own, event, None) is not getattr(Observer, event)
    ]
