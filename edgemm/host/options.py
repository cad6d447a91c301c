"""Options of sources and sinks: what a user gave, compared with what the entry declares.

A user writes them as texts (a URI, a command line) or as values (Python); the plugin gets a value of the declared type for each. Knows nothing
of what they mean.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from edgemm.errors import UnknownNameError, UsageError
from edgemm.host.entries import Option
from edgemm.uris import redact

_EXPECTED = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def checked_options(whose: str, declared: Iterable[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every declared option: the one given, or its default.

    Args:
        whose: for messages, such as `source 'camera'`.

    Raises:
        UnknownNameError: an option that is not declared; lists those that are.
        UsageError: a value of another type, or none of the choices; secrets are not shown.
    """
    options = {option.name: option for option in declared}
    for name in given:
        if name not in options:
            raise UnknownNameError(f"option of {whose}", name, options)
    return {name: _value(whose, option, given.get(name, option.default)) for name, option in options.items()}


def options_from_text(text: str, where: str) -> dict[str, str]:
    """Read `name=value&name=value`; a value is written as in a URI's query (`%26` for an '&', `%25` for a '%').

    Raises:
        UsageError: a part without a name or a '=', or a name given twice.
    """
    options: dict[str, str] = {}
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise UsageError(
                f"{where}: an option is written name=value, several are joined by '&'; got '{redact(part)}'"
            )
        if name in options:
            raise UsageError(f"{where}: option {name} is given twice")
        options[name] = unquote(value)
    return options


def _value(whose: str, option: Option, given: Any) -> Any:
    try:
        value = _converted(type(option.default), given)
    except (TypeError, ValueError, OverflowError):
        value = None
    if value is None or (option.choices and value not in option.choices):
        expected = " or ".join(option.choices) or _EXPECTED[type(option.default)]
        raise UsageError(f"{whose}: option {option.name} must be {expected}; got {redact(f'{option.name}={given}')}")
    return value


def _converted(kind: type, given: Any) -> Any:
    """The value as a `kind`, None where it is not one."""
    if kind is bool:
        return given if isinstance(given, bool) else _TRUTH.get(str(given).lower())
    if kind is str:
        return str(given) if isinstance(given, (str, os.PathLike, int, float)) else None
    if isinstance(given, bool):
        return None
    if kind is int:
        return int(given) if isinstance(given, str) else operator.index(given)
    number = float(given)
    return number if math.isfinite(number) else None
