"""A graph that never ends, or asks for more memory than there is, is stopped: a question fails, a stream quarantines the node and goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgemm
from edgemm.errors import BundleError, OverdueError, UsageError
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runners.values import bind
from edgemm.streaming.interfaces import Observer

FOREVER, ONCE = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
SOON_S = 0.3


def value(name, shape=("batch", 1), dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def counting():
    """y = x, after a loop that goes on as long as the largest x is above 0."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Identity", ["v"], ["same"])],
        "body",
        [value("i", [], TensorProto.INT64), value("on", [], TensorProto.BOOL), value("v")],
        [value("still", [], TensorProto.BOOL), value("same")],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["go"], to=TensorProto.BOOL),
        helper.make_node("Loop", ["", "go", "x"], ["y"], body=body),
    ]
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def filling(numbers):
    """y = x + the sum of as many ones."""
    nodes = [
        helper.make_node(
            "ConstantOfShape", ["shape"], ["ones"], value=helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        ),
        helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [numbers])
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], [shape])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def running(runner, x):
    """Run it once, in each way that there is; the results."""
    bound = bind(runner)
    outputs = bound.new_outputs()
    bound.feed("x", x)

    def in_place():
        bound.run(outputs)
        return outputs[0].array

    return {"by name": lambda: runner.run({"x": x})[0], "bound": in_place}


@pytest.mark.parametrize("way", ["by name", "bound"])
def test_a_run_that_never_ends_is_stopped_and_the_next_one_runs(way):
    x = FOREVER.copy()
    run = running(OnnxRuntimeRunner(counting(), "net", max_run_s=SOON_S), x)[way]
    started = time.monotonic()
    with pytest.raises(OverdueError, match=r"graph 'net' was stopped after 0\.3 s.*max_run_s"):
        run()
    assert SOON_S <= time.monotonic() - started < 5
    x[:] = ONCE
    assert run().tolist() == ONCE.tolist()


@pytest.mark.parametrize("way", ["by name", "bound"])
def test_a_run_that_fails_for_another_reason_says_so(way):
    runner = OnnxRuntimeRunner(counting(), "net")
    run = running(runner, np.ones((1, 1), np.float64))[way]
    with pytest.raises(Exception, match=r"double|float64|type|elem") as raised:
        run()
    assert not isinstance(raised.value, OverdueError)


def test_runs_are_given_what_onnxruntime_looks_for_at_each_of_them(monkeypatch):
    given = []
    runner = OnnxRuntimeRunner(counting(), "net")
    monkeypatch.setattr(runner.session, "run_with_iobinding", lambda binding, options: given.append(options))
    running(runner, ONCE)["bound"]()
    assert given[0].get_run_config_entry("gpu_graph_id") == "0"


def test_each_row_of_a_batch_has_its_time():
    runner = OnnxRuntimeRunner(counting(), "net", max_run_s=0.05)
    started = time.monotonic()
    with pytest.raises(OverdueError, match=r"after 1 s"):
        runner.run({"x": np.ones((20, 1), np.float32)})
    assert time.monotonic() - started >= 1


def test_runs_on_two_threads_are_stopped_each_for_itself():
    runner = OnnxRuntimeRunner(counting(), "net", max_run_s=SOON_S)
    failed = []

    def ask():
        try:
            runner.run({"x": FOREVER})
        except OverdueError as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert runner.run({"x": ONCE})[0].tolist() == ONCE.tolist()
    for thread in threads:
        thread.join(5)
    assert len(failed) == 2


def shaped(shape):
    """Declares y as (batch, n), and gives ones of `shape` times x, behind an If that hides the rank from whoever infers shapes."""
    ones = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    branches = {
        "then_branch": helper.make_graph(
            [helper.make_node("Identity", ["made"], ["a"])], "t", [], [helper.make_tensor_value_info("a", 1, None)]
        ),
        "else_branch": helper.make_graph(
            [helper.make_node("Identity", ["x"], ["b"])], "e", [], [helper.make_tensor_value_info("b", 1, None)]
        ),
    }
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["times"], to=TensorProto.INT64),
        helper.make_node("Cast", ["largest"], ["so"], to=TensorProto.BOOL),
        helper.make_node("Mul", ["shape", "times"], ["sizes"]),
        helper.make_node("ConstantOfShape", ["sizes"], ["made"], value=ones),
        helper.make_node("If", ["so"], ["y"], **branches),
    ]
    sizes = helper.make_tensor("shape", TensorProto.INT64, [len(shape)], shape)
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y", ("batch", "n"))], [sizes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.mark.parametrize("shape", [[0, 3], [], [3], [1, 2, 2], [5, 3]], ids=str)
def test_what_has_not_the_shape_that_was_declared_fails_alone(one_node_of, shape):
    with edgemm.open(one_node_of(shaped(shape))) as model:
        with pytest.raises(
            BundleError, match=r"graph 'net' gave 'y' as \[.*; it declares float32 \[batch, n\], for 1 row"
        ):
            model.infer(x=FOREVER[0])
        live = model.live()
        assert not live.push("x", FOREVER[0], 0).ok
        assert "it declares" in live.failing["net"]
        assert live.push("x", ONCE[0], 1_000_000_000).ok, "the next one is answered"


