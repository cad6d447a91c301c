"""Options of sources and sinks: what is given is compared with what is declared, and becomes of its type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemm.errors import UnknownNameError, UsageError
from edgemm.host.entries import Option
from edgemm.host.options import checked_options, options_from_text

DECLARED = (
    Option("size", "640x480"),
    Option("count", 3),
    Option("wait_s", 1.5),
    Option("loop", False),
    Option("transport", "tcp", choices=("tcp", "udp")),
)
DEFAULTS = {"size": "640x480", "count": 3, "wait_s": 1.5, "loop": False, "transport": "tcp"}


def test_what_is_not_given_has_its_default():
    assert checked_options("x", DECLARED, {}) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("size", "1x1", "1x1"),
        ("size", Path("a/b"), "a/b"),
        ("size", 30, "30"),
        ("count", "12", 12),
        ("count", np.int64(12), 12),
        ("wait_s", "0.25", 0.25),
        ("wait_s", 2, 2.0),
        ("loop", "yes", True),
        ("loop", "False", False),
        ("loop", True, True),
        ("transport", "udp", "udp"),
    ],
)
def test_a_value_becomes_of_its_default_s_type(name, given, taken):
    options = checked_options("x", DECLARED, {name: given})
    assert options == DEFAULTS | {name: taken}
    assert type(options[name]) is type(DEFAULTS[name])


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("count", "many", "must be a whole number; got count=many"),
        ("count", 1.5, "must be a whole number; got count=1.5"),
        ("count", True, "must be a whole number; got count=True"),
        ("wait_s", "soon", "must be a number; got wait_s=soon"),
        ("wait_s", "nan", "must be a number; got wait_s=nan"),
        ("wait_s", 10**400, "must be a number; got wait_s=1000"),
        ("wait_s", None, "must be a number; got wait_s=None"),
        ("loop", "perhaps", "must be true or false; got loop=perhaps"),
        ("size", {}, "must be a text; got size={}"),
        ("transport", "pigeon", "must be tcp or udp; got transport=pigeon"),
    ],
)
def test_any_other_value_is_refused_with_what_is_expected(name, given, expected):
    with pytest.raises(UsageError, match=f"source 'x': option {name} {expected}"):
        checked_options("source 'x'", DECLARED, {name: given})


def test_an_unknown_option_lists_the_known_and_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        checked_options("source 'x'", DECLARED, {"transprot": "udp"})
    assert str(caught.value).startswith("unknown option of source 'x' 'transprot'; did you mean 'transport'?")
    assert "known: count, loop, size, transport, wait_s" in str(caught.value)


def test_a_secret_is_not_shown():
    with pytest.raises(UsageError) as caught:
        checked_options("x", [Option("token", 0)], {"token": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_options_are_read_from_a_text():
    text = "path=a%26b/c%3Dd.jsonl&limit_mb=5&note=x=y&empty="
    assert options_from_text(text, "sink") == {"path": "a&b/c=d.jsonl", "limit_mb": "5", "note": "x=y", "empty": ""}


@pytest.mark.parametrize("text", ["", "path", "=x", "a=1&&b=2"])
def test_a_text_that_is_no_option_says_how_one_is_written(text):
    with pytest.raises(UsageError, match="--sink csv: an option is written name=value"):
        options_from_text(text, "--sink csv")


def test_an_option_is_given_once():
    with pytest.raises(UsageError, match="option a is given twice"):
        options_from_text("a=1&a=2", "sink")
