"""The mark of a hook's implementation, as pluggy reads it. Apart from pluggy, so that a plugin's module costs no more than itself to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def hookimpl(function: F) -> F:
    """Mark a function as the implementation of the hook of its name (see `edgemm.host.hookspecs`)."""
    function.edgemm_impl = {}  # type: ignore[attr-defined]
    return function
