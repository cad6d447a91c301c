"""What a file says reaches the terminal as text, never as a command to it."""

from __future__ import annotations

import hashlib
import json

import pytest

from edgemm.cli.main import main

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e"


@pytest.fixture
def hostile(three_inputs):
    """A bundle whose manifest was changed, and signed again, as an attacker would."""

    def make(change):
        path = three_inputs()
        value = json.loads((path / "manifest.json").read_text())
        change(value)
        text = json.dumps(value).encode()
        (path / "manifest.json").write_bytes(text)
        (path / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
        return str(path)

    return make


def shown(capsys):
    output = capsys.readouterr()
    text = output.out + output.err
    assert [character for character in text if not (character.isprintable() or character == "\n")] == []
    return text


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update({f"key{HOSTILE}": 1}),
        lambda manifest: manifest["files"].update({f"a{HOSTILE}": {"size": 1, "sha256": "0" * 64}}),
        lambda manifest: manifest["inputs"]["image"].update(kind=f"image{HOSTILE}"),
        lambda manifest: manifest["nodes"][0].update(role=f"encoder{HOSTILE}"),
    ],
    ids=["an unknown key", "the name of a file", "a kind of input", "a role"],
)
def test_an_error_shows_it_as_dots(hostile, capsys, change):
    assert main(["verify", hostile(change)]) != 0
    assert "·" in shown(capsys)


def test_a_table_does_too(three_inputs, capsys):
    path = three_inputs()
    path = path.rename(path.with_name(f"a{HOSTILE}"))
    assert main(["profile", str(path), "--runs", "1"]) == 0
    assert "a·]0;owned··2J·" in shown(capsys)


def test_json_escapes_it(hostile, capsys):
    assert main(["profile", hostile(lambda manifest: manifest.update(name=HOSTILE)), "--runs", "1", "--json"]) == 0
    text = shown(capsys)
    assert "\\u009b2J\\u202e" in text
    assert json.loads(text)["name"] == HOSTILE


def test_what_a_user_mistypes_is_shown_so_as_well(capsys):
    assert main(["run", "none.edgemm", f"--no{HOSTILE}"]) == 2
    assert "owned" in shown(capsys)