def test_an_axis_that_has_a_name_may_be_empty():
    runner = OnnxRuntimeRunner(shaped([1, 0]), "net")
    assert runner.run({"x": FOREVER})[0].shape == (1, 0)


@pytest.fixture
def endless(one_node_of):
    """A bundle whose only node never ends for a number above 0."""
    return one_node_of(counting())


def test_a_question_that_never_ends_fails(endless):
    with edgemm.open(endless, trust=edgemm.Trust(max_run_s=SOON_S)) as model:
        with pytest.raises(OverdueError):
            model.infer(x=FOREVER[0])
        assert model.infer(x=ONCE[0]).outputs["answer"].tolist() == [0]


def test_a_stream_quarantines_what_never_ends_and_does_not_soon_try_it_again(endless):
    with edgemm.open(endless, trust=edgemm.Trust(max_run_s=SOON_S)) as model:
        live = model.live()
        live.push("x", FOREVER[0], 0)
        assert "stopped after 0.3 s" in live.failing["net"]
        live.push("x", ONCE[0], 599_000_000_000)
        assert "net" in live.failing
        assert live.push("x", ONCE[0], 600_000_000_000).outputs["answer"].tolist() == [0]


def test_closing_a_stream_ends_what_runs_and_that_is_nobody_s_failure(endless):
    inbox = edgemm.Inbox()
    told = []

    class Listening(Observer):
        def on_packet(self, packet):
            told.append(packet)

        def on_error(self, where, error):
            told.append(error)

    stream = edgemm.stream(endless, {"x": inbox}, observer=Listening())
    inbox.put(FOREVER[0])
    deadline = time.monotonic() + 5
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    started = time.monotonic()
    stream.close()
    assert time.monotonic() - started < 1
    assert not any(thread.name == "edgemm-model" for thread in threading.enumerate())
    assert [error for error in told if isinstance(error, Exception)] == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(seconds):
    with pytest.raises(UsageError, match="max_run_s must be above 0"):
        edgemm.Trust(max_run_s=seconds)


LIMITED = """
import os, resource, sys
import numpy as np
from edgemm import limits
limits.MEMORY_SHARE = 256 * 2**20 / (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
runner = OnnxRuntimeRunner(open(sys.argv[1], "rb").read(), "net")
try:
    print(runner.run({"x": np.zeros((1, 1), np.float32)})[0].tolist())
except Exception as error:
    print("failed:", error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def in_limited_memory(content, path):
    """What a fresh process says of running it, and the MiB that it took."""
    path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    *said, mebibytes = done.stdout.splitlines()
    return " ".join(said), int(mebibytes)


def test_a_graph_that_asks_for_more_memory_than_it_may_have_fails_when_it_runs_and_not_when_it_is_loaded(tmp_path):
    said, mebibytes = in_limited_memory(filling(2**28), tmp_path / "net.onnx")  # 1 GiB
    assert said.startswith("failed:")
    assert "memory" in said
    assert mebibytes < 200


def test_what_fits_in_memory_runs(tmp_path):
    said, _ = in_limited_memory(filling(2**22), tmp_path / "net.onnx")
    assert said == str([[2.0**22]])


def test_what_onnxruntime_says_of_a_hostile_graph_does_not_reach_the_terminal(tmp_path):
    model = onnx.load_from_string(filling(2**28))
    for number, node in enumerate(model.graph.node):
        node.name = f"\x1b[31mred {number}"
    path = tmp_path / "net.onnx"
    said, _ = in_limited_memory(model.SerializeToString(), path)  # asserts that nothing was printed
    assert "red" in said
