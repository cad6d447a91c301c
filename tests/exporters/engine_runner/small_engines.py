"""Engines of a node or two, and how they are opened, bound to each other and watched."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from imitated_tensorrt import PLAN
from onnx import TensorProto, helper

from edgemm.bundle.manifest import Variant
from edgemm_exporters.tensorrt_engine.runner.opening import open_engine

RTX = Variant("rtx-4090", "tensorrt_rtx", "1.7.1.116", "fp16", {"net": "net.engine"}, compute_capability=89)
TRT = Variant("jetson", "tensorrt", "10.3.0", "fp16", {"net": "net.engine"}, compute_capability=89)


def onnx_of(nodes, inputs, outputs):
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


SUMS = onnx_of(
    [
        helper.make_node("Cast", ["frame"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "x"], ["total"]),
        helper.make_node("Greater", ["total", "x"], ["more"]),
    ],
    [("frame", TensorProto.UINT8, ["batch", 3]), ("x", TensorProto.FLOAT, ["batch", 3])],
    [("total", TensorProto.FLOAT, ["batch", 3]), ("more", TensorProto.BOOL, ["batch", 3])],
)


def feeds(batch=1, seed=0):
    random = np.random.default_rng(seed)
    return {
        "frame": random.integers(0, 255, (batch, 3), np.uint8),
        "x": random.standard_normal((batch, 3)).astype(np.float32),
    }


def open_sums(variant=RTX, **options):
    return open_engine(PLAN + SUMS, {"graph": "net", "variant": variant, **options})


def graph_of(*nodes, reads, writes, kind=TensorProto.FLOAT, sizes=(3,), batch="batch"):
    """ONNX nodes over tensors `(batch, 3)` of one type."""
    tensors = [[helper.make_tensor_value_info(n, kind, [batch, *sizes]) for n in names] for names in (reads, writes)]
    graph = helper.make_graph(nodes, "net", *tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


# y = x + x, z = -x;  s = y * b;  n = x + s: a counter with state
TWICE = graph_of(
    helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["x"], ["z"]), reads="x", writes="yz"
)
PRODUCT = graph_of(helper.make_node("Mul", ["a", "b"], ["s"]), reads="ab", writes="s")


class Chain:
    """`second` reads the first output of `first`, and `b` from the host."""

    def __init__(self, first, second):
        self.first, self.second = first, second
        self.between, self.last = first.new_outputs(), second.new_outputs()
        self.x, self.b = row(1), row(10)
        first.feed("x", self.x)
        second.link("a", self.between[0])
        second.feed("b", self.b)

    def run(self):
        self.first.run(self.between)
        self.second.run(self.last)
        return self.last[0].array

    @property
    def expected(self):
        return 2 * self.x * self.b


def row(*values, batch=1):
    return np.resize(np.array(values, np.float32), (batch, 3)).copy()


@contextmanager
def copies(machine):
    """What goes over the bus meanwhile, in bytes: {"up": …, "down": …}."""
    before = dict(machine.gpu.copied)
    counted = {}
    yield counted
    counted.update({way: machine.gpu.copied[way] - before[way] for way in before})
