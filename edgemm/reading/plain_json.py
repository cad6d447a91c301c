"""JSON as the standard has it, and nothing that readers see differently: no NaN or infinity, no key twice, no number that Python cannot hold.

It knows nothing of what is read.
"""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from typing import Any, NoReturn

from edgemm.limits import NUMBER_DIGITS


def value_from_json(text: bytes | str) -> Any:
    """Parse a whole text.

    Raises:
        ValueError: it is not such JSON; the message says what is wrong.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_float, parse_int=_int
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key '{name:.80}' is there twice")
    return made


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text:.40} is larger than any number here")
    return number


def _int(text: str) -> int:
    if len(text) > NUMBER_DIGITS:
        raise ValueError(f"{text:.40}… has {len(text)} digits, at most {NUMBER_DIGITS} are read")
    return int(text)
