"""Text from files and networks on its way to a terminal: what could move a cursor or reorder what is read is shown, not sent.

Control characters (C0 and C1, so escape sequences too), bidirectional controls (CVE-2021-42574), surrogates and what Unicode has not assigned. Joiners,
which Persian, Hindi and emoji need, stay. It knows nothing of where text comes from.
"""

from __future__ import annotations

import json
import re
from typing import Any

_JOINERS = "\u200c\u200d"
_HARMFUL = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str, keep: str = "\n\t") -> str:
    """The text with `·` for each character that is not to be printed, but for those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep or character in _JOINERS else "·"
        for character in text
    )


def json_text(value: Any, **options: Any) -> str:
    """JSON that can be read, and printed: text stays as it is, but for what must not reach a terminal, which is escaped.

    Args:
        value: what `json.dumps` takes.
        options: for it.
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    return _HARMFUL.sub(lambda match: json.dumps(match[0])[1:-1], text)
