"""What files and networks may make a terminal do: nothing."""

import json

import pytest

from edgemm.outputs.printable import json_text, printable

HARMFUL = {
    "an escape sequence": "\x1b]0;title\x07",
    "a carriage return": "safe\rforged",
    "a C1 control sequence introducer": "\x9b2J",
    "a bidirectional override": "a\u202eb",
    "an isolate": "\u2066a",
    "an Arabic letter mark": "\u061c",
    "a line separator": "a\u2028b",
    "a byte order mark": "\ufeff",
    "half of a character": "\ud800",
    "a soft hyphen": "a\u00adb",
    "a Mongolian vowel separator": "a\u180eb",
    "an annotation": "\ufff9a\ufffab\ufffb",
    "tags": "a\U000e0041\U000e007f",
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_what_could_move_a_cursor_or_reorder_a_line_is_a_dot(text):
    shown = printable(text)
    assert "·" in shown
    assert all(character.isprintable() for character in shown)


@pytest.mark.parametrize("text", ["naïve 東京 🙂", "می‌خواهم", "👩‍🚀", "two\nlines\tand a column"])
def test_what_people_write_stays(text):
    assert printable(text) == text


def test_one_line_keeps_no_line_break():
    assert printable("a\nb", keep="") == "a·b"


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_json_escapes_it_and_says_the_same(text):
    written = json_text({text: [text]}, indent=1)
    assert all(character.isprintable() or character == "\n" for character in written)
    assert json.loads(written) == {text: [text]}


def test_json_keeps_what_people_write():
    assert json_text({"label": "東京"}) == '{"label": "東京"}'
