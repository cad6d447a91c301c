"""The mark of a hook's implementation, as pluggy reads it. Apart from pluggy, so that a plugin's module costs no more than itself to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


@overload
def hookimpl(function: F, /) -> F: ...
@overload
def hookimpl(*, specname: str | None = None, tryfirst: bool = False, trylast: bool = False) -> Callable[[F], F]: ...
def hookimpl(
    function: Any = None, /, *, specname: str | None = None, tryfirst: bool = False, trylast: bool = False
) -> Any:
    """Mark a function as the implementation of a hook (see `edgemm.host.hookspecs`).

    Args:
        function: the function, where it is used without parentheses.
        specname: the hook's name, where it is not the function's.
        tryfirst, trylast: where the first answer counts, whether it is asked before or after the others.
    """

    def mark(marked: Any) -> Any:
        marked.edgemm_impl = {
            "wrapper": False, "hookwrapper": False, "optionalhook": False,
            "tryfirst": tryfirst, "trylast": trylast, "specname": specname,
        }  # fmt: skip
        return marked

    return mark if function is None else mark(function)
