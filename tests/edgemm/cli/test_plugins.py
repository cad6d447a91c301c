"""`edgemm plugins`: what it says of options."""

from __future__ import annotations

import json

import pytest

from edgemm.cli.main import main
from edgemm.host.entries import SinkEntry, SourceEntry
from edgemm.host.plugin_host import default_host


def options_of(record):
    return [(name, option) for name, found in default_host().entries(record).items() for option in found.entry.options]


@pytest.mark.parametrize(("kind", "record"), [("source", SourceEntry), ("sink", SinkEntry)])
def test_options_are_listed_with_their_kind(kind, record, capsys):
    assert main(["plugins", "--kind", kind]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert options_of(record)
    for name, option in options_of(record):
        assert [name, f"{option.name}={option.default}"] in [line[:2] for line in lines]
        assert option.summary, f"{name}: {option.name} does not say what it is"


def test_what_every_uri_takes_is_listed_with_the_sources_only(capsys):
    main(["plugins", "--kind", "source"])
    assert "(every URI)  when_full=" in capsys.readouterr().out
    main(["plugins", "--kind", "sink"])
    assert "every URI" not in capsys.readouterr().out


def test_the_choices_of_an_option_are_listed(capsys):
    main(["plugins", "--kind", "source"])
    assert "(tcp or udp)" in capsys.readouterr().out


def test_the_whole_list_shows_no_options(capsys):
    main(["plugins"])
    assert "transport=tcp" not in capsys.readouterr().out


def test_programs_get_the_options_with_each_entry(capsys):
    main(["plugins", "--kind", "source", "--json"])
    (camera,) = [entry for entry in json.loads(capsys.readouterr().out)["entries"] if entry["name"] == "camera"]
    transport = {"name": "transport", "default": "tcp", "choices": ["tcp", "udp"]}
    assert transport in [{key: option[key] for key in transport} for option in camera["options"]]
