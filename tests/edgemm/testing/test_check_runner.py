"""`check_runner` passes what keeps the contract, and finds what breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runners.values import HostValue, PlainBound
from edgemm.tensors import TensorSpec
from edgemm.testing import ContractError, check_runner


def graph_of(nodes, inputs, outputs):
    tensors = [[helper.make_tensor_value_info(n, t, s) for n, t, s in group] for group in (inputs, outputs)]
    graph = helper.make_graph(nodes, "graph", *tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


# y = x + x and z = y > x, which can be fed back as x
STEP = graph_of(
    [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Greater", ["y", "x"], ["z"])],
    [("x", TensorProto.FLOAT, ["batch", 3])],
    [("y", TensorProto.FLOAT, ["batch", 3]), ("z", TensorProto.BOOL, ["batch", 3])],
)
MOVING = graph_of(
    [helper.make_node("Neg", ["x"], ["y"])],
    [("x", TensorProto.FLOAT, ["batch", "time"])],
    [("y", TensorProto.FLOAT, ["batch", "time"])],
)
FIXED = graph_of(
    [helper.make_node("Neg", ["x"], ["y"])], [("x", TensorProto.FLOAT, [2, 3])], [("y", TensorProto.FLOAT, [2, 3])]
)
TABLE = graph_of(
    [helper.make_node("Gather", ["x", "i"], ["y"], axis=1)],
    [("x", TensorProto.FLOAT, ["batch", 30]), ("i", TensorProto.INT64, [1])],
    [("y", TensorProto.FLOAT, ["batch", 1])],
)


class Twice:
    """y = 2 x, without a way of its own to be bound; others break one thing of it."""

    inputs = (TensorSpec("x", "float32", ("batch", 3)),)
    outputs = (TensorSpec("y", "float32", ("batch", 3)),)

    def __init__(self):
        self.open = True

    def run(self, feeds):
        if not self.open:
            raise RuntimeError("closed")
        return [2 * feeds["x"]]

    def close(self):
        self.open = False


@pytest.mark.parametrize("content", [STEP, MOVING, FIXED, TABLE], ids=["step", "moving", "fixed", "table"])
def test_onnx_runtime_keeps_the_contract(content):
    check_runner(OnnxRuntimeRunner(content, "graph"))


def test_a_runner_without_bind_keeps_the_contract():
    check_runner(Twice())


def test_a_runner_is_given_what_it_takes():
    seen = []

    class Indices(Twice):
        inputs = (TensorSpec("x", "int64", ("batch", 3)),)
        outputs = (TensorSpec("y", "int64", ("batch", 3)),)

        def run(self, feeds):
            seen.extend(np.unique(feeds["x"]))
            return super().run(feeds)

    check_runner(Indices(), lambda batch, generator: {"x": generator.integers(5, 7, (batch, 3))})
    assert set(seen) == {5, 6}


class OneName(Twice):
    inputs = (*Twice.inputs, *Twice.inputs)


class NoOutputs(Twice):
    outputs = ()


class NamesOnly(Twice):
    inputs = ("x",)


class OtherType(Twice):
    def run(self, feeds):
        return [super().run(feeds)[0].astype(np.float64)]


class OtherShape(Twice):
    def run(self, feeds):
        return [super().run(feeds)[0][:, :2]]


class TooMuch(Twice):
    def run(self, feeds):
        return [*super().run(feeds), feeds["x"]]


class NoArray(Twice):
    def run(self, feeds):
        return [super().run(feeds)[0].tolist()]


class ChangesItsInput(Twice):
    def run(self, feeds):
        answer = super().run(feeds)
        feeds["x"][:] = 0
        return answer


class KeepsItsResults(Twice):
    buffer = np.zeros((8, 3), np.float32)

    def run(self, feeds):
        found = self.buffer[: len(feeds["x"])]
        found[...] = super().run(feeds)[0]
        return [found]


class Remembers(Twice):
    total = 0

    def run(self, feeds):
        self.total += 1
        return [super().run(feeds)[0] + self.total]


class RowsSeeEachOther(Twice):
    def run(self, feeds):
        return [super().run(feeds)[0] - feeds["x"].mean()]


class AnswersAfterClose(Twice):
    def close(self):
        pass


class ClosesOnce(Twice):
    def close(self):
        if not self.open:
            raise RuntimeError("closed already")
        super().close()


@pytest.mark.parametrize(
    ("runner", "message"),
    [
        (OneName, "a name is there twice: x, x"),
        (NoOutputs, "a graph has at least one"),
        (NamesOnly, r"expected a sequence of edgemm\.tensors\.TensorSpec, got \['x'\]"),
        (OtherType, "output: tensor 'y': expected float32"),
        (OtherShape, r"expected float32 \[batch, 3\], got float32 \[1, 2\]"),
        (TooMuch, r"run\(\) gave 2 arrays, 1 are declared"),
        (NoArray, "expected a numpy array, got list"),
        (ChangesItsInput, "changes its input"),
        (KeepsItsResults, "overwritten by the next run"),
        (Remembers, "the same inputs again"),
        (RowsSeeEachOther, "row 0 of 3, alone"),
        (AnswersAfterClose, "still answers after close"),
    ],
)
def test_what_breaks_the_contract_is_found(runner, message):
    with pytest.raises(ContractError, match=message):
        check_runner(runner())


def test_closing_twice_must_be_harmless():
    with pytest.raises(RuntimeError, match="closed already"):
        check_runner(ClosesOnce())


class CopiesWhatIsFed(PlainBound):
    def feed(self, name, array):
        super().feed(name, array.copy())


class FeedsOnce(PlainBound):
    def feed(self, name, array):
        if name not in self._feeds:
            super().feed(name, array)


class StartsWithSomething(PlainBound):
    def new_outputs(self):
        return tuple(HostValue(value.array + 1) for value in super().new_outputs())


class HasOneSetOfValues(PlainBound):
    values = None

    def new_outputs(self):
        self.values = self.values or super().new_outputs()
        return self.values


class CopiesWhatIsLinked(PlainBound):
    def link(self, name, value):
        self.feed(name, value.array.copy())


class LooksOnce(PlainBound):
    def link(self, name, value):
        self.feed(name, value.array)


class SharesItsFeeds(PlainBound):
    feeds = {}  # noqa: RUF012

    def __init__(self, runner, batch=1):
        super().__init__(runner, batch)
        self._feeds = self.feeds


class ForgetsTheBatch(PlainBound):
    def run(self, outputs):
        kept, self._feeds = self._feeds, {name: array[:1] for name, array in self._feeds.items()}
        super().run(outputs)
        self._feeds = kept


class CountsNothing(PlainBound):
    def __init__(self, runner, batch=1):
        super().__init__(runner, batch)
        self.copied_bytes = {"up": 0}


class Unclearable(HostValue):
    __slots__ = ()

    def clear(self):
        pass


class Unsettable(HostValue):
    __slots__ = ()

    def put(self, row):
        self.array[0] = 1


class Lends(HostValue):
    __slots__ = ()

    def row(self):
        return self.array[0]


class LosesItsRow(HostValue):
    __slots__ = ()

    def row(self):
        return self.array


def makes(value):
    class Makes(PlainBound):
        def new_outputs(self):
            return tuple(value(made.array) for made in super().new_outputs())

    return Makes


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        (CopiesWhatIsFed, "bound, with arrays changed in place"),
        (FeedsOnce, "bound, with other arrays fed"),
        (StartsWithSomething, r"new_outputs\(\): output 'y' is not zero"),
        (HasOneSetOfValues, "a run into other values changes the ones before"),
        (CopiesWhatIsLinked, "input 'x' linked to a value on the host"),
        (LooksOnce, "input 'x' linked to a value on the host"),
        (SharesItsFeeds, "of two bindings|another binding"),
        (ForgetsTheBatch, "bound, 3 rows"),
        (CountsNothing, r"copied_bytes\['down'\]: expected a count of bytes, got None"),
        (makes(Unclearable), "clear"),
        (makes(Unsettable), "put"),
        (makes(Lends), r"row\(\) changes with its value"),
        (makes(LosesItsRow), r"row\(\): .*expected"),
    ],
)
def test_a_binding_that_breaks_the_contract_is_found(bound, message):
    runner = Twice()
    runner.bind = lambda batch=1: bound(runner, batch)
    with pytest.raises(ContractError, match=message):
        check_runner(runner)


def test_a_value_in_another_memory_must_follow_its_writer():
    class Elsewhere(PlainBound):
        """Its values are copies that nobody renews."""

        def run(self, outputs):
            if not outputs[0].array.any():
                super().run(outputs)

    runner = Twice()
    runner.bind = lambda batch=1: Elsewhere(runner, batch)
    with pytest.raises(ContractError, match="changed in place"):
        check_runner(runner)
