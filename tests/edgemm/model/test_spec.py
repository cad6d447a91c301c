"""model.toml: what it compiles to, and how a mistake in it is told."""

from __future__ import annotations

import pytest

from edgemm.errors import EdgeMMError, SpecError
from edgemm.model.edge import edges
from edgemm.model.spec import graph_from_spec, line_of, spec_from_file, spec_from_text

GOOD = """
[model]
name = "desk"
width = 8

[inputs.image]
kind = "image"
height = 16
width = 16

[inputs.audio]
kind = "audio"
sample_rate_hz = 8000

[encoders.image]
use = "vision.cnn"

[encoders.audio]
use = "audio.logmel_cnn"
run = { hold = true, valid_for_ms = 4000 }

[fusion]
use = "fusion.concat"
run = { when = "tick(10)" }

[heads.answer]
use = "heads.classify"
labels = ["no", "yes"]
"""


def test_the_easy_profile_compiles_to_nodes():
    graph = graph_from_spec(spec_from_text(GOOD))
    assert [node.name for node in graph.nodes] == ["image", "audio", "fusion"]
    audio, fusion = graph.node("audio"), graph.node("fusion")
    assert (str(audio.trigger), audio.hold, audio.valid_for_ms, audio.usable) == ("arrival", True, 4000, "valid")
    assert (str(fusion.trigger), fusion.members, fusion.presence, fusion.age) == (
        "tick(10)",
        ("image", "audio"),
        "presence",
        "age_ms",
    )
    assert list(fusion.reads) == ["image_tokens", "image_valid", "audio_tokens", "audio_valid"]
    assert graph.outputs["answer"].kind.labels == ("no", "yes")


def test_encoders_may_share_a_graph():
    text = GOOD.replace(
        "[encoders.audio]",
        "[inputs.rear]\nkind='image'\nheight=16\nwidth=16\n[encoders.rear]\nshare='image'\n[encoders.audio]",
    )
    graph = graph_from_spec(spec_from_text(text))
    assert graph.node("rear").graph == "image"


def test_a_node_reads_other_edges():
    text = GOOD.replace(
        '[encoders.image]\nuse = "vision.cnn"',
        "[[node]]\nname = 'image'\nuse = 'my.film'\nreads = {x = 'input.image', context = 'audio.tokens'}",
    )
    graph = graph_from_spec(spec_from_text(text))
    assert [node.name for node in graph.nodes] == ["audio", "image", "fusion"]
    assert graph.node("image").reads == edges(x="input.image", context="audio.tokens")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[model]", "[modell]", r"model\.toml, line 2: modell: there is no such key; did you mean 'model'"),
        ('name = "desk"', 'nmae = "desk"', r"line 3: model\.nmae: there is no such key; did you mean 'name'"),
        ("width = 8", 'width = "wide"', r"line 4: model\.width"),
        ("height = 16", "hieght = 16", r"line 8: inputs\.image: unknown key 'hieght'"),
        ('kind = "audio"', 'kind = "audio"\nrate = 3', r"line 13: inputs\.audio: unknown key 'rate'"),
        ("[encoders.audio]", "[encoders.sound]", r"line 18: encoders\.sound: there is no \[inputs\.sound\]"),
        ("tick(10)", "tik(10)", "did you mean 'tick"),
        ("tick(10)", "until(done)", "unknown output that stops node 'fusion': 'done'"),
        ("tick(10)", "tick(0)", r"line 24: fusion\.run\.when: tick\(hz\) needs a rate above 0"),
        ("hold = true", 'policy = "reference(x)"', r"line 20: encoders\.audio\.run\.policy: write reference"),
        ("hold = true", "hodl = true", "did you mean 'hold'"),
        ('use = "fusion.concat"', "", r"line 22: fusion: 'use' is missing"),
        ('use = "vision.cnn"', "", r"line 15: encoders\.image: 'use' is missing"),
        ('use = "heads.classify"', "", r"line 26: heads\.answer: 'use' is missing"),
        ("[heads.answer]", "[heads.answer", "not valid TOML"),
        ("[inputs.audio]", "[inputs.a-b]", r"line 11: inputs\.a-b: a name is letters"),
    ],
)
def test_mistakes_name_the_key_and_the_line(old, new, message):
    assert old in GOOD
    with pytest.raises(EdgeMMError, match=message):
        spec_from_text(GOOD.replace(old, new, 1))


def test_an_error_carries_the_keys_that_lead_to_it():
    with pytest.raises(SpecError) as caught:
        spec_from_text(GOOD.replace("height = 16", "hieght = 16", 1))
    assert caught.value.path == ("inputs", "image", "hieght")


def test_an_error_about_nothing_in_particular_has_no_line():
    with pytest.raises(SpecError, match=r"^model\.toml: no node reads input 'audio'"):
        spec_from_text(
            GOOD.replace('[encoders.audio]\nuse = "audio.logmel_cnn"\nrun = { hold = true, valid_for_ms = 4000 }\n', "")
        )


def test_lines_are_found_in_nested_tables():
    assert line_of(GOOD, ("encoders", "audio", "run", "hold")) == 20
    assert line_of(GOOD, ("heads", "answer", "labels")) == 28
    assert line_of(GOOD, ("heads", "answer", "nothing")) == 26


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match="cannot read"):
        spec_from_file(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="cannot read"):
        spec_from_file(tmp_path / "bad.toml")
