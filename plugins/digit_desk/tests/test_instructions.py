import numpy as np
import pytest

from edgemm.errors import UnknownNameError, UsageError
from edgemm_digit_desk.instructions import ANSWERS, INSTRUCTIONS, NAMES, answer, needs, truth_table


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("add", 11),
        ("difference", 5),
        ("larger", 8),
        ("smaller", 3),
        ("average", 5),
        ("product", 4),
        ("see", 3),
        ("hear", 8),
    ],
)
def test_each_answer_for_three_seen_and_eight_heard(name, expected):
    assert answer(name, 3, 8) == expected


def test_every_answer_is_a_class():
    table = truth_table()
    assert table.shape == (len(NAMES), 10, 10)
    assert table.max() == ANSWERS - 1
    assert [table[NAMES.index(name), 2, 7] for name in NAMES] == [answer(name, 2, 7) for name in NAMES]


def test_an_instruction_needs_exactly_the_inputs_that_change_its_answer():
    for name, table in zip(NAMES, truth_table(), strict=True):
        varies = {
            input_name
            for input_name, axis in (("image", 0), ("audio", 1))
            if np.any(table != table.take([0], axis=axis))
        }
        assert needs(name) == varies, name


def test_most_instructions_need_both_inputs():
    both = sum(len(instruction.needs) == 2 for instruction in INSTRUCTIONS)
    assert both / len(INSTRUCTIONS) >= 0.7


def test_an_unknown_instruction_names_the_nearest():
    with pytest.raises(UnknownNameError, match="larger"):
        answer("larget", 1, 2)


def test_a_number_that_is_no_digit_is_refused():
    with pytest.raises(UsageError, match="heard"):
        answer("add", 1, 10)
