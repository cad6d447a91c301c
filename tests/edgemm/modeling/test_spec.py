"""model.toml: what it compiles to, and how a mistake in it is told."""

from __future__ import annotations

import pytest

from edgemm.errors import EdgeMMError, SpecError
from edgemm.model.edge import edges
from edgemm.modeling.spec import graph_from_spec, line_of, spec_from_file, spec_from_text

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

REAR = """
[inputs.rear]
kind = "image"
height = 16
width = 16
"""
FILM = """
[[node]]
name = "image"
use = "my.film"
reads = { x = "input.image", context = "audio.tokens" }
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
        f"{REAR}[encoders.rear]\nshare = 'image'\nrun = {{ hold = true }}\n[encoders.audio]",
    )
    rear = graph_from_spec(spec_from_text(text)).node("rear")
    assert (rear.graph, rear.hold) == ("image", True)


def test_a_node_may_share_the_graph_of_another():
    text = GOOD.replace(
        '[encoders.image]\nuse = "vision.cnn"',
        f"{REAR}{FILM}[[node]]\nname = 'rear'\nshare = 'image'\nreads = {{x = 'input.rear', context = 'audio.tokens'}}",
    )
    assert graph_from_spec(spec_from_text(text)).node("rear").graph == "image"


def test_a_node_reads_other_edges():
    text = GOOD.replace(
        '[encoders.image]\nuse = "vision.cnn"',
        FILM,
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
        ('use = "fusion.concat"', "", r"line 22: fusion\.use: is missing; it names a plugin's entry"),
        ('use = "vision.cnn"', "", r"line 15: encoders\.image\.use: is missing"),
        ('use = "heads.classify"', "", r"line 26: heads\.answer\.use: is missing"),
        ("[heads.answer]", "[heads.answer", "not valid TOML"),
        ("[inputs.audio]", "[inputs.a-b]", r"line 11: inputs\.a-b: a name is letters"),
    ],
)
def test_mistakes_name_the_key_and_the_line(old, new, message):
    assert old in GOOD
    with pytest.raises(EdgeMMError, match=message):
        spec_from_text(GOOD.replace(old, new, 1))


FUSION_RUN = r"there is no such key; there are: when, policy"


@pytest.mark.parametrize(
    ("after", "more", "message"),
    [
        ('when = "tick(10)"', ", hold = true", rf"line 24: fusion\.run\.hold: {FUSION_RUN}"),
        ('when = "tick(10)"', ", valid_for_ms = 9", rf"line 24: fusion\.run\.valid_for_ms: {FUSION_RUN}"),
        ('when = "tick(10)"', ", stale_after_ms = 9", rf"line 24: fusion\.run\.stale_after_ms: {FUSION_RUN}"),
        (
            '"fusion.concat"',
            "\nshare = 'image'",
            r"line 24: fusion\.share: means nothing here; a fusion has: use, run, and",
        ),
        (
            '"fusion.concat"',
            "\noutput = {}",
            r"line 24: fusion\.output: means nothing here; a fusion has: use, run, and",
        ),
        (
            '["no", "yes"]',
            "\nrun = {}",
            r"line 29: heads\.answer\.run: means nothing here; a head has: use, output, and",
        ),
        (
            '["no", "yes"]',
            "\nshare = 'x'",
            r"line 29: heads\.answer\.share: means nothing here; a head has: use, output, and",
        ),
        (
            '"vision.cnn"',
            "\noutput = {}",
            r"line 17: encoders\.image\.output: means nothing here; an encoder has: use, share, run",
        ),
        (
            '"vision.cnn"',
            "\nshare = 'audio'",
            r"line 16: encoders\.image\.use: is said by 'audio', .* has: share, run$",
        ),
        ('"vision.cnn"', "\nshare = ''", r"line 17: encoders\.image\.share: String should have at least 1"),
        (
            "width = 8",
            "\ntext = 'x'",
            r"line 5: model\.text: there is no such key; there are: name, width$",
        ),
    ],
)
def test_a_key_that_means_nothing_in_its_table_is_refused(after, more, message):
    assert after in GOOD
    with pytest.raises(SpecError, match=message):
        spec_from_text(GOOD.replace(after, after + more, 1))


def test_keys_that_only_the_reader_sets_are_none_of_the_file():
    with pytest.raises(
        SpecError, match=r"line 2: text: there is no such key.*: model, inputs, encoders, node, fusion, "
    ):
        spec_from_text(f"\ntext = 'x'{GOOD}")


SHARING = GOOD.replace("[encoders.audio]", f"{REAR}\n[encoders.rear]\nshare = 'image'\n[encoders.audio]")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "'image'\n[",
            "'nobody'\n[",
            r"line 25: encoders\.rear\.share: 'nobody' is no encoder .* those are: image, audio",
        ),
        ("'image'\n[", "'rear'\n[", r"encoders\.rear\.share: 'rear' is no encoder or node with a plugin of its own"),
        (
            "'image'\n[",
            "'image'\nchannels = 3\n[",
            r"line 26: encoders\.rear\.channels: is said by 'image', .* has: share, run$",
        ),
        (
            "'image'\n[",
            "'audio'\n[",
            r"line 25: encoders\.rear\.share: 'audio' reads x = float32 \[batch, 8000\]; 'rear' reads x = uint8 ",
        ),
        (
            '"image"\nheight = 16\nwidth = 16\n\n[enc',
            '"image"\nheight = 8\nwidth = 16\n\n[enc',
            r"'rear' reads x = uint8 \[batch, 8, 16, 3\]",
        ),
    ],
)
def test_what_is_shared_must_be_there_and_read_the_same(old, new, message):
    assert old in SHARING
    with pytest.raises(SpecError, match=message):
        spec_from_text(SHARING.replace(old, new, 1))


NODES = GOOD.replace(
    '[encoders.image]\nuse = "vision.cnn"', f"{REAR}{FILM}{FILM.replace('image', 'rear')}".replace("\n\n", "\n")
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "rear"\n', "", r"line 24: node\.1\.name: is missing"),
        ('"rear"', '"rear.view"', r"line 25: node\.1\.name: String should match"),
        ('use = "my.film"\nreads = { x = "input.rear"', 'reads = { x = "input.rear"', r"line 24: node\.1\.use: is missing"),
        ('"my.film"\nreads = { x = "input.rear"', '"my.film"\noutput = 3\nreads = { x = "input.rear"', r"line 27: node\.1\.output: means nothing here; a node has: use, share, run, name, reads,"),
        ('"input.rear", c', '"rear!", c', r"line 27: x: 'rear!' is no edge"),
        ('"input.rear", c', '"audio.tokens", c', r"line 27: node 'rear' must read at least one input of the model"),
        ('use = "my.film"\nreads = { x = "input.rear"', 'share = "image"\nreads = { y = "input.rear"', r"line 26: node\.1\.share: 'image' reads x = .*; 'rear' reads y = "),
        ('use = "my.film"\nreads = { x = "input.rear", context = "audio.tokens"', 'share = "image"\nreads = { x = "input.rear", context = "audio.tokens[4]"', r"context = an encoder's tokens, value of a window of 4\."),
    ],
)  # fmt: skip
def test_mistakes_in_a_node_name_its_line(old, new, message):
    assert old in NODES
    with pytest.raises(SpecError, match=message):
        spec_from_text(NODES.replace(old, new, 1))


def test_a_spec_made_in_python_is_checked_as_well():
    spec = spec_from_text(SHARING)
    spec.encoders["rear"].share = "nobody"
    with pytest.raises(SpecError, match="'nobody' is no encoder"):
        graph_from_spec(spec)


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
