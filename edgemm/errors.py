"""The one tree of errors that EdgeMM raises on purpose.

    EdgeMMError
    ├── UsageError               an argument or a combination of arguments is wrong
    │   └── UnknownNameError     a name nobody registered; lists the known ones and the nearest
    ├── SpecError                a model.toml says something that cannot be
    ├── InputError               a frame, sound or text does not fit the model's input
    ├── CheckpointError          a checkpoint does not fit its spec, or is not readable
    ├── MissingDependencyError   an extra or a system library is not installed
    ├── PluginError              a plugin could not be loaded or broke its contract
    ├── BundleError              a bundle is truncated, changed, unsafe or of another version
    ├── ExportError              a graph could not be exported, quantized or compiled
    │   └── ParityError          it was, but does not compute the same
    ├── SourceError              an input stream could not be opened or broke down
    └── SinkError                what results are written to broke down

A message says what was expected, what came, and what to do. `exit_code` is what the command line returns: 1 the check
failed, 2 wrong usage, 3 something is missing on this machine.
"""

from __future__ import annotations

from collections.abc import Iterable


class EdgeMMError(Exception):
    """Base of all errors that a user can act on; never raised itself."""

    exit_code = 1


class UsageError(EdgeMMError):
    """An argument, or a combination of arguments, is wrong."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nobody registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str], advice: str = "") -> None:
        import difflib  # only where an error is made

        known = sorted(known)
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        message = f"unknown {kind} '{name}'"
        if nearest:
            message += f"; did you mean '{nearest[0]}'?"
        message += f"\n  known: {', '.join(known) if known else '(none)'}"
        if advice:
            message += f"\n  {advice}"
        super().__init__(message)
        self.kind, self.name, self.known = kind, name, known


class SpecError(EdgeMMError):
    """A model specification says something that cannot be.

    Attributes:
        path: the keys that lead to it, from the table that the raising function was given; empty when it is nowhere in particular.
    """

    exit_code = 2

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.path = path

    def under(self, *keys: str) -> SpecError:
        """The same error, as seen from the table that has its own under `keys`."""
        return SpecError(str(self), (*keys, *self.path))


class InputError(EdgeMMError):
    """A frame, sound or text does not fit the input that it was given to."""

    exit_code = 2


NOT_FINITE = "not finite (NaN or infinity)"


class NotFiniteError(EdgeMMError):
    """A node computed NaN or infinity where the model answers; a stream quarantines it, a single question fails."""


class NoAnswerError(EdgeMMError):
    """A result has no such output, because what it is made of was absent."""


class OverdueError(EdgeMMError):
    """A run of a graph took too long and was stopped; a stream quarantines its node, a single question fails."""


class CheckpointError(EdgeMMError):
    """A checkpoint does not fit its specification, or cannot be read."""

    exit_code = 2


class MissingDependencyError(EdgeMMError):
    """An extra or a system library is not installed."""

    exit_code = 3


class PluginError(EdgeMMError):
    """A plugin could not be loaded, or broke its contract."""

    exit_code = 3


class BundleError(EdgeMMError):
    """A bundle is truncated, changed, unsafe, or of a version that this EdgeMM does not read."""


class ExportError(EdgeMMError):
    """A graph could not be exported, quantized or compiled."""


class ParityError(ExportError):
    """An exported graph does not compute what it was exported from."""


class SourceError(EdgeMMError):
    """An input stream could not be opened, or broke down."""

    exit_code = 3


class SinkError(EdgeMMError):
    """What results are written to broke down: a full disk, a lost connection."""

    exit_code = 3
