"""What a tokenizer.json can make of a text before it is cut: how many times longer, read from its steps without running them.

An upper bound for each step, in UTF-8 bytes, and their product. Steps are known by what they hold rather than by their `type`, which the library
does not ask for. It knows nothing of models of tokens but that they repeat some strings for each token.

Source: https://github.com/huggingface/tokenizers, the steps of `normalizers` and `pre_tokenizers`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from math import prod
from typing import Any

from edgemm.errors import SpecError
from edgemm.limits import TOKENIZER_GROWTH, TOKENIZER_REPEATS, TOKENIZER_STEPS, TOKENIZER_WORD

_OF_TYPE = {
    "NFD": 4, "NFKD": 11, "NFC": 3, "NFKC": 11,  # the longest: U+FDFA is 18 letters
    "Lowercase": 1.5,
    "BertNormalizer": 8,  # decomposes, and puts spaces around each ideograph
    "ByteLevel": 4,  # a letter of two bytes for each byte, behind a space
}  # fmt: skip
_REPEATED = ("unk_token", "continuing_subword_prefix", "end_of_word_suffix", "pad_token")


def growth(content: Any) -> float:
    """How many times longer a text may become, at most.

    Args:
        content: a tokenizer.json, parsed.

    Raises:
        SpecError: more than anybody needs; or there are too many steps, too long words, or long strings that each token repeats.
    """
    for part in ("model", "padding"):
        for name in _REPEATED:
            repeated = _field(content.get(part), name)
            if isinstance(repeated, str) and len(repeated) > TOKENIZER_REPEATS:
                raise SpecError(f"its {name} has {len(repeated)} characters, at most {TOKENIZER_REPEATS} are taken")
    word = _field(content.get("model"), "max_input_chars_per_word")
    if isinstance(word, int) and word > TOKENIZER_WORD:
        raise SpecError(f"its max_input_chars_per_word is {word}, at most {TOKENIZER_WORD} are taken")
    steps = [step for part in ("normalizer", "pre_tokenizer") for step in _steps(content.get(part))]
    if len(steps) > TOKENIZER_STEPS:
        raise SpecError(f"it takes {len(steps)} steps with each text, at most {TOKENIZER_STEPS} are taken")
    made = prod(_factor(step) for step in steps)
    if made > TOKENIZER_GROWTH:
        raise SpecError(f"it makes texts up to {made:.3g} times longer, at most {TOKENIZER_GROWTH} are taken")
    return made


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """A step and, of a sequence, those within it."""
    if isinstance(part, dict):
        yield part
        part = [*_listed(part.get("normalizers")), *_listed(part.get("pretokenizers"))]
    for step in _listed(part):
        yield from _steps(step)


def _factor(step: dict[str, Any]) -> float:
    factor = float(_OF_TYPE.get(str(step.get("type")), 1))
    if isinstance(content := step.get("content"), str):  # a replacement; one of nothing comes between any two bytes
        found = _field(step.get("pattern"), "String")
        bare = isinstance(found, str) and found
        factor *= max(1.0, _size(content) / _size(found)) if bare else 1.0 + _size(content)
    for name in ("prepend", "replacement"):  # of a text or word of one byte, and for a space in it
        if isinstance(added := step.get(name), str):
            factor *= 1.0 + _size(added)
    if isinstance(table := step.get("precompiled_charsmap"), str):
        factor *= _longest(table)
    return factor


def _longest(table: str) -> float:
    """The longest string that a compiled table of replacements gives: they stand in it one by one, each ended by a zero."""
    try:
        content = base64.b64decode(table)
    except ValueError:
        return 1.0  # the library refuses it too
    begin = 4 + int.from_bytes(content[:4], "little")  # behind the table's index, whose size comes first
    return float(max(1, *(len(found) for found in content[begin:].split(b"\0"))))


def _field(part: Any, name: str) -> Any:
    return part.get(name) if isinstance(part, dict) else None


def _listed(part: Any) -> list[Any]:
    return part if isinstance(part, list) else []


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
