"""TOML that somebody else wrote is read as the standard has it, or refused in words."""

from __future__ import annotations

import pytest

from edgemm.errors import PluginError, SpecError
from edgemm.limits import TOML_BYTES
from edgemm.machine.profiles import profile_from_content
from edgemm.modeling.spec import spec_from_text
from edgemm.reading.plain_toml import table_from_toml

NOT_PLAIN = [
    ("a = ", "Invalid value"),
    ("a = " + "[" * 50_000, "nested too deeply"),
    ("a = " + "9" * 5000, "digits"),
    ("a = [{b = 9223372036854775808}]", "a whole number has more than 64 bits"),
    ("a = -9223372036854775809", "a whole number has more than 64 bits"),
    ("a = 1e999", "1e999 is no number here"),
    ("a = -inf", "-inf is no number here"),
    ("a = nan", "nan is no number here"),
    (".".join("a" * 202) + " = 1", "a key has more than 200 parts"),
    ("a = {'b' . " + '"c".' * 200 + "d = 1}", "a key has more than 200 parts"),
    ("#" + "x" * TOML_BYTES, f"it has {TOML_BYTES + 1} bytes, at most {TOML_BYTES} are read"),
]


def test_numbers_texts_lists_and_tables_are_read_from_text_and_bytes():
    text = "a = 9223372036854775807\nb = [-0.5, 'é']\n[c]\nd = true\n"
    table = {"a": 2**63 - 1, "b": [-0.5, "é"], "c": {"d": True}}
    assert table_from_toml(text) == table_from_toml(text.encode()) == table


@pytest.mark.parametrize(("text", "message"), NOT_PLAIN)
def test_anything_else_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        table_from_toml(text)


def test_bytes_that_are_no_utf_8_are_refused():
    with pytest.raises(ValueError, match="utf-8"):
        table_from_toml(b"a = '\xff'")


@pytest.mark.parametrize(("text", "message"), NOT_PLAIN)
def test_a_specification_and_a_device_profile_say_where_it_was(text, message):
    with pytest.raises(SpecError, match=f"model.toml: not valid TOML: .*{message}"):
        spec_from_text(text)
    with pytest.raises(PluginError, match=f"board.toml: cannot be read: .*{message}"):
        profile_from_content(text.encode(), "board.toml")


def test_many_floats_and_sentences_are_no_long_key():
    text = f"a = [{', '.join(['0.5'] * 500)}]\nb = 'One, two. {'Three, four. ' * 300}'\n"
    assert len(table_from_toml(text)["a"]) == 500
