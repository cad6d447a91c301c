"""TOML as the standard has it: whole numbers of 64 bits, and floats that are numbers.

It knows nothing of what is read.

Source: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import sys
from math import isfinite
from typing import Any

from edgemm.limits import TOML_BYTES, TOML_DOTS

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

_WITHIN_A_KEY = re.compile(r"[\w\s\"'-]+")


def table_from_toml(content: str | bytes) -> dict[str, Any]:
    """Parse a whole file.

    Raises:
        ValueError: it is no such TOML; the message says what is wrong, and where that is known.
    """
    if len(content) > TOML_BYTES:
        raise ValueError(f"it has {len(content)} bytes, at most {TOML_BYTES} are read")
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    if "." * TOML_DOTS in _WITHIN_A_KEY.sub("", text):
        raise ValueError(f"a key has more than {TOML_DOTS} parts")
    try:
        table = tomllib.loads(text, parse_float=_float)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_numbers(table)
    return table


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text:.40} is no number here")
    return number


def _check_numbers(table: dict[str, Any]) -> None:
    """Whole numbers are not seen while they are parsed."""
    waiting: list[Any] = [table]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("a whole number has more than 64 bits")
