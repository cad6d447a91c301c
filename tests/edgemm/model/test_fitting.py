"""A bundle whose manifest and graphs do not fit each other is refused when it is opened, with both sides named: never at the first run."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pytest

import edgemm
from edgemm import limits
from edgemm.errors import BundleError
from edgemm.model.edge import edges
from edgemm.model.fitting import misfit
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm.model.rules import Trigger
from edgemm.tensors import TensorSpec
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array
from edgemm_plugins.outputs.classes import Classes


def changed(bundle, edit):
    value = json.loads((bundle / "manifest.json").read_text())
    edit(value)
    text = json.dumps(value)
    (bundle / "manifest.json").write_text(text)
    (bundle / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest())
    return bundle


def node(manifest, name):
    return next(node for node in manifest["nodes"] if node["name"] == name)


def first_output(manifest, graph="image"):
    return manifest["graphs"][graph]["outputs"][0]


def swap(record, a, b):
    record[a], record[b] = record[b], record[a]


WRONG = {
    "an output that has another name": (
        lambda m: first_output(m).update(name="other"),
        r"graph 'image' of variant '.*' gives tokens .*, the manifest says other ",
    ),
    "an output of another dtype": (lambda m: first_output(m).update(dtype="int64"), "the manifest says tokens int64"),
    "an output of another size": (
        lambda m: first_output(m).update(shape=["batch", 2, 1]),
        r"says tokens float32 \[batch, 2, 1\]",
    ),
    "an output of another rank": (
        lambda m: first_output(m).update(shape=["batch", 1]),
        r"says tokens float32 \[batch, 1\]",
    ),
    "one output too many": (lambda m: m["graphs"]["image"]["outputs"].append(first_output(m)), "the manifest says"),
    "one output too few": (lambda m: m["graphs"]["image"]["outputs"].pop(), "the manifest says"),
    "outputs in another order": (lambda m: swap(m["graphs"]["image"]["outputs"], 0, 1), "the manifest says"),
    "an input that has another name": (
        lambda m: m["graphs"]["image"]["inputs"][0].update(name="other"),
        "graph 'image' of variant '.*' takes x .*, the manifest says other ",
    ),
    "a graph that is not described": (lambda m: m["graphs"].pop("image"), "graphs lacks 'image'"),
    "a node that names its outputs in another order": (
        lambda m: swap(node(m, "image")["outputs"], 0, 1),
        "node 'image' has the outputs valid, tokens, but graph 'image' gives tokens, valid",
    ),
    "a node with an output less": (
        lambda m: (node(m, "text")["outputs"].pop(), node(m, "fusion")["reads"].update(text_valid="audio.valid")),
        "node 'text' has the outputs tokens, but graph 'text' gives tokens, valid",
    ),
    "a node that reads into what its graph does not take": (
        lambda m: node(m, "fusion")["reads"].update(more="image.tokens"),
        "node 'fusion' feeds 'more', but graph 'fusion' takes image_tokens",
    ),
    "a node that leaves out what its graph takes": (
        lambda m: node(m, "fusion")["reads"].pop("image_valid"),
        "node 'fusion' does not feed 'image_valid', which graph 'fusion' takes",
    ),
    "presence that the graph does not take": (
        lambda m: node(m, "fusion").update(presence="other"),
        "node 'fusion' does not feed 'presence'",
    ),
    "presence and age that are one": (
        lambda m: node(m, "fusion").update(age="presence"),
        "node 'fusion' does not feed 'age_ms'",
    ),
    "an age of other members": (
        lambda m: node(m, "fusion").update(members=["image", "audio"], presence="", age="age_ms"),
        "does not feed 'presence'",
    ),
    "an edge of another dtype": (
        lambda m: node(m, "fusion")["reads"].update(image_valid="image.tokens"),
        r"'image.tokens' is float32 \[.*, 1, 1\], but graph 'fusion' takes bool \[.*, 1\] as 'image_valid' of node 'fusion'",
    ),
    "an edge with a window for a single value": (
        lambda m: node(m, "fusion")["reads"].update(image_tokens="image.tokens[4]"),
        r"'image.tokens\[4\]' is float32 \[batch, 4, 1, 1\], but graph 'fusion' takes float32",
    ),
    "a window's mask for tokens": (
        lambda m: node(m, "fusion")["reads"].update(image_tokens="image.tokens[1].mask"),
        r"is bool \[batch, 1\], but",
    ),
    "ages of a window for truth values": (
        lambda m: node(m, "fusion")["reads"].update(image_valid="image.tokens[1].age"),
        r"is float32 \[batch, 1\], but graph 'fusion' takes bool",
    ),
    "an input of another size": (
        lambda m: m["inputs"]["image"].update(height=4),
        r"input 'image' is uint8 \[batch, 4, 2, 3\], but graph 'image' takes uint8",
    ),
    "what says that there is something, in numbers": (
        lambda m: node(m, "image").update(usable="tokens"),
        "output 'tokens' of node 'image' says whether there was anything to encode, so it must be bool",
    ),
    "what stops a node, in numbers": (
        lambda m: node(m, "image").update(trigger="until(tokens)"),
        "output 'tokens' of node 'image' stops it, so it must be bool",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_named_when_the_bundle_is_opened(three_inputs, what):
    edit, message = WRONG[what]
    path = changed(three_inputs(), edit)
    with pytest.raises(BundleError, match=message):
        edgemm.open(path)


@pytest.mark.parametrize("labels", [["x"], ["x", "y"], ["x", "y", "z", "more"]])
def test_a_label_for_each_class_and_no_other(one_node, labels):
    path = changed(one_node, lambda m: m["outputs"]["answer"]["kind"].update(labels=labels))
    with pytest.raises(
        BundleError,
        match=rf"output 'answer' cannot be read as classes: it has {len(labels)} labels, but its scores are",
    ):
        edgemm.open(path)


# ---- parts that no bundle above has: one node, its graph made up


def graph_of(inputs, outputs):
    return SimpleNamespace(inputs=inputs, outputs=outputs)


def f32(name, *shape):
    return TensorSpec(name, "float32", ("batch", *shape))


def model(outputs=("y",), trigger="arrival", **options):
    one = Node("net", "net", edges({"x": "input.x"}), outputs, trigger=Trigger.parse(trigger), **options)
    return ModelGraph("one", {"x": Tensor((3,))}, (one,), {"answer": Output.of("net.y", Array())})


def test_parts_that_fit_are_told_nothing():
    stateful = model(("y", "next"), state={"next": "h"})
    assert misfit(stateful, {"net": graph_of([f32("x", 3), f32("h", 5)], [f32("y", 2), f32("next", 5)])}) == ""


def test_sizes_that_a_graph_leaves_open_are_not_judged():
    stateful = model(("y", "next"), state={"next": "h"})
    assert misfit(stateful, {"net": graph_of([f32("x", "n"), f32("h", 5)], [f32("y", 2), f32("next", "m")])}) == ""


def test_state_that_comes_back_with_another_size_is_named():
    stateful = model(("y", "next"), state={"next": "h"})
    found = misfit(stateful, {"net": graph_of([f32("x", 3), f32("h", 5)], [f32("y", 2), f32("next", 6)])})
    assert found.startswith(
        "state 'next' of node 'net' is float32 [batch, 6], but graph 'net' takes float32 [batch, 5]"
    )


@pytest.mark.parametrize("name", ["presence", "age"])
def test_a_column_for_each_member(name):
    one = model(members=("input.x",), **{name: "p"})
    assert misfit(one, {"net": graph_of([f32("x", 3), f32("p", 1)], [f32("y", 2)])}) == ""
    found = misfit(one, {"net": graph_of([f32("x", 3), f32("p", 2)], [f32("y", 2)])})
    assert found.startswith(
        "node 'net' has 1 members, so 'p' is float32 [batch, 1], but graph 'net' takes float32 [batch, 2]"
    )


def test_one_graph_input_is_fed_by_one_thing():
    one = model(members=("input.x",), presence="p", age="p")
    assert "feeds one of x, p, p twice" in misfit(one, {"net": graph_of([f32("x", 3), f32("p", 1)], [f32("y", 2)])})


def test_a_dtype_that_no_array_here_has_is_named():
    text = TensorSpec("t", "tensor(string)", ("batch", 1))
    found = misfit(model(("y", "t")), {"net": graph_of([f32("x", 3)], [f32("y", 2), text])})
    assert found.startswith("tensor 't' of graph 'net' is tensor(string) [batch, 1]; expected one of bool")


def test_a_size_that_would_eat_the_memory_is_refused():
    edge = limits.TENSOR_BYTES // 4
    assert misfit(model(), {"net": graph_of([f32("x", 3)], [f32("y", edge)])}) == ""
    assert f"at most {limits.TENSOR_BYTES}" in misfit(model(), {"net": graph_of([f32("x", 3)], [f32("y", edge + 1)])})


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64"])
def test_scores_of_classes_are_floats(dtype):
    one = ModelGraph("one", {"x": Tensor((3,))}, model().nodes, {"answer": Output.of("net.y", Classes(("a", "b")))})
    found = misfit(one, {"net": graph_of([f32("x", 3)], [TensorSpec("y", dtype, ("batch", 2))])})
    assert found == f"output 'answer' cannot be read as classes: scores must be floats, they are {dtype} [batch, 2]"
