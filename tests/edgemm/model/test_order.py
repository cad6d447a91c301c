"""The order in which a model's nodes run: what is read runs before, and the rest stays as it was given."""

from __future__ import annotations

import pytest

from edgemm.errors import SpecError
from edgemm.limits import MODEL_PARTS
from edgemm.model.edge import edges
from edgemm.model.graph import ModelGraph, Node, Output
from edgemm_plugins.inputs.tensor import Tensor
from edgemm_plugins.outputs.array import Array


def order(**reads):
    """Names in order of nodes that each read the edges of a text, given in that order."""
    nodes = [
        Node(name, name, edges({f"x{index}": edge for index, edge in enumerate(text.split())}), ("y",))
        for name, text in reads.items()
    ]
    model = ModelGraph("model", {"a": Tensor((1,))}, tuple(nodes), {"y": Output.of(f"{nodes[0].name}.y", Array())})
    assert all(model.node(node.name) is node for node in nodes)
    return [node.name for node in model.nodes]


def test_what_needs_nothing_of_the_others_runs_first_as_given():
    assert order(late="b.y c.y", c="input.a", b="input.a", last="late.y", between="b.y") == [
        "c", "b", "late", "between", "last",
    ]  # fmt: skip


def test_what_reads_one_node_twice_waits_for_it_once():
    assert order(late="b.y b.y[3]", b="input.a") == ["b", "late"]


def test_a_long_chain_given_backwards_is_put_in_order():
    reads = {f"n{index}": f"n{index - 1}.y" for index in range(MODEL_PARTS - 1, 0, -1)}
    assert order(**reads, n0="input.a") == [f"n{index}" for index in range(MODEL_PARTS)]


def test_a_model_of_more_parts_is_refused():
    with pytest.raises(SpecError, match="model 'model' has 1001 nodes; at most 1000 are run"):
        order(**{f"n{index}": "input.a" for index in range(MODEL_PARTS + 1)})


def test_a_circle_is_named():
    with pytest.raises(SpecError, match=r"the nodes form a cycle \(b -> c -> late\)"):
        order(b="c.y", first="input.a", c="b.y first.y", late="c.y")
