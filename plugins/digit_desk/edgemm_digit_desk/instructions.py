"""What can be asked at the digit desk, what the true answer is, and which inputs a question needs.

Pure arithmetic: knows nothing of how a question is worded, of tensors or of models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemm.errors import UnknownNameError, UsageError

__all__ = ["ANSWERS", "INSTRUCTIONS", "NAMES", "Instruction", "answer", "needs", "truth_table"]

ANSWERS = 19  # 0 to 18


@dataclass(frozen=True)
class Instruction:
    """Something to do with the digit that is seen and the digit that is heard.

    Attributes:
        name: the instruction's class name.
        meaning: what it asks for, in one phrase.
        rule: the true answer, 0 to 18, from (seen, heard), each 0 to 9.
        needs: the inputs without which it cannot be answered, besides the text.
    """

    name: str
    meaning: str
    rule: Callable[[int, int], int]
    needs: frozenset[str] = frozenset({"image", "audio"})


INSTRUCTIONS = (
    Instruction("add", "the sum", lambda seen, heard: seen + heard),
    Instruction("difference", "the larger minus the smaller", lambda seen, heard: abs(seen - heard)),
    Instruction("larger", "the larger one", max),
    Instruction("smaller", "the smaller one", min),
    Instruction("average", "the mean, rounded down", lambda seen, heard: (seen + heard) // 2),
    Instruction("product", "the last digit of the product", lambda seen, heard: seen * heard % 10),
    Instruction("see", "the digit in the frame", lambda seen, heard: seen, frozenset({"image"})),
    Instruction("hear", "the digit that was said", lambda seen, heard: heard, frozenset({"audio"})),
)
NAMES = tuple(instruction.name for instruction in INSTRUCTIONS)  # the index is the class of the text encoder


def answer(instruction: str, seen: int, heard: int) -> int:
    """Return the true answer, 0 to 18.

    Raises:
        UnknownNameError: there is no such instruction.
        UsageError: `seen` or `heard` is not a digit.
    """
    for name, digit in (("seen", seen), ("heard", heard)):
        if not 0 <= digit <= 9:
            raise UsageError(f"'{name}' must be a digit from 0 to 9, not {digit}")
    return _instruction(instruction).rule(seen, heard)


def needs(instruction: str) -> frozenset[str]:
    """Return the inputs, of "image" and "audio", without which the instruction cannot be answered."""
    return _instruction(instruction).needs


def truth_table() -> npt.NDArray[np.uint8]:
    """Return every true answer, (instructions, 10 seen, 10 heard), in the order of `NAMES`."""
    table = [[[rule.rule(seen, heard) for heard in range(10)] for seen in range(10)] for rule in INSTRUCTIONS]
    return np.array(table, np.uint8)


def _instruction(name: str) -> Instruction:
    for instruction in INSTRUCTIONS:
        if instruction.name == name:
            return instruction
    raise UnknownNameError("instruction", name, NAMES)
