"""What a device profile may say."""

from __future__ import annotations

import pytest

from edgemm.errors import PluginError
from edgemm.machine.profiles import profile_from_table

BOARD = {"name": "board", "title": "A board", "backend": "xyz"}


def test_auto_is_every_precision_unless_the_profile_says_otherwise():
    both = {**BOARD, "precisions": ["fp16", "fp32"]}
    assert profile_from_table(both, "board.toml").default_precisions == ("fp16", "fp32")
    assert profile_from_table({**both, "auto": ["fp16"]}, "board.toml").default_precisions == ("fp16",)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"precisions": []}, "a device takes at least one precision"),
        ({"precisions": ["int9"]}, r"precisions names 'int9'; it may name fp32, fp16, int8, int8\+fp16"),
        ({"precisions": ["fp32"], "auto": ["fp16"]}, "auto names 'fp16'; it may name fp32"),
        ({"precisions": ["fp32"], "speed": 3}, "unknown key 'speed'"),
        ({}, ".*'precisions' is missing"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(keys, message):
    with pytest.raises(PluginError, match=f"board.toml: {message}"):
        profile_from_table({**BOARD, **keys}, "board.toml")
