"""From what a user writes for an input to the sources of a stream."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import edgemm
from edgemm.errors import SourceError, UnknownNameError, UsageError
from edgemm.host.plugin_host import PluginHost
from edgemm.streaming.sources import sources_from_inputs
from edgemm_plugins.inputs.audio import Audio
from edgemm_plugins.inputs.image import Image
from edgemm_plugins.inputs.text import Text

SPECS = {"image": Image(2, 2), "rear": Image(2, 2), "audio": Audio(1000, 100, 20), "text": Text(8)}


class Made:
    """A source as the plugin below makes it."""

    live = True

    def __init__(self, uri, inputs, options):
        if uri.endswith("broken"):
            raise SourceError("no such device")
        self.uri, self.inputs, self.specs, self.closed = uri, tuple(inputs), inputs, 0
        made.append(self)

    def packets(self, stopped):
        return iter(())

    def close(self):
        self.closed += 1


class Plugin:
    """Sources for `eye:` (images), `ear:` (sound), `any:` (whatever) and paths (images and sound)."""

    @edgemm.hookimpl
    def edgemm_sources(self):
        for name, schemes, modalities in (
            ("made.eye", ("eye",), ("image",)),
            ("made.ear", ("ear", "eye"), ("audio",)),
            ("made.any", ("any",), ()),
            ("made.file", ("file",), ("image", "audio")),
        ):
            yield edgemm.SourceEntry(name, "made_for_this_test:Made", schemes=schemes, modalities=modalities)


made: list[Made] = []


@pytest.fixture(autouse=True)
def plugin(monkeypatch):
    """The only plugin there is."""
    module = ModuleType("made_for_this_test")
    module.Made = Made
    monkeypatch.setitem(sys.modules, module.__name__, module)
    host = PluginHost(strict=True, only=())
    host.register(Plugin(), "made")
    monkeypatch.setattr("edgemm.host.plugin_host.default_host", lambda: host)
    made.clear()


def test_a_uri_is_fed_by_the_source_of_its_scheme():
    (source,) = sources_from_inputs(SPECS, {"image": "eye:0"})
    assert (source.uri, source.specs) == ("eye:0", {"image": SPECS["image"]})


def test_a_scheme_of_several_sources_goes_to_the_one_of_the_modality():
    (source,) = sources_from_inputs(SPECS, {"audio": "eye:0"})
    assert source.inputs == ("audio",)


def test_a_source_that_names_no_modality_feeds_any_input():
    (source,) = sources_from_inputs(SPECS, {"text": "any:x"})
    assert source.inputs == ("text",)


def test_a_path_may_be_a_path_object():
    (source,) = sources_from_inputs(SPECS, {"image": Path("clip.mp4")})
    assert source.uri == "clip.mp4"


def test_inputs_of_the_same_uri_share_one_source():
    (source,) = sources_from_inputs(SPECS, {"image": "clip.mp4", "audio": Path("clip.mp4")})
    assert source.specs == {"image": SPECS["image"], "audio": SPECS["audio"]}


def test_another_uri_is_another_source():
    sources = sources_from_inputs(SPECS, {"image": "eye:0", "rear": "eye:1"})
    assert [(source.uri, source.inputs) for source in sources] == [("eye:0", ("image",)), ("eye:1", ("rear",))]


def test_the_same_uri_may_need_two_sources_for_two_modalities():
    sources = sources_from_inputs(SPECS, {"image": "eye:0", "audio": "eye:0"})
    assert [source.inputs for source in sources] == [("image",), ("audio",)]


def test_a_source_object_is_taken_as_it_is(script):
    source = script(inputs=["image"])
    assert sources_from_inputs(SPECS, {"image": source}) == [source]


def test_a_source_object_of_several_inputs_is_one_source(script):
    source, other = script(inputs=["image", "text"]), script(inputs=["audio"])
    assert sources_from_inputs(SPECS, {"image": source, "audio": other, "text": source}) == [source, other]


def test_a_source_object_must_deliver_the_input(script):
    with pytest.raises(UsageError, match="input 'text': its source delivers image, audio"):
        sources_from_inputs(SPECS, {"text": script(inputs=["image", "audio"])})


def test_an_inbox_becomes_the_source_of_its_input():
    (source,) = sources_from_inputs(SPECS, {"text": edgemm.Inbox()})
    assert source.inputs == ("text",)


def test_anything_else_is_refused_with_what_is_expected():
    with pytest.raises(
        UsageError, match="input 'image': expected a URI such as 'camera:0', a path, or a source object; got int"
    ):
        sources_from_inputs(SPECS, {"image": 3})


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="unknown source scheme 'gopher'") as caught:
        sources_from_inputs(SPECS, {"image": "gopher:x"})
    for scheme in ("eye", "ear", "any", "file"):
        assert scheme in str(caught.value)


def test_a_scheme_of_other_modalities_is_refused_with_those():
    with pytest.raises(
        UsageError, match="cannot feed an input of modality 'text': 'eye:' sources deliver audio, image"
    ):
        sources_from_inputs(SPECS, {"text": "eye:0"})


def test_a_source_that_cannot_be_made_closes_those_before_it(script):
    given = script(inputs=["text"])
    with pytest.raises(SourceError, match="no such device"):
        sources_from_inputs(SPECS, {"text": given, "image": "eye:0", "rear": "eye:broken"})
    assert [source.closed for source in made] == [1]
    assert given.closed == 1
