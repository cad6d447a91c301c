"""Sinks by name: in Python and on the command line, with their options, and what comes of a wrong one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import edgemm
from edgemm.cli.main import main
from edgemm.errors import SinkError, UnknownNameError, UsageError
from edgemm.host.interfaces import Packet
from edgemm.host.plugin_host import PluginHost
from edgemm.streaming.sinks import sinks_from_names
from edgemm_plugins import sinks as our_sinks

made: list[Shelf] = []


class Shelf:
    """A sink that keeps what it was made with, and what it gets."""

    def __init__(self, model, options):
        if options["depth"] == 0:
            raise SinkError("no room at all")
        self.model, self.options = model, options
        self.written, self.closed = [], 0
        made.append(self)

    def write(self, result):
        self.written.append(round(float(result.outputs["answer"][0])))
        if len(self.written) > self.options["depth"]:
            raise SinkError("the shelf is full")

    def close(self):
        self.closed += 1


class Lights:
    """A source of three frames."""

    live = False

    def __init__(self, uri="", inputs=("image",), options=None):
        self.inputs = tuple(inputs)

    def packets(self, stopped):
        for index in range(3):
            yield Packet("image", np.full((2, 2, 3), 1 + index, np.uint8), index, index)

    def close(self):
        pass


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """Our own sinks, and those above."""
    module = ModuleType("shelf_of_this_test")
    module.Shelf, module.Lights = Shelf, Lights
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Plugin:
        @staticmethod
        @edgemm.hookimpl
        def edgemm_sinks():
            options = (edgemm.Option("depth", 9), edgemm.Option("place", "wall"))
            yield edgemm.SinkEntry("shelf", f"{module.__name__}:Shelf", options=options)

        @staticmethod
        @edgemm.hookimpl
        def edgemm_sources():
            yield edgemm.SourceEntry("lights", f"{module.__name__}:Lights", schemes=("lights",), modalities=("image",))

    made.clear()
    host = PluginHost(strict=True, only=())
    host.register(our_sinks, "sinks")
    host.register(Plugin, "shelf")
    monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: host)
    return host


def test_a_sink_gets_the_model_and_its_options():
    (shelf,) = sinks_from_names("the model", ["shelf:depth=5&place=by%26by"])
    assert (shelf.model, shelf.options) == ("the model", {"depth": 5, "place": "by&by"})


def test_a_name_alone_takes_the_defaults():
    (shelf,) = sinks_from_names("the model", ["shelf"])
    assert shelf.options == {"depth": 9, "place": "wall"}


def test_names_and_objects_can_be_mixed_and_keep_their_order():
    own = Shelf("mine", {"depth": 1})
    first, second, third = sinks_from_names("the model", ["shelf:depth=1", own, "shelf:depth=2"])
    assert second is own
    assert (first.options["depth"], third.options["depth"]) == (1, 2)


def test_an_unknown_sink_lists_the_known():
    with pytest.raises(UnknownNameError, match="unknown sink 'shelv'; did you mean 'shelf'") as caught:
        sinks_from_names(None, ["shelv"])
    assert "json_lines, shelf, terminal" in str(caught.value)


def test_an_unknown_option_lists_the_known():
    with pytest.raises(UnknownNameError, match="unknown option of sink 'shelf' 'dept'; did you mean 'depth'") as caught:
        sinks_from_names(None, ["shelf:dept=1"])
    assert "known: depth, place" in str(caught.value)


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        ("shelf:depth=deep", "sink 'shelf': option depth must be a whole number; got depth=deep"),
        ("shelf:deep", "sink 'shelf:deep': an option is written name=value"),
        ("shelf:", "an option is written name=value"),
        (SimpleNamespace(write=print), "a sink is a name.* got SimpleNamespace"),
        (SimpleNamespace(close=print), "a sink is a name.* got SimpleNamespace"),
        (3, r"a sink is a name, such as 'json_lines', or an object with write\(result\) and close\(\); got int"),
    ],
)
def test_what_is_no_sink_or_no_option_is_refused(sink, message):
    with pytest.raises(UsageError, match=message):
        sinks_from_names(None, [sink])


def test_a_sink_that_cannot_be_made_closes_those_that_were_made_for_it_and_no_other():
    own = Shelf("mine", {"depth": 1})
    with pytest.raises(SinkError, match="no room at all"):
        sinks_from_names(None, ["shelf", own, "shelf:depth=0"])
    assert [shelf.closed for shelf in made] == [0, 1]


def test_a_stream_takes_sinks_by_name(three_inputs, tmp_path):
    own = Shelf("mine", {"depth": 9})
    sinks = ["shelf", f"json_lines:path={tmp_path}/out.jsonl", own]
    with edgemm.stream(three_inputs(), {"image": Lights()}, sinks=sinks, realtime=False) as stream:
        assert stream.wait(10)
    assert [shelf.written for shelf in made] == [[1, 2, 3], [1, 2, 3]]
    assert [shelf.closed for shelf in made] == [1, 1]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["sequence"] for line in lines] == [0, 1, 2]


def test_a_wrong_sink_lets_go_of_the_sources(three_inputs):
    class Closing(Lights):
        closed = 0

        def close(self):
            self.closed += 1

    source = Closing()
    with pytest.raises(UnknownNameError, match="unknown sink"):
        edgemm.stream(three_inputs(), {"image": source}, sinks=["nowhere"])
    assert source.closed == 1


def test_a_typo_in_an_input_leaves_an_earlier_file_alone(three_inputs, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(UnknownNameError, match="unknown source scheme"):
        edgemm.stream(three_inputs(), {"image": "light:"}, sinks=[f"json_lines:path={tmp_path}/out.jsonl"])
    assert (tmp_path / "out.jsonl").read_text() == "precious"


def run(path, *words):
    return main(["run", str(path), "-i", "image=lights:", "--fast", *words])


def test_the_command_writes_to_every_sink_it_is_given(three_inputs, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert run(three_inputs(), "--sink", f"json_lines:path={out}", "--sink", "shelf:depth=3", "--json") == 0
    assert out.read_text() == capsys.readouterr().out
    assert made[0].written == [1, 2, 3]


def test_the_command_shows_the_live_view_where_no_sink_is_given(three_inputs, capsys):
    assert run(three_inputs()) == 0
    assert "image live" in capsys.readouterr().out


def test_the_command_says_which_sink_failed_and_why(three_inputs, capsys):
    assert run(three_inputs(), "--sink", "shelf:depth=1") == 1
    assert "edgemm run: Shelf.write failed, so results were lost: the shelf is full" in capsys.readouterr().err
    assert (made[0].written, made[0].closed) == ([1, 2], 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_is_told_and_the_other_sinks_go_on(three_inputs, capsys):
    assert run(three_inputs(), "--sink", "json_lines:path=/dev/full", "--sink", "shelf") == 1
    err = capsys.readouterr().err
    assert "results were lost: cannot write results to '/dev/full': No space left on device" in err
    assert made[0].written == [1, 2, 3]


def test_an_installed_observer_that_fails_is_told_and_is_no_failure_of_the_command(three_inputs, capsys, host):
    class Plugin:
        @staticmethod
        @edgemm.hookimpl
        def edgemm_observers():
            yield edgemm.ObserverEntry("broken", "shelf_of_this_test:Shelf")

    host.register(Plugin, "broken")
    assert run(three_inputs(), "--sink", "shelf") == 0
    assert "edgemm run: observer broken failed, and was not told more: TypeError" in capsys.readouterr().err


def test_the_command_refuses_an_unknown_sink(three_inputs, capsys):
    assert run(three_inputs(), "--sink", "nowhere") == 2
    assert "unknown sink 'nowhere'" in capsys.readouterr().err
