"""Imports of packages that an extra brings, with the install command in the error."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from edgemm.errors import MissingDependencyError


def is_installed(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require(module: str, extra: str, why: str) -> ModuleType:
    """Import `module`, or say which extra brings it.

    Raises:
        MissingDependencyError: when it cannot be imported; the message names `pip install 'edgemm[extra]'`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(missing_message(why, module.partition(".")[0], extra, error)) from error
    except OSError as error:  # a wheel whose system library is absent, as sounddevice without PortAudio
        raise MissingDependencyError(
            f"{why} needs {module}, which is installed but cannot load: {error}\n"
            "  run 'edgemm doctor' to see which system package is missing"
        ) from error


def missing_message(why: str, module: str, extra: str, error: ImportError | None = None) -> str:
    """The one wording for a missing package."""
    reason = "" if error is None or isinstance(error, ModuleNotFoundError) else f" ({error})"
    return f"{why} needs {module}{reason}: pip install 'edgemm[{extra}]'"
